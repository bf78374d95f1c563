//! Alerts on NATS, kept in a JetStream stream of their own, and republished for whoever listens:
//!
//! ```text
//!  cuiban.alerts-out.<form>.<branch>.<rung>   the stream CUIBAN_ALERTS_OUT; nobody but the notifier publishes here
//!  cuiban.alert.<form>.<branch>.<rung>        what the stream stored, once: for every NATS client; the branch is `_` where
//!                                             the branch has nobody who would hear of it, and the company does
//! ```
//!
//! `<form>` is `text`, readable as it is, or `json`; `<rung>` is `emergency`, a rung of the ladder, or `digest`. Message
//! ids let the stream drop what is published again, and what it drops is not republished. The stream drops its oldest
//! messages: it is a way out, not the record.
//!
//! For one release the form before goes out too: `cuiban.alert.<branch>.<rung>`, kept in CUIBAN_ALERTS, whose subjects are
//! narrowed so that the two do not meet.

use std::time::Duration;

use async_nats::jetstream::ContextBuilder;
use async_nats::jetstream::context::{Context, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, DiscardPolicy, Republish, StorageType};
use async_trait::async_trait;
use bytes::Bytes;
use cuiban_domain::ids::ChannelId;
use cuiban_vitals::in_one_line;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::channel::{Channel, PushError};
use crate::config::DeliveryConfig;
use crate::message::Message;

/// The name of the stream that keeps the alerts, unless another one is configured.
pub const ALERTS_OUT_STREAM: &str = "CUIBAN_ALERTS_OUT";
/// The name of the stream that keeps them in the form before.
pub const ALERTS_STREAM: &str = "CUIBAN_ALERTS";
/// Under what the notifier publishes.
const OUT: &str = "cuiban.alerts-out";
/// Under what the stream republishes.
const HEARD: &str = "cuiban.alert";
/// The form before: a branch and a rung, and nothing that is republished.
const FORMER_SUBJECTS: &str = "cuiban.alert.*.*";

/// The channel to NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsConfig {
    /// The channel's id.
    pub id: ChannelId,
    /// The stream's name.
    pub stream: String,
    /// How many servers keep the stream, when it is created; as many as keep the log, if not given.
    pub replicas: Option<usize>,
    /// How long the stream keeps an alert, when it is created.
    pub keep_days: u32,
    /// How much the stream keeps, when it is created; what it may keep is reserved. No limit, if not given.
    pub keep_bytes_max: Option<u64>,
    /// For how long the server itself recognises a repeated id, when the stream is created.
    pub duplicate_window_s: u32,
    /// How long the server may take to acknowledge.
    pub ack_timeout_ms: u64,
    /// Whether alerts go out in the form of the release before, too.
    pub former: bool,
    /// When, how often and how many at once.
    pub delivery: DeliveryConfig,
}

impl Default for NatsConfig {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
        let id = ChannelId::new("nats").expect("fits the alphabet");
        Self {
            id,
            stream: ALERTS_OUT_STREAM.to_owned(),
            replicas: None,
            keep_days: 30,
            keep_bytes_max: None,
            duplicate_window_s: 3_600,
            ack_timeout_ms: 5_000,
            former: true,
            delivery: DeliveryConfig { in_flight_max: 32, ..DeliveryConfig::default() },
        }
    }
}

/// Publishes alerts to JetStream, under their id.
#[derive(Debug)]
pub struct NatsChannel {
    config: NatsConfig,
    jetstream: Context,
    /// Filled once the streams are there.
    streams: OnceCell<()>,
}

impl NatsChannel {
    /// A channel over this connection; its streams are made when it is made ready, or with the first push, if they are missing.
    pub fn new(config: NatsConfig, client: async_nats::Client) -> Self {
        let timeout = Duration::from_millis(config.ack_timeout_ms);
        let jetstream = ContextBuilder::new().timeout(timeout).build(client);
        Self { config, jetstream, streams: OnceCell::new() }
    }

    /// Makes what is missing. The old stream gives its subjects up first: what is republished is not for it to keep.
    async fn make_streams(&self) -> Result<(), PushError> {
        self.make(self.former_stream(), self.config.former).await?;
        self.make(self.stream(), true).await
    }

