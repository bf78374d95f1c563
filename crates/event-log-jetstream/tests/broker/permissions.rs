//! The permissions of our example configuration: enough for everybody, and no more.

use std::sync::Arc;
use std::time::Duration;

use cuiban_event_log::{EventLog, Expected, Filter, Position, Route, conformance};
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, ConnectError, JetStreamLog};
use futures::StreamExt;

use super::support::{commit, heard, token, within};

/// A client that is none of ours.
async fn client(server: &NatsServer, user: &str) -> async_nats::Client {
    server.client_of(user).await
}

fn config(server: &NatsServer, user: &str) -> Config {
    Config { servers: vec![server.url_of(user)], ..server.config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permissions_that_our_example_configuration_gives_are_enough() {
    let server = NatsServer::start_guarded().await;
    let refused = JetStreamLog::connect(server.config()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused { .. }), "{refused}");
    // The first start makes the stream; from then on the roles' own rights do.
    drop(JetStreamLog::connect(config(&server, "installer")).await.unwrap());
    let log = JetStreamLog::connect(config(&server, "cuiban")).await.unwrap();
    conformance::a_leader_read_contains_what_was_acknowledged(Arc::new(log.clone())).await;
    conformance::a_long_stream_is_read_whole(Arc::new(log.clone())).await;
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    assert_eq!(heard(&mut subscription, 350).await.len(), 350);
    assert!(log.standing().await.unwrap().problems.is_empty());
    assert!(log.identity().await.unwrap().id.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_hears_the_feed_and_nobody_else_speaks_on_it() {
    let server = NatsServer::start_guarded().await;
    let log = JetStreamLog::connect(config(&server, "installer")).await.unwrap();
    let supervisor = client(&server, "supervisor").await;
    let mut feed = supervisor.subscribe("cuiban.feed.ticket.*.*.expedite").await.unwrap();
    supervisor.flush().await.unwrap();
    let forged = "cuiban.feed.ticket.1.B0.expedite";
    for user in ["supervisor", "cuiban", "installer"] {
        let forger = client(&server, user).await;
        forger.publish(forged, "forged".into()).await.unwrap();
        forger.publish("cuiban.alert.text.B0.supervisor", "forged".into()).await.unwrap();
        // What a connection sends comes in its order: when this is answered, the rest was refused.
        forger.flush().await.unwrap();
    }
    let route = Route { branch: token("B0"), class: token("expedite") };
    let true_one = cuiban_event_log::Append { route, ..commit("1", Expected::NoStream, 7) };
    log.append(true_one.clone()).await.unwrap();
    let first = within(feed.next()).await.unwrap();
    assert_eq!(first.payload, true_one.payload, "what was forged would have come before it");
    let more = tokio::time::timeout(Duration::from_millis(200), feed.next()).await;
    assert!(more.is_err(), "once");
}
