//! The port's promises in a file, and what becomes of the file.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cuiban_deliveries::{
    ChannelBegun, Deliveries, Key, LeaseHeld, PutError, Record, Version, conformance, put_surely,
};
use cuiban_deliveries_sqlite::{Config, OpenError, SqliteDeliveries};
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use tempfile::TempDir;
use uuid::Uuid;

fn begun(channel: &str) -> Record {
    let at = Instant::UNIX_EPOCH;
    Record::Channel(ChannelBegun {
        channel: ChannelId::new(channel).unwrap(),
        begins_at: at,
        confirmed_at: at,
    })
}

fn lease(channel: &str) -> Record {
    let (channel, branch) = (ChannelId::new(channel).unwrap(), BranchId::new("B0").unwrap());
    Record::Lease(LeaseHeld { channel, branch, holder: Some(Uuid::from_u128(1)), turn: 1 })
}

fn open(dir: &TempDir, clock: &Arc<Mutex<Instant>>) -> Result<SqliteDeliveries, OpenError> {
    let clock = clock.clone();
    let path = dir.path().join("deliveries.sqlite");
    SqliteDeliveries::open(&path, &Config::default(), move || *clock.lock().unwrap())
}

fn clock() -> Arc<Mutex<Instant>> {
    Arc::new(Mutex::new("2026-11-27T08:00:00Z".parse().unwrap()))
}

/// Opens it again; the process before lets go of the file a moment after its store was dropped.
fn open_again(dir: &TempDir, clock: &Arc<Mutex<Instant>>) -> SqliteDeliveries {
    open(dir, clock).unwrap()
}

#[tokio::test]
async fn keeps_what_the_port_promises() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let store = open(&dir, &clock).unwrap();
    let pass = move |span: Duration| *clock.lock().unwrap() += span;
    conformance::judge(Arc::new(store), conformance::TimePasses::ByHand(&pass)).await;
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart_but_leases_are_nobodys() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let store = open(&dir, &clock).unwrap();
    let version = store.put(&begun("crm"), None).await.unwrap();
    let leased = store.put(&lease("crm"), None).await.unwrap();
    drop(store);
    let store = open_again(&dir, &clock);
    assert_eq!(store.get(&begun("crm").key()).await.unwrap().unwrap().version, version);
    assert_eq!(store.get(&lease("crm").key()).await.unwrap(), None);
    // Versions go on, so that no follower takes the new for the old.
    assert!(store.put(&lease("crm"), None).await.unwrap() > leased);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let _store = open(&dir, &clock).unwrap();
    assert!(matches!(open(&dir, &clock), Err(OpenError::Taken { .. })));
}

#[tokio::test]
async fn what_is_older_than_the_retention_is_forgotten_at_the_next_start() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let store = open(&dir, &clock).unwrap();
    store.put(&begun("old"), None).await.unwrap();
    drop(store);
    *clock.lock().unwrap() += Duration::from_secs(36 * 86_400);
    let store = open_again(&dir, &clock);
    store.put(&begun("new"), None).await.unwrap();
    assert_eq!(store.get(&begun("old").key()).await.unwrap(), None);
    assert!(store.get(&begun("new").key()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_file_is_put_aside_and_begun_anew() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let path = dir.path().join("deliveries.sqlite");
    std::fs::write(&path, [0xa5; 8192]).unwrap();
    let store = open(&dir, &clock).unwrap();
    assert_eq!(store.get(&Key::Channel(ChannelId::new("crm").unwrap())).await.unwrap(), None);
    assert!(dir.path().join("deliveries.sqlite.damaged-1").exists());
    assert!(matches!(store.put(&begun("crm"), Some(Version(1))).await, Err(PutError::Conflict)));
}

#[test]
fn a_file_of_something_else_is_not_touched() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let path = dir.path().join("deliveries.sqlite");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE other (a)").unwrap();
    drop(other);
    assert!(matches!(open(&dir, &clock), Err(OpenError::Foreign { .. })));
}

#[tokio::test]
async fn what_nobody_can_read_is_put_over_and_holds_up_nobody() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let store = open(&dir, &clock).unwrap();
    store.put(&begun("crm"), None).await.unwrap();
    store.put(&begun("other"), None).await.unwrap();
    drop(store);
    let file = rusqlite::Connection::open(dir.path().join("deliveries.sqlite")).unwrap();
    file.execute("UPDATE record SET body = x'00ff' WHERE key = 'crm.begun'", []).unwrap();
    drop(file);
    let store = open_again(&dir, &clock);
    let key = begun("crm").key();
    assert_eq!(store.get(&key).await.unwrap().unwrap().record, Record::Unreadable(key));
    let mut follow = store.follow(None, Version::START).await.unwrap();
    assert_eq!(follow.next().await.unwrap().record, begun("other"));
    put_surely(&store, &begun("crm"), None).await.unwrap();
    assert_eq!(follow.next().await.unwrap().record, begun("crm"));
}
