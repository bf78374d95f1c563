//! A follower: an ordered consumer from the cursor on, made again at the first sign that it is not whole.
//!
//! A consumer that is recreated before its first message begins at the stream's start, so whatever is not after the
//! cursor is dropped. One may fall silent after a server's death, so a silent one is compared with the stream.

use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use async_nats::jetstream::stream::RawMessageErrorKind;
use chrono::{DateTime, Utc};
use cuiban_deliveries::{BoxError, FollowSender, Record, Version};
use futures::StreamExt;

use crate::store::{JetStreamDeliveries, stored};

pub(crate) struct Follower {
    pub(crate) store: JetStreamDeliveries,
    pub(crate) subjects: String,
    pub(crate) created: DateTime<Utc>,
    pub(crate) after: Version,
    pub(crate) sender: FollowSender,
}

/// How following by one consumer ended.
enum Ended {
    /// Another consumer goes on.
    Lost(BoxError),
    /// Nobody listens any more, or the stream is another one.
    ForGood,
}

impl Follower {
    /// Runs until nobody listens, or until the stream is gone or another one.
    pub(crate) async fn run(mut self) {
        let retry_delay = Duration::from_millis(self.store.config.retry_delay_ms);
        loop {
            let error = match self.by_one_consumer().await {
                Ended::ForGood => return,
                Ended::Lost(error) => error,
            };
            tracing::debug!(%error, subjects = self.subjects, "a consumer of deliveries is made again");
            tokio::select! {
                () = self.sender.closed() => return,
                () = tokio::time::sleep(retry_delay) => {}
            }
            if self.is_another_stream().await {
                return;
            }
        }
    }

    async fn by_one_consumer(&mut self) -> Ended {
        let mut messages = match self.consumer().await {
            Ok(messages) => messages,
            Err(error) => return Ended::Lost(error),
        };
        let silence = Duration::from_millis(self.store.config.silence_check_ms);
        loop {
            let next = tokio::select! {
                () = self.sender.closed() => return Ended::ForGood,
                next = tokio::time::timeout(silence, messages.next()) => next,
            };
            match next {
                Ok(Some(Ok(message))) => {
                    let Ok(info) = message.info() else {
                        return Ended::Lost("a delivery without numbers".into());
                    };
                    let (sequence, published) = (info.stream_sequence, info.published);
                    if sequence <= self.after.0 {
                        continue;
                    }
                    self.after = Version(sequence);
                    let record = Record::from_bytes(&message.payload).map_err(BoxError::from);
                    match record.and_then(|record| stored(sequence, published, record)) {
                        Ok(stored) => {
                            if self.sender.send(stored).await.is_err() {
                                return Ended::ForGood;
                            }
                        }
                        Err(error) => tracing::warn!(sequence, error = &*error, "no record of deliveries"),
                    }
                }
                Ok(Some(Err(error))) => return Ended::Lost(error.into()),
                Ok(None) => return Ended::Lost("the consumer ended".into()),
                Err(_) if self.is_another_stream().await => return Ended::ForGood,
                Err(_) if self.is_missing_something().await => {
                    return Ended::Lost("the consumer is silent although there is more".into());
                }
                Err(_) => {}
            }
        }
    }

    async fn consumer(&self) -> Result<Ordered, BoxError> {
        let config = OrderedConfig {
            filter_subject: self.subjects.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.after.0 + 1 },
            replay_policy: ReplayPolicy::Instant,
            ..Default::default()
        };
        Ok(self.store.stream().await?.create_consumer(config).await?.messages().await?)
    }

    /// Whether what we followed is gone: it was removed, or made anew, or has lost its end.
    async fn is_another_stream(&self) -> bool {
        match self.store.info().await {
            Ok(None) => true,
            Ok(Some(info)) => info.created != self.created || info.state.last_seq < self.after.0,
            Err(_) => false,
        }
    }

    async fn is_missing_something(&self) -> bool {
        let Ok(stream) = self.store.stream().await else { return false };
        let next =
            stream.raw_message_builder().sequence(self.after.0 + 1).next_by_subject(self.subjects.clone());
        match next.send().await {
            Ok(_) => true,
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => false,
            Err(_) => false,
        }
    }
}
