//! The suite that judges every log, on a real nats-server.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use async_nats::jetstream;
use async_trait::async_trait;
use bytes::Bytes;
use cuiban_event_log::conformance::Intruder;
use cuiban_event_log::{Position, conformance_suite, intrusion_suite};
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, JetStreamLog};

conformance_suite!(async {
    let server = NatsServer::start().await;
    // Small pages and pulls, so that every fact crosses their borders.
    let small = Config { page_commits_max: 7, pull_commits_max: 5, ..server.config() };
    let log = JetStreamLog::connect(small).await.unwrap();
    (log, server)
});

intrusion_suite!(async {
    let server = NatsServer::start().await;
    let small = Config { page_commits_max: 7, pull_commits_max: 5, ..server.config() };
    let log = JetStreamLog::connect(small).await.unwrap();
    let broker = jetstream::new(log.client());
    (log, Stranger { broker, _server: server })
});

/// A client of the same server that keeps none of our rules.
struct Stranger {
    broker: jetstream::Context,
    _server: NatsServer,
}

#[async_trait]
impl Intruder for Stranger {
    async fn put_foreign(&self, words: [&str; 4], payload: &[u8]) {
        let subject = format!("cuiban.log.{}", words.join("."));
        self.broker.publish(subject, Bytes::copy_from_slice(payload)).await.unwrap().await.unwrap();
    }

    /// Nothing can be taken out of the stream: it is made anew, with what it had.
    async fn cut_after(&self, last: Position) {
        let stream = self.broker.get_stream("CUIBAN").await.unwrap();
        let config = stream.cached_info().config.clone();
        let mut kept = Vec::new();
        for sequence in 1..=last.raw() {
            kept.push(stream.get_raw_message(sequence).await.unwrap());
        }
        self.broker.delete_stream("CUIBAN").await.unwrap();
        self.broker.create_stream(config).await.unwrap();
        for message in kept {
            let stored = self
                .broker
                .publish_with_headers(message.subject, message.headers, message.payload)
                .await
                .unwrap();
            assert_eq!(stored.await.unwrap().sequence, message.sequence);
        }
    }
}
