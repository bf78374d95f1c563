//! What only a real broker can show: death, silence, retries past its windows, its limits and its settings.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

mod permissions;
mod standing;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use async_nats::HeaderMap;
use cuiban_event_log::{
    AppendError, Consistency, EventLog, Expected, Filter, LogError, Pattern, Position, Stored, StreamVersion,
};
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, ConnectError, JetStreamLog, SettingsReport, SyncSetting};
use serde_json::{Value, json};
use support::{append_through_everything, commit, head_once_answered, heard, stream, token, within};
use tokio::task::JoinSet;

/// Asks until the answer is there.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut again = tokio::time::interval(Duration::from_millis(10));
    within(async {
        loop {
            again.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    })
    .await
}

pub(crate) async fn ask(client: &async_nats::Client, verb: &str, request: Value) -> Value {
    let answer = client.request(format!("$JS.API.{verb}"), request.to_string().into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_and_writers_live_through_kill_9() {
    let mut server = NatsServer::start().await;
    let config = Config { append_ms_max: 1_000, request_ms_max: 1_000, ..server.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    let only = Filter { any_of: vec![Pattern { id: Some(token("w3")), ..Pattern::default() }] };
    let mut all = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    let mut one = log.subscribe(only, Position::START).await.unwrap();
    let mut writers = JoinSet::new();
    for n in 0..8 {
        writers.spawn(append_through_everything(log.clone(), format!("w{n}"), 150));
    }
    let mut positions = Vec::new();
    for killed_after in [200, 300, 300] {
        positions.extend(heard(&mut all, killed_after).await);
        server.restart().await;
    }
    positions.extend(heard(&mut all, 400).await);
    let mut acknowledged: Vec<Position> = writers.join_all().await.concat();
    acknowledged.sort();
    assert_eq!(positions, acknowledged, "each acknowledged commit once, in order, and no other");
    assert_eq!(within(head_once_answered(&log)).await, acknowledged[1_199]);
    let ones = log.read_stream(&stream("w3"), None, Consistency::Leader).await.unwrap();
    let ones: Vec<Position> = ones.iter().map(Stored::position).collect();
    assert_eq!(heard(&mut one, 150).await, ones);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_subscription_hears_soon_after_kill_9_what_others_append() {
    let mut server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let mut idle = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    for round in 0..3 {
        server.restart().await;
        let other = JetStreamLog::connect(server.config()).await.unwrap();
        let appended = other.append(commit(&format!("{round}"), Expected::NoStream, round)).await.unwrap();
        let soon = tokio::time::timeout(Duration::from_secs(5), idle.next()).await.unwrap();
        assert_eq!(soon.unwrap().unwrap().position(), appended.position);
    }
}

/// The name of the stream's one consumer.
async fn consumer(client: &async_nats::Client) -> String {
    until(async || {
        let names = ask(client, "CONSUMER.NAMES.CUIBAN", json!({})).await;
        names["consumers"][0].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_outlives_its_consumer() {
    let server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    for round in 0..3 {
        ask(&client, &format!("CONSUMER.DELETE.CUIBAN.{}", consumer(&client).await), json!({})).await;
        let appended = log.append(commit(&format!("{round}"), Expected::NoStream, round)).await.unwrap();
        assert_eq!(heard(&mut subscription, 1).await, [appended.position]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_shows_life_but_withholds_commits_is_found_out() {
    let server = NatsServer::start().await;
    let config = Config { silence_check_ms: 100, heartbeat_ms: 20, ..server.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let only = Filter { any_of: vec![Pattern { id: Some(token("2")), ..Pattern::default() }] };
    for (id, filter) in [("1", Filter::everything()), ("2", only)] {
        let after = log.head().await.unwrap();
        let mut subscription = log.subscribe(filter, after).await.unwrap();
        let first = log.append(commit(id, Expected::NoStream, 1)).await.unwrap();
        assert_eq!(heard(&mut subscription, 1).await, [first.position]);
        let pause = json!({ "pause_until": "2099-01-01T00:00:00Z" });
        let paused = ask(&client, &format!("CONSUMER.PAUSE.CUIBAN.{}", consumer(&client).await), pause).await;
        assert_eq!(paused["paused"], json!(true));
        let second = log.append(commit(id, Expected::At(first.version), 2)).await.unwrap();
        assert_eq!(heard(&mut subscription, 1).await, [second.position]);
        drop(subscription);
        until(async || {
            let names = ask(&client, "CONSUMER.NAMES.CUIBAN", json!({})).await;
            names["consumers"].as_array().is_none_or(Vec::is_empty).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_stored_once_also_when_the_broker_has_forgotten_its_id() {
    let server = NatsServer::start().await;
    let config = Config { duplicate_window_ms: 100, ..server.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    let first = commit("1", Expected::NoStream, 1);
    let position = log.append(first.clone()).await.unwrap().position;
    // The broker's memory of a later id outlasts that of the first: once it is gone, both are.
    let mut marker = commit("marker", Expected::NoStream, 2);
    let stored = log.append(marker.clone()).await.unwrap();
    marker.expected = Expected::At(stored.version);
    until(async || match log.append(marker.clone()).await {
        Ok(_) => Some(()),
        Err(AppendError::Conflict { .. }) => None,
        Err(other) => panic!("{other}"),
    })
    .await;
    for _ in 0..3 {
        let retried = log.append(first.clone()).await;
        let actual = Some(StreamVersion::from_raw(position.raw()));
        assert!(matches!(retried, Err(AppendError::Conflict { actual: told, .. }) if told == actual));
    }
    let kept = log.read_stream(&stream("1"), None, Consistency::Leader).await.unwrap();
    assert_eq!(kept.iter().map(Stored::payload).collect::<Vec<_>>(), [&first.payload]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_stored_once_also_when_the_acknowledgement_was_thrown_away() {
    let server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let lost = commit("1", Expected::NoStream, 1);
    // Sent as the log sends it, but nobody waits for the answer.
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", "cuiban.log.ticket.1.>");
    headers.insert("Nats-Msg-Id", format!("ticket.1.{}", lost.commit_id));
    client.publish_with_headers("cuiban.log.ticket.1.B0.case", headers, lost.payload.clone()).await.unwrap();
    client.flush().await.unwrap();
    let answer = log.append(lost.clone()).await;
    let kept = log.read_stream(&lost.stream, None, Consistency::Leader).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(*kept[0].payload(), lost.payload, "whoever re-reads finds the commit");
    match answer {
        Ok(appended) => assert_eq!(appended.position, kept[0].position()),
        Err(error) => assert!(matches!(error, AppendError::Conflict { .. }), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_appends_are_unavailable_and_later_they_work() {
    let mut server = NatsServer::start().await;
    let config = Config { append_ms_max: 500, request_ms_max: 500, ..server.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    server.kill();
    // Before the client has noticed, nobody knows what became of a commit; then it is certain.
    until(async || match log.append(commit("1", Expected::NoStream, 1)).await {
        Err(AppendError::Unavailable { .. }) => Some(()),
        Err(AppendError::Unknown { .. }) => None,
        other => panic!("{other:?}"),
    })
    .await;
    assert!(matches!(log.head().await, Err(LogError::Unavailable { .. })));
    assert!(matches!(log.time().await, Err(LogError::Unavailable { .. })));
    let read = log.read_stream(&stream("1"), None, Consistency::Any).await;
    assert!(matches!(read, Err(LogError::Unavailable { .. })));
    server.restart().await;
    assert_eq!(append_through_everything(log.clone(), "1".to_owned(), 2).await.len(), 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for_and_then_named() {
    let mut server = NatsServer::start().await;
    server.kill();
    let config = Config { connect_ms_max: 300, ..server.config() };
    let error = within(JetStreamLog::connect(config)).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Unreachable { .. }));
    assert!(error.to_string().contains(&server.url()), "{error}");
    // It comes while we wait.
    let config = Config { connect_ms_max: 30_000, ..server.config() };
    let (connected, ()) = tokio::join!(JetStreamLog::connect(config), server.restart());
    connected.unwrap();
}

#[tokio::test]
async fn the_brokers_own_limit_is_told() {
    let server = NatsServer::start_with("max_payload: 1000").await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let mut large = commit("1", Expected::NoStream, 1);
    large.payload = vec![0; 900].into();
    let refused = log.append(large.clone()).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { size_bytes: 1_001.., limit_bytes: 1_000, .. })));
    large.payload = vec![0; 500].into();
    log.append(large).await.unwrap();
}

#[tokio::test]
async fn a_stream_of_our_making_is_as_wanted_and_the_sync_setting_is_seen() {
    let server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let report = log.settings_report().await.unwrap();
    assert_eq!(differing(&report), Vec::<&str>::new());
    assert_eq!(report.sync, SyncSetting::Always);
    assert!(report.server_version.starts_with("2."), "{}", report.server_version);
    let unmonitored = JetStreamLog::connect(Config { monitor: None, ..server.config() }).await.unwrap();
    let report = unmonitored.settings_report().await.unwrap();
    assert!(matches!(report.sync, SyncSetting::Unseen { .. }));
}

fn differing(report: &SettingsReport) -> Vec<&'static str> {
    report.settings.iter().filter(|setting| !setting.holds()).map(|setting| setting.name).collect()
}

#[tokio::test]
async fn a_stream_with_other_settings_is_reported_and_gets_the_feed_alone() {
    let server = NatsServer::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let other = json!({
        "name": "CUIBAN", "subjects": ["cuiban.log.*.*.*.*"], "storage": "file", "discard": "new", "allow_direct": true,
    });
    ask(&client, "STREAM.CREATE.CUIBAN", other).await;
    let before = ask(&client, "STREAM.INFO.CUIBAN", json!({})).await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let report = log.settings_report().await.unwrap();
    assert_eq!(differing(&report), ["deny_delete", "deny_purge"]);
    let mut after = ask(&client, "STREAM.INFO.CUIBAN", json!({})).await;
    let republish = after["config"].as_object_mut().unwrap().remove("republish").unwrap();
    assert_eq!(republish["src"], "cuiban.log.*.*.*.expedite");
    assert_eq!(after["config"], before["config"]);
    JetStreamLog::connect(server.config()).await.unwrap();
    let again = ask(&client, "STREAM.INFO.CUIBAN", json!({})).await;
    assert_eq!(again["config"]["republish"], republish);
}

#[tokio::test]
async fn a_stream_that_forgets_is_refused() {
    let server = NatsServer::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let forgetful = json!({
        "name": "CUIBAN", "subjects": ["cuiban.log.*.*.*.*"], "discard": "old", "max_age": 86_400_000_000_000_u64,
        "storage": "file", "allow_direct": true,
    });
    ask(&client, "STREAM.CREATE.CUIBAN", forgetful).await;
    let error = JetStreamLog::connect(server.config()).await.unwrap_err();
    let ConnectError::Unfit { settings, .. } = &error else { panic!("{error}") };
    assert_eq!(settings.iter().map(|setting| setting.name).collect::<Vec<_>>(), ["discard", "max_age"]);
    assert!(error.to_string().contains("max_age is 86400000000000 (wanted: 0)"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_appends_keeps_what_was_acknowledged_and_is_over_after_a_restart() {
    let mut server = NatsServer::start_on_disk("", Some(32 << 20)).await;
    if server.disk().is_none() {
        println!("SKIPPED: a full disk (no user namespaces here)");
        return;
    }
    let config = Config { append_ms_max: 500, request_ms_max: 1_000, ..server.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    let mut acknowledged = vec![log.append(commit("0", Expected::NoStream, 0)).await.unwrap().position];
    server.disk().unwrap().fill();
    // What fits in the page that was begun is stored still; then the server stores nothing and says nothing.
    let mut number = 0;
    let error = loop {
        number += 1;
        match log.append(commit(&number.to_string(), Expected::NoStream, number)).await {
            Ok(appended) => acknowledged.push(appended.position),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
    let kept = log.read_stream(&stream("0"), None, Consistency::Leader).await.unwrap();
    assert_eq!(kept.len(), 1, "reading goes on");
    server.disk().unwrap().free();
    let again = log.append(commit("again", Expected::NoStream, 1_000)).await;
    assert!(matches!(again, Err(AppendError::Unknown { .. })), "room alone does not mend it: {again:?}");
    assert!(!server.is_healthy().await);
    server.restart().await;
    acknowledged.extend(within(append_through_everything(log.clone(), "after".to_owned(), 3)).await);
    let mut all = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    assert_eq!(heard(&mut all, acknowledged.len()).await, acknowledged, "each once, in order, and no other");
    assert_eq!(within(head_once_answered(&log)).await, acknowledged[acknowledged.len() - 1]);
}
