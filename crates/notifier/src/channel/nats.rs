//! Alerts as JSON on NATS: `cuiban.alert.<branch>.<severity>`, kept in a JetStream stream of their own.
//!
//! `<severity>` is `emergency`, a rung of the ladder, or `digest`. Whoever follows `cuiban.alert.B0.>` with any
//! NATS client hears of one branch. The stream drops its oldest messages: it is a way out, not the record.

use std::time::Duration;

use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{DiscardPolicy, StorageType};
use async_nats::jetstream::{self, ContextBuilder};
use async_trait::async_trait;
use cuiban_domain::ids::ChannelId;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::channel::{Channel, PushError, in_one_line};
use crate::config::DeliveryConfig;
use crate::message::Message;

/// The name of the stream that keeps the alerts.
pub const ALERTS_STREAM: &str = "CUIBAN_ALERTS";
/// Its subjects.
const SUBJECTS: &str = "cuiban.alert.>";

/// The channel to NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsConfig {
    /// The channel's id.
    pub id: ChannelId,
    /// How many servers keep the stream, when it is created.
    pub replicas: usize,
    /// How long the stream keeps an alert, when it is created.
    pub keep_days: u32,
    /// How much the stream keeps, when it is created.
    pub keep_bytes_max: u64,
    /// For how long the server itself recognises a repeated id, when the stream is created.
    pub duplicate_window_s: u32,
    /// How long the server may take to acknowledge.
    pub ack_timeout_ms: u64,
    /// When, how often and how many at once.
    pub delivery: DeliveryConfig,
}

impl Default for NatsConfig {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
        let id = ChannelId::new("nats").expect("fits the alphabet");
        Self {
            id,
            replicas: 1,
            keep_days: 30,
            keep_bytes_max: 1 << 30,
            duplicate_window_s: 600,
            ack_timeout_ms: 5_000,
            delivery: DeliveryConfig { in_flight_max: 32, ..DeliveryConfig::default() },
        }
    }
}

/// Publishes alerts to JetStream, under their id.
#[derive(Debug)]
pub struct NatsChannel {
    config: NatsConfig,
    jetstream: Context,
    /// Filled once the stream is there.
    stream: OnceCell<()>,
}

impl NatsChannel {
    /// A channel over this connection; the stream is created with the first push, if it is missing.
    pub fn new(config: NatsConfig, client: async_nats::Client) -> Self {
        let timeout = Duration::from_millis(config.ack_timeout_ms);
        let jetstream = ContextBuilder::new().timeout(timeout).build(client);
        Self { config, jetstream, stream: OnceCell::new() }
    }

    async fn create_stream(&self) -> Result<(), PushError> {
        let stream = jetstream::stream::Config {
            name: ALERTS_STREAM.to_owned(),
            description: Some("cuiban 催办 alerts, for whoever wants to hear of them".to_owned()),
            subjects: vec![SUBJECTS.to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_age: Duration::from_secs(u64::from(self.config.keep_days) * 86_400),
            max_bytes: i64::try_from(self.config.keep_bytes_max).unwrap_or(i64::MAX),
            duplicate_window: Duration::from_secs(u64::from(self.config.duplicate_window_s)),
            num_replicas: self.config.replicas,
            allow_direct: true,
            ..Default::default()
        };
        let unavailable = |error: jetstream::context::CreateStreamError| {
            PushError::unavailable(format!("create the stream {ALERTS_STREAM}: {}", in_one_line(&error)))
        };
        self.jetstream.get_or_create_stream(stream).await.map(drop).map_err(unavailable)
    }

    async fn publish(&self, message: &Message) -> Result<(), jetstream::context::PublishError> {
        let subject = format!("cuiban.alert.{}.{}", message.branch, message.topic);
        let id = message.id.hyphenated().to_string();
        let publish = PublishMessage::build().payload(message.json.clone()).message_id(id);
        self.jetstream.send_publish(subject, publish).await?.await.map(drop)
    }
}

#[async_trait]
impl Channel for NatsChannel {
    fn id(&self) -> &ChannelId {
        &self.config.id
    }

    async fn push(&self, message: &Message) -> Result<(), PushError> {
        self.stream.get_or_try_init(|| self.create_stream()).await?;
        let error = match self.publish(message).await {
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                // Somebody removed it while we ran.
                self.create_stream().await?;
                self.publish(message).await.err()
            }
            published => published.err(),
        };
        match error {
            None => Ok(()),
            Some(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                Err(PushError::Refused { detail: in_one_line(&error) })
            }
            Some(error) => Err(PushError::unavailable(in_one_line(&error))),
        }
    }
}