    /// Makes a stream, or gives the one that is there these subjects; the rest of it is somebody's choice.
    async fn make(&self, wanted: stream::Config, create: bool) -> Result<(), PushError> {
        let name = wanted.name.clone();
        let unavailable = |error: &dyn std::error::Error| {
            PushError::unavailable(format!("make the stream {name}: {}", in_one_line(error)))
        };
        let found = match self.jetstream.get_stream(&name).await {
            Ok(found) => found.cached_info().config.clone(),
            Err(_) if !create => return Ok(()),
            Err(_) => {
                let made = self.jetstream.get_or_create_stream(wanted).await;
                return made.map(drop).map_err(|error| unavailable(&error));
            }
        };
        if found.subjects == wanted.subjects && found.republish == wanted.republish {
            return Ok(());
        }
        let narrowed = stream::Config {
            subjects: wanted.subjects.clone(),
            republish: wanted.republish.clone(),
            ..found
        };
        self.jetstream.update_stream(narrowed).await.map(drop).map_err(|error| unavailable(&error))
    }

    fn stream(&self) -> stream::Config {
        stream::Config {
            name: self.config.stream.clone(),
            subjects: vec![format!("{OUT}.>")],
            republish: Some(Republish {
                source: format!("{OUT}.>"),
                destination: format!("{HEARD}.>"),
                headers_only: false,
            }),
            ..self.former_stream()
        }
    }

    fn former_stream(&self) -> stream::Config {
        let keep_bytes_max = self.config.keep_bytes_max.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        stream::Config {
            name: ALERTS_STREAM.to_owned(),
            description: Some("cuiban 催办 alerts, for whoever wants to hear of them".to_owned()),
            subjects: vec![FORMER_SUBJECTS.to_owned()],
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_age: Duration::from_secs(u64::from(self.config.keep_days) * 86_400),
            max_bytes: keep_bytes_max.unwrap_or(-1),
            duplicate_window: Duration::from_secs(u64::from(self.config.duplicate_window_s)),
            num_replicas: self.config.replicas.unwrap_or(1),
            allow_direct: true,
            ..Default::default()
        }
    }

    /// Publishes every form; a form that is stored already is stored no second time.
    async fn publish(&self, message: &Message) -> Result<(), PublishError> {
        let Message { id, topic, .. } = message;
        // The stream drops an id that it knows, and what it drops nobody hears: what was asked for has one of its own.
        let again = message.asked_at.map(|at| format!("/{}", at.timestamp_micros())).unwrap_or_default();
        let branch = if message.to_company { "_" } else { message.branch.as_str() };
        let (text, json) = (Bytes::from(message.text()), message.json.clone());
        self.publish_one(format!("{OUT}.text.{branch}.{topic}"), format!("{id}/text{again}"), text).await?;
        self.publish_one(format!("{OUT}.json.{branch}.{topic}"), format!("{id}/json{again}"), json.clone())
            .await?;
        if self.config.former && !id.withdrawn {
            self.publish_one(format!("{HEARD}.{branch}.{topic}"), format!("{id}{again}"), json).await?;
        }
        Ok(())
    }

    async fn publish_one(&self, subject: String, id: String, payload: Bytes) -> Result<(), PublishError> {
        let publish = PublishMessage::build().payload(payload).message_id(id);
        self.jetstream.send_publish(subject, publish).await?.await.map(drop)
    }
}

#[async_trait]
impl Channel for NatsChannel {
    fn id(&self) -> &ChannelId {
        &self.config.id
    }

    async fn make_ready(&self) -> Result<(), PushError> {
        self.make_streams().await
    }

    async fn push(&self, message: &Message) -> Result<(), PushError> {
        self.streams.get_or_try_init(|| self.make_streams()).await?;
        let error = match self.publish(message).await {
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => {
                // Somebody removed one while we ran.
                self.make_streams().await?;
                self.publish(message).await.err()
            }
            published => published.err(),
        };
        match error {
            None => Ok(()),
            Some(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                Err(PushError::Refused { detail: in_one_line(&error) })
            }
            // Whatever became of it: what is published again under its id is stored once.
            Some(error) => Err(PushError::unavailable(in_one_line(&error))),
        }
    }
}
