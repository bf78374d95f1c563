//! What every adapter must keep: the port's promises, tried on a fresh store.
//!
//! Each case has a channel of its own, so that one store serves them all. A case that fails panics.

use std::sync::Arc;
use std::time::Duration;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use uuid::Uuid;

use crate::lease::{Lease, Taken};
use crate::port::{Deliveries, Follow, PutError, Stored, Version};
use crate::record::{ChannelBegun, Delivery, DeliveryState, Key, MessageId, Record};

/// How the store's time passes.
#[derive(Clone, Copy)]
pub enum TimePasses<'a> {
    /// When it is told to.
    ByHand(&'a (dyn Fn(Duration) + Sync)),
    /// By itself.
    ByItself,
}

/// How long a lease lasts here.
const LEASE: Duration = Duration::from_millis(1_500);
/// How long something that must come is waited for.
const WAIT: Duration = Duration::from_secs(30);

/// Tries every promise.
pub async fn judge(store: Arc<dyn Deliveries>, time: TimePasses<'_>) {
    a_record_is_found_under_its_key(&*store).await;
    only_the_expected_version_is_overtaken(&*store).await;
    of_many_writers_one_wins(&store).await;
    a_follower_hears_the_latest_of_every_key_and_then_each_put(&*store).await;
    a_follower_hears_only_its_channel(&*store).await;
    a_lease_has_one_holder_until_it_lapses(&*store, time).await;
    a_lease_that_is_let_go_is_free_at_once(&*store).await;
}

fn channel(name: &str) -> ChannelId {
    #[expect(clippy::expect_used, reason = "literals that fit")]
    ChannelId::new(name).expect("a literal id")
}

fn branch() -> BranchId {
    #[expect(clippy::expect_used, reason = "a literal that fits")]
    BranchId::new("B0").expect("a literal id")
}

fn delivery(name: &str, number: u128, attempts: u32) -> Record {
    Record::Delivery(Delivery {
        channel: channel(name),
        message: MessageId::of(Uuid::from_u128(number)),
        branch: branch(),
        alerts: vec![Uuid::from_u128(number)],
        number: None,
        issued_at: Instant::UNIX_EPOCH,
        state: DeliveryState::Delivered,
        attempts,
        maybe_twice: 0,
        asked_at: None,
        at: Instant::UNIX_EPOCH,
    })
}

async fn put(store: &dyn Deliveries, record: &Record, expected: Option<Version>) -> Version {
    match store.put(record, expected).await {
        Ok(version) => version,
        Err(error) => panic!("put {record:?} over {expected:?}: {error:?}"),
    }
}

async fn get(store: &dyn Deliveries, key: &Key) -> Option<Stored> {
    match store.get(key).await {
        Ok(stored) => stored,
        Err(error) => panic!("get {key}: {error:?}"),
    }
}

async fn next(follow: &mut Follow) -> Stored {
    match tokio::time::timeout(WAIT, follow.next()).await {
        Ok(Some(stored)) => stored,
        Ok(None) => panic!("the following ended"),
        Err(_) => panic!("nothing was heard"),
    }
}

async fn a_record_is_found_under_its_key(store: &dyn Deliveries) {
    let begun = Record::Channel(ChannelBegun {
        channel: channel("found"),
        begins_at: Instant::UNIX_EPOCH,
        confirmed_at: Instant::UNIX_EPOCH,
    });
    let withdrawal = match delivery("found", 1, 1) {
        Record::Delivery(delivery) => {
            Record::Delivery(Delivery { message: MessageId::withdrawal(delivery.message.id), ..delivery })
        }
        other => other,
    };
    for record in [begun, delivery("found", 1, 1), withdrawal] {
        assert_eq!(get(store, &record.key()).await, None);
        let version = put(store, &record, None).await;
        let stored = get(store, &record.key()).await;
        assert!(stored.as_ref().is_some_and(|stored| stored.version == version && stored.record == record));
    }
}

async fn only_the_expected_version_is_overtaken(store: &dyn Deliveries) {
    let record = |attempts| delivery("expected", 1, attempts);
    let first = put(store, &record(1), None).await;
    let second = put(store, &record(2), Some(first)).await;
    assert!(second > first, "{second:?} follows {first:?}");
    for expected in [None, Some(first), Some(Version(second.0 + 1))] {
        let refused = store.put(&record(3), expected).await;
        assert!(matches!(refused, Err(PutError::Conflict)), "over {expected:?}: {refused:?}");
    }
    let stored = get(store, &record(2).key()).await;
    assert_eq!(stored.map(|stored| (stored.version, stored.record)), Some((second, record(2))));
    // Another key has a version of its own.
    put(store, &delivery("expected", 2, 1), None).await;
    put(store, &record(3), Some(second)).await;
}

