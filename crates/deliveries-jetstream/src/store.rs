//! Puts and gets: one message a subject, expected by its sequence.

use std::time::Duration;

use async_nats::jetstream::context::{Context, GetStreamError, GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{ContextBuilder, ErrorCode};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_deliveries::{
    BoxError, Deliveries, DeliveriesError, Follow, Key, PutError, Record, Stored, Version,
};
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use serde::Deserialize;

use crate::Config;
use crate::follow::Follower;

/// The record of deliveries on JetStream. Clones share the connection.
#[derive(Clone, Debug)]
pub struct JetStreamDeliveries {
    pub(crate) config: Config,
    pub(crate) jetstream: Context,
}

/// What the broker says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Info {
    /// When it was made: a stream of the same name that was made at another time is another one.
    pub(crate) created: DateTime<Utc>,
    pub(crate) state: State,
    ts: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct State {
    pub(crate) last_seq: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Info(Info),
    Error { error: async_nats::jetstream::Error },
}

impl JetStreamDeliveries {
    /// A record over this connection. The stream is made when it is first needed and missing.
    pub fn new(config: Config, client: async_nats::Client) -> Self {
        let jetstream =
            ContextBuilder::new().timeout(Duration::from_millis(config.request_ms_max)).build(client);
        Self { config, jetstream }
    }

    /// Makes the stream, where there is none.
    pub(crate) async fn make_stream(&self) -> Result<(), BoxError> {
        self.jetstream.get_or_create_stream(self.config.stream_config()).await?;
        Ok(())
    }

    /// The stream, whether it is there or not: nothing is asked.
    pub(crate) async fn stream(&self) -> Result<Stream<()>, BoxError> {
        Ok(self.jetstream.get_stream_no_info(&self.config.stream).await?)
    }

    /// What the stream's leader says; `None` where there is no stream.
    pub(crate) async fn info(&self) -> Result<Option<Info>, BoxError> {
        let subject = format!("STREAM.INFO.{}", self.config.stream);
        match self.jetstream.request(subject, &()).await? {
            Answer::Info(info) => Ok(Some(info)),
            Answer::Error { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Answer::Error { error } => Err(error.into()),
        }
    }

    async fn publish(&self, record: &Record, expected: u64) -> Result<Version, PutError> {
        let message = PublishMessage::build()
            .payload(record.to_bytes().into())
            .expected_last_subject_sequence(expected);
        let subject = self.config.subject(&record.key());
        let acknowledged = match self.jetstream.send_publish(subject, message).await {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledged) => Ok(Version(acknowledged.sequence)),
            Err(error) => Err(match error.kind() {
                PublishErrorKind::WrongLastSequence => PutError::Conflict,
                // Nobody answers for the subject, or it does not fit: nothing was stored.
                PublishErrorKind::StreamNotFound | PublishErrorKind::MaxPayloadExceeded => {
                    PutError::Unavailable(error.into())
                }
                _ => PutError::Unknown(error.into()),
            }),
        }
    }

    async fn last_of(&self, key: &Key) -> Result<Option<Stored>, BoxError> {
        let stream = self.stream().await?;
        match stream.get_last_raw_message_by_subject(&self.config.subject(key)).await {
            Ok(message) => {
                stored(message.sequence, message.time, Record::under(key, &message.payload)).map(Some)
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(refusal)
                    if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                {
                    self.make_stream().await.map(|()| None)
                }
                _ => Err(error.into()),
            },
        }
    }
}

/// A message of the stream as a record.
pub(crate) fn stored(
    sequence: u64,
    time: async_nats::datetime::DateTime,
    record: Record,
) -> Result<Stored, BoxError> {
    let nanos = i64::try_from(time.unix_timestamp_nanos())?;
    let stored_at = DateTime::from_timestamp_nanos(nanos);
    Ok(Stored { version: Version(sequence), stored_at, record })
}

#[async_trait]
impl Deliveries for JetStreamDeliveries {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError> {
        self.last_of(key).await.map_err(|source| DeliveriesError { attempted: "read", source })
    }

    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError> {
        let expected = expected.map_or(0, |version| version.0);
        match self.publish(record, expected).await {
            // Perhaps there is no stream yet, or no more.
            Err(PutError::Unavailable(error)) if matches!(self.info().await, Ok(None)) => {
                self.make_stream().await.map_err(|_| PutError::Unavailable(error))?;
                self.publish(record, expected).await
            }
            answered => answered,
        }
    }

    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError> {
        let failed = |source| DeliveriesError { attempted: "follow", source };
        self.make_stream().await.map_err(failed)?;
        let info = self.info().await.map_err(failed)?;
        let created = info.ok_or_else(|| failed("the stream was removed just now".into()))?.created;
        let (sender, follow) = Follow::new();
        let subjects = self.config.subjects_of(channel);
        tokio::spawn(Follower { store: self.clone(), subjects, created, after, sender }.run());
        Ok(follow)
    }

    async fn time(&self) -> Result<Instant, DeliveriesError> {
        let failed = |source| DeliveriesError { attempted: "ask the time", source };
        let info = self.info().await.map_err(failed)?;
        info.map(|info| info.ts).ok_or_else(|| failed("there is no stream".into()))
    }

    async fn differing_settings(&self) -> Result<Vec<String>, DeliveriesError> {
        match self.jetstream.get_stream(&self.config.stream).await {
            Ok(stream) => Ok(self.config.differing(&stream.cached_info().config)),
            // It is made when it is first needed.
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => {
                Err(DeliveriesError { attempted: "ask how the stream is kept", source: error.into() })
            }
        }
    }
}

fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(refusal) if refusal.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
