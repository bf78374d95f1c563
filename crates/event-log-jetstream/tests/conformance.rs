//! The suite that judges every log, on a real nats-server.

use cuiban_event_log::conformance_suite;
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, JetStreamLog};

conformance_suite!(async {
    let server = NatsServer::start().await;
    // Small pages and pulls, so that every fact crosses their borders.
    let small = Config { page_commits_max: 7, pull_commits_max: 5, ..server.config() };
    let log = JetStreamLog::connect(small).await.unwrap();
    (log, server)
});