async fn of_many_writers_one_wins(store: &Arc<dyn Deliveries>) {
    let mut expected = None;
    for round in 0..5 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..8 {
            let store = store.clone();
            writers.spawn(async move {
                let record = delivery("writers", 1, round * 100 + writer);
                crate::port::put_surely(&*store, &record, expected).await
            });
        }
        let mut won = Vec::new();
        while let Some(ended) = writers.join_next().await {
            match ended {
                Ok(Ok(version)) => won.push(version),
                Ok(Err(PutError::Conflict)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(won.len(), 1, "{won:?}");
        expected = won.pop();
    }
}

async fn a_follower_hears_the_latest_of_every_key_and_then_each_put(store: &dyn Deliveries) {
    let name = "followed";
    let first = put(store, &delivery(name, 1, 1), None).await;
    let other = put(store, &delivery(name, 2, 1), None).await;
    let second = put(store, &delivery(name, 1, 2), Some(first)).await;
    let follow = |after| async move {
        match store.follow(Some(&channel(name)), after).await {
            Ok(follow) => follow,
            Err(error) => panic!("follow: {error:?}"),
        }
    };
    let mut from_the_start = follow(Version::START).await;
    let mut from_the_middle = follow(other).await;
    let heard = [next(&mut from_the_start).await, next(&mut from_the_start).await];
    assert_eq!(heard.map(|stored| stored.version), [other, second]);
    assert_eq!(next(&mut from_the_middle).await.version, second);
    let third = put(store, &delivery(name, 3, 1), None).await;
    for follow in [&mut from_the_start, &mut from_the_middle] {
        let stored = next(follow).await;
        assert_eq!((stored.version, stored.record), (third, delivery(name, 3, 1)));
    }
}

async fn a_follower_hears_only_its_channel(store: &dyn Deliveries) {
    let mut follow = match store.follow(Some(&channel("one")), Version::START).await {
        Ok(follow) => follow,
        Err(error) => panic!("follow: {error:?}"),
    };
    put(store, &delivery("another", 1, 1), None).await;
    let version = put(store, &delivery("one", 1, 1), None).await;
    assert_eq!(next(&mut follow).await.version, version);
}

fn lease(name: &str, holder: u128) -> Lease {
    Lease { channel: channel(name), branch: branch(), holder: Uuid::from_u128(holder), lasts: LEASE }
}

async fn take(store: &dyn Deliveries, lease: &Lease) -> Taken {
    match lease.take(store).await {
        Ok(taken) => taken,
        Err(error) => panic!("take {lease:?}: {error:?}"),
    }
}

async fn a_lease_has_one_holder_until_it_lapses(store: &dyn Deliveries, time: TimePasses<'_>) {
    let (one, other) = (lease("leased", 1), lease("leased", 2));
    let Taken::Mine(first) = take(store, &one).await else { panic!("nobody has it") };
    let Taken::Others(left) = take(store, &other).await else { panic!("one has it") };
    assert!(left <= LEASE, "{left:?}");
    let Taken::Mine(again) = take(store, &one).await else { panic!("it is ours") };
    assert!(again > first);
    // Not lost by being asked for: it lapses by the store's time alone.
    let taken = async {
        loop {
            match (take(store, &other).await, time) {
                (Taken::Mine(version), _) => break version,
                (Taken::Others(left), TimePasses::ByHand(pass)) => pass(left),
                (Taken::Others(left), TimePasses::ByItself) => tokio::time::sleep(left).await,
            }
        }
    };
    let taken = tokio::time::timeout(WAIT, taken).await;
    assert!(taken.is_ok_and(|version| version > again));
    assert!(matches!(take(store, &one).await, Taken::Others(_)));
}

async fn a_lease_that_is_let_go_is_free_at_once(store: &dyn Deliveries) {
    let (one, other) = (lease("released", 1), lease("released", 2));
    assert!(matches!(take(store, &one).await, Taken::Mine(_)));
    // Another one's lease is not ours to let go.
    assert!(other.release(store).await.is_ok());
    assert!(matches!(take(store, &other).await, Taken::Others(_)));
    assert!(one.release(store).await.is_ok());
    assert!(matches!(take(store, &other).await, Taken::Mine(_)));
}
