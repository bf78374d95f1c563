//! What is noticed of the stream while the log runs: its settings, its room, its feed, and what others put into it.

use async_nats::HeaderMap;
use cuiban_event_log::{Append, AppendError, Consistency, EventLog, Expected, LogProblem, Route, Stored};
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{ConnectError, JetStreamLog};
use futures::StreamExt;
use serde_json::{Value, json};

use super::support::{commit, stream, token, within};
use super::{ask, until};

/// Changes some settings of the log's stream, as whoever may use the broker's API can.
async fn change(client: &async_nats::Client, changes: Value) {
    let mut config = ask(client, "STREAM.INFO.CUIBAN", json!({})).await["config"].take();
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    let answer = ask(client, "STREAM.UPDATE.CUIBAN", config).await;
    assert!(answer["error"].is_null(), "{answer}");
}

async fn problem(log: &JetStreamLog, code: &str) -> Option<LogProblem> {
    log.standing().await.unwrap().problems.into_iter().find(|problem| problem.code == code)
}

/// The text of an error with all its sources.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error}; ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_changed_under_a_running_log_stop_appends_until_they_are_mended() {
    let server = NatsServer::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    assert_eq!(log.standing().await.unwrap().problems, []);
    let forgets = json!({ "max_age": 3_600_000_000_000_u64, "duplicate_window": 120_000_000_000_u64 });
    for (changed, mended, name) in [
        (forgets, json!({ "max_age": 0 }), "max_age"),
        (json!({ "discard": "old" }), json!({ "discard": "new" }), "discard"),
        (json!({ "max_msgs_per_subject": 1 }), json!({ "max_msgs_per_subject": -1 }), "max_msgs_per_subject"),
        (json!({ "max_msg_size": 100 }), json!({ "max_msg_size": -1 }), "max_msg_size"),
        (json!({ "subjects": ["cuiban.log.>"] }), json!({ "subjects": ["cuiban.log.*.*.*.*"] }), "subjects"),
    ] {
        change(&client, changed).await;
        // Nobody asks for anything: it is noticed all the same.
        let mut number = 0;
        let refused = until(async || {
            number += 1;
            log.append(commit(&format!("{name}-{number}"), Expected::NoStream, number)).await.err()
        })
        .await;
        assert!(
            matches!(refused, AppendError::Unavailable { .. }) && chain(&refused).contains(name),
            "{}",
            chain(&refused)
        );
        let told = problem(&log, "settings_changed").await.unwrap();
        assert!(told.stops_writing && told.detail.contains(name), "{told:?}");
        change(&client, mended).await;
        until(async || log.append(commit(name, Expected::NoStream, 1)).await.ok()).await;
        assert_eq!(log.standing().await.unwrap().problems, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_room_is_said_to_be_full_until_it_has_some() {
    let server = NatsServer::start().await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    log.append(commit("1", Expected::NoStream, 1)).await.unwrap();
    change(&client, json!({ "max_msgs": 1 })).await;
    let refused = log.append(commit("2", Expected::NoStream, 2)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Unavailable { .. }), "{}", chain(&refused));
    let told = problem(&log, "log_full").await.unwrap();
    assert!(told.stops_writing, "{told:?}");
    change(&client, json!({ "max_msgs": -1 })).await;
    log.append(commit("2", Expected::NoStream, 2)).await.unwrap();
    assert_eq!(problem(&log, "log_full").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_subscriber_hears_stored_expedites_once_and_nothing_else() {
    let server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut feed = client.subscribe("cuiban.feed.>").await.unwrap();
    client.flush().await.unwrap();
    let expedite = |number, expected| Append {
        route: Route { branch: token("B0"), class: token("expedite") },
        ..commit("1", expected, number)
    };
    let first = log.append(commit("1", Expected::NoStream, 1)).await.unwrap();
    log.append(expedite(2, Expected::NoStream)).await.unwrap_err();
    let stored = expedite(3, Expected::At(first.version));
    let second = log.append(stored.clone()).await.unwrap();
    // Sent again, it is recognised or refused.
    let _ = log.append(stored.clone()).await;
    let last = expedite(4, Expected::At(second.version));
    log.append(last.clone()).await.unwrap();
    let mut heard = Vec::new();
    while heard.last() != Some(&last.payload) {
        let message = within(feed.next()).await.unwrap();
        assert_eq!(message.subject.as_str(), "cuiban.feed.ticket.1.B0.expedite");
        heard.push(message.payload);
    }
    assert_eq!(heard, [stored.payload, last.payload]);
}

#[tokio::test]
async fn who_only_reads_makes_no_stream_and_says_that_there_is_none() {
    let server = NatsServer::start().await;
    let error = JetStreamLog::connect_for_reading(server.config()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Missing { stream } if stream == "CUIBAN"), "{error}");
    let client = async_nats::connect(server.url()).await.unwrap();
    assert_eq!(ask(&client, "STREAM.NAMES", json!({})).await["total"], 0);
    let made = JetStreamLog::connect(server.config()).await.unwrap();
    made.append(commit("1", Expected::NoStream, 1)).await.unwrap();
    // What is not fit to be written to can still be read.
    change(&client, json!({ "max_age": 3_600_000_000_000_u64 })).await;
    let read = JetStreamLog::connect_for_reading(server.config()).await.unwrap();
    assert_eq!(read.head().await.unwrap().raw(), 1);
    assert!(problem(&read, "settings_changed").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_says_of_the_message_before_his_hides_nothing() {
    let server = NatsServer::start().await;
    let log = JetStreamLog::connect(server.config()).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let first = log.append(commit("1", Expected::NoStream, 1)).await.unwrap();
    // True of his own subject, and not of the stream: nothing comes before it there.
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let subject = "cuiban.log.ticket.1.B0.x!";
    let answer = client.request_with_headers(subject, headers, "garbage".into()).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer.payload).contains("error"), "{answer:?}");
    for consistency in [Consistency::Any, Consistency::Leader] {
        let kept = log.read_stream(&stream("1"), None, consistency).await.unwrap();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert_eq!(kept[0].position(), first.position);
        assert!(matches!(&kept[1], Stored::Foreign(foreign) if foreign.address == "ticket.1.B0.x!"));
    }
}
