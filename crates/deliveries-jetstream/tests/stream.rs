//! The port's promises on a real server, and what becomes of a stream that is removed.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::sync::Arc;
use std::time::Duration;

use cuiban_deliveries::{
    ChannelBegun, Deliveries, Follow, Key, Lease, PutError, Record, Taken, Version, conformance, put_surely,
};
use cuiban_deliveries_jetstream::{Config, JetStreamDeliveries};
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use cuiban_event_log_jetstream::test_server::NatsServer;
use uuid::Uuid;

fn begun(channel: &str) -> Record {
    let at = Instant::UNIX_EPOCH;
    Record::Channel(ChannelBegun {
        channel: ChannelId::new(channel).unwrap(),
        begins_at: at,
        confirmed_at: at,
    })
}

async fn client(server: &NatsServer) -> async_nats::Client {
    async_nats::connect(server.url()).await.unwrap()
}

async fn heard(follow: &mut Follow) -> Option<Record> {
    let next = tokio::time::timeout(Duration::from_secs(30), follow.next()).await;
    next.expect("it should have been heard by now").map(|stored| stored.record)
}

#[tokio::test]
async fn keeps_what_the_port_promises() {
    let server = NatsServer::start().await;
    let store = JetStreamDeliveries::new(Config::default(), client(&server).await);
    conformance::judge(Arc::new(store), conformance::TimePasses::ByItself).await;
}

#[tokio::test]
async fn a_follower_goes_on_after_the_server_died_and_misses_nothing() {
    let mut server = NatsServer::start().await;
    let config = Config { request_ms_max: 500, silence_check_ms: 200, ..Config::default() };
    let store = JetStreamDeliveries::new(config, client(&server).await);
    store.put(&begun("one"), None).await.unwrap();
    let mut follow = store.follow(None, Version::START).await.unwrap();
    assert_eq!(heard(&mut follow).await, Some(begun("one")));
    server.kill();
    server.restart().await;
    let stored = async {
        loop {
            match store.put(&begun("two"), None).await {
                Ok(_) | Err(PutError::Conflict) => return,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored).await.unwrap();
    assert_eq!(heard(&mut follow).await, Some(begun("two")));
}

#[tokio::test]
async fn a_stream_that_was_removed_is_made_again_and_its_followers_end() {
    let server = NatsServer::start().await;
    let config = Config { silence_check_ms: 100, retry_delay_ms: 10, ..Config::default() };
    let (connection, name) = (client(&server).await, config.stream.clone());
    let store = JetStreamDeliveries::new(config, connection.clone());
    let version = store.put(&begun("one"), None).await.unwrap();
    let mut follow = store.follow(None, Version::START).await.unwrap();
    assert_eq!(heard(&mut follow).await, Some(begun("one")));
    async_nats::jetstream::new(connection).delete_stream(name).await.unwrap();
    let refused = store.put(&begun("one"), Some(version)).await;
    assert!(matches!(refused, Err(PutError::Conflict | PutError::Unknown(_))), "{refused:?}");
    store.put(&begun("one"), None).await.unwrap();
    assert_eq!(heard(&mut follow).await, None, "what it knew is not there any more");
}

#[tokio::test]
async fn what_nobody_can_read_is_put_over_and_holds_up_nobody() {
    let server = NatsServer::start().await;
    let client = client(&server).await;
    let store = JetStreamDeliveries::new(Config::default(), client.clone());
    let (channel, branch) = (ChannelId::new("nats").unwrap(), BranchId::new("B0").unwrap());
    store.put(&begun("other"), None).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    for (word, payload) in [("lease.B0", "\u{1}garbage"), ("begun", r#"{"v":2,"kind":"channel"}"#)] {
        let subject = format!("cuiban.deliveries.nats.{word}");
        jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
    let lasts = Duration::from_secs(30);
    let lease = Lease { channel: channel.clone(), branch, holder: Uuid::from_u128(1), lasts };
    assert!(matches!(lease.take(&store).await.unwrap(), Taken::Mine(_)));
    let unreadable = store.get(&Key::Channel(channel.clone())).await.unwrap().unwrap();
    assert_eq!(unreadable.record, Record::Unreadable(Key::Channel(channel)));
    assert!(matches!(store.put(&begun("nats"), None).await, Err(PutError::Conflict)));
    put_surely(&store, &begun("nats"), None).await.unwrap();
    let mut follow = store.follow(None, Version::START).await.unwrap();
    assert_eq!(heard(&mut follow).await, Some(begun("other")), "and those who follow hear the others");
}

#[tokio::test]
async fn the_permissions_that_our_example_configuration_gives_are_enough() {
    let server = NatsServer::start_guarded().await;
    let as_user =
        async |user: &str| JetStreamDeliveries::new(Config::default(), server.client_of(user).await);
    as_user("installer").await.put(&begun("other"), None).await.unwrap();
    let store = as_user("cuiban").await;
    conformance::judge(Arc::new(store), conformance::TimePasses::ByItself).await;
}

#[tokio::test]
async fn settings_under_which_records_are_forgotten_are_named() {
    let server = NatsServer::start().await;
    let connection = client(&server).await;
    let store = JetStreamDeliveries::new(Config::default(), connection.clone());
    assert_eq!(store.differing_settings().await.unwrap(), [""; 0], "there is no stream yet");
    store.put(&begun("one"), None).await.unwrap();
    assert_eq!(store.differing_settings().await.unwrap(), [""; 0]);

    let jetstream = async_nats::jetstream::new(connection);
    let found = jetstream.get_stream("CUIBAN_DELIVERIES").await.unwrap().cached_info().config.clone();
    let changed = async_nats::jetstream::stream::Config {
        max_age: Duration::from_secs(43_200),
        max_messages: 1_000,
        ..found.clone()
    };
    jetstream.update_stream(changed).await.unwrap();
    let named = store.differing_settings().await.unwrap();
    assert_eq!(
        named,
        ["max_age is 0.5 days (wanted: 35.0 days at least)", "max_msgs is 1000 (wanted: none)"],
        "what is longer, or said otherwise, is somebody's choice"
    );
    jetstream.update_stream(found).await.unwrap();
    assert_eq!(store.differing_settings().await.unwrap(), [""; 0]);
}
