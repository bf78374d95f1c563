//! One consumer of the broker: made, pulled from, and given up at the first sign that it is not whole.
//!
//! It numbers what it delivers, so that a gap is seen; it says when it has nothing, so that silence is
//! seen; and it never has more under way than was pulled, so that a slow subscriber needs no luck.

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;

use crate::api::{Broker, CallError, Nanos};
use crate::read::number;

const IDLE: u16 = 100;
const NO_MESSAGES: u16 = 404;
const PULL_EXPIRED: u16 = 408;
const ENDED: u16 = 409;

/// How long one pull stands before it is renewed, in heartbeats.
const PULL_HEARTBEATS: u32 = 30;

/// An ephemeral pull consumer with its inbox.
pub(crate) struct Consumer<'a> {
    broker: &'a Broker,
    name: String,
    inbox: Subscriber,
    inbox_subject: String,
    /// What was pulled and has not come yet.
    outstanding: u64,
    /// The number of the last delivery.
    delivered: u64,
    /// How many messages it had to deliver when it was made.
    pub(crate) pending: u64,
}

/// What came from a consumer.
pub(crate) enum Heard {
    /// The next message.
    Message {
        /// Its sequence in the stream.
        sequence: u64,
        /// How many more the consumer has.
        pending: u64,
        /// The message itself.
        message: Message,
    },
    /// That there is nothing at present.
    Idle,
}

/// The consumer is not to be trusted any more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(pub(crate) String);

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
}

impl<'a> Consumer<'a> {
    /// Makes one that begins after `cursor`.
    pub(crate) async fn start(
        broker: &'a Broker,
        cursor: u64,
        filter: Option<&str>,
    ) -> Result<Self, CallError> {
        let config = &broker.config;
        let inbox_subject = broker.client.new_inbox();
        // The inbox's last word is unique, and a word that may be a consumer's name.
        let name = inbox_subject.rsplit('.').next().unwrap_or_default().to_owned();
        let subscribed = broker.client.subscribe(inbox_subject.clone()).await;
        let inbox = subscribed.map_err(|_| CallError::NotConnected)?;
        let filters: Vec<&str> = filter.into_iter().collect();
        let request = json!({
            "stream_name": config.stream,
            "action": "create",
            "config": {
                "name": name,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": cursor.saturating_add(1),
                "filter_subjects": filters,
                "ack_policy": "none",
                "replay_policy": "instant",
                "mem_storage": true,
                "num_replicas": 1,
                "inactive_threshold": Nanos::from(config.consumer_idle_ms_max),
            },
        });
        let created: Created =
            broker.call(&format!("CONSUMER.CREATE.{}.{name}", config.stream), &request).await?;
        let pending = created.num_pending;
        Ok(Self { broker, name, inbox, inbox_subject, outstanding: 0, delivered: 0, pending })
    }

    /// Asks for more when half of what was asked for has come.
    pub(crate) async fn pull(&mut self) -> Result<(), Lost> {
        let config = &self.broker.config;
        let most = u64::from(config.pull_commits_max.max(1));
        if self.outstanding > most / 2 {
            return Ok(());
        }
        let batch = most - self.outstanding;
        let expires = Nanos::from(config.heartbeat_ms.saturating_mul(PULL_HEARTBEATS));
        let heartbeat = Nanos::from(config.heartbeat_ms);
        let request = json!({ "batch": batch, "expires": expires, "idle_heartbeat": heartbeat });
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", config.stream, self.name);
        let reply = self.inbox_subject.clone();
        let asked =
            self.broker.client.publish_with_reply(subject, reply, Bytes::from(request.to_string())).await;
        asked.map_err(|error| Lost(format!("pull: {error}")))?;
        self.outstanding = most;
        Ok(())
    }

    /// The next thing that comes. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Heard, Lost> {
        let message = self.inbox.next().await.ok_or_else(|| Lost("the connection was closed".to_owned()))?;
        let headers = message.headers.as_ref();
        match message.status.map(|status| status.as_u16()) {
            None => self.delivery(message),
            Some(IDLE) => match number(headers, "Nats-Last-Consumer") {
                Some(said) if said != self.delivered => {
                    Err(Lost(format!("{said} were delivered, {} have come", self.delivered)))
                }
                _ => Ok(Heard::Idle),
            },
            Some(PULL_EXPIRED | NO_MESSAGES) => {
                let unused = number(headers, "Nats-Pending-Messages").unwrap_or(self.outstanding);
                self.outstanding = self.outstanding.saturating_sub(unused);
                Ok(Heard::Idle)
            }
            Some(ENDED) if message.description.as_deref() == Some("Batch Completed") => Ok(Heard::Idle),
            Some(status) => {
                Err(Lost(format!("{status} {}", message.description.as_deref().unwrap_or_default())))
            }
        }
    }

    fn delivery(&mut self, message: Message) -> Result<Heard, Lost> {
        let numbers = message.reply.as_deref().and_then(numbers);
        let Some(Numbers { sequence, delivered, pending }) = numbers else {
            return Err(Lost(format!("a delivery without numbers: {:?}", message.reply)));
        };
        if delivered != self.delivered + 1 {
            return Err(Lost(format!("delivery {delivered} follows {}", self.delivered)));
        }
        self.delivered = delivered;
        self.outstanding = self.outstanding.saturating_sub(1);
        Ok(Heard::Message { sequence, pending, message })
    }

    /// Whether it has delivered anything.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered > 0
    }

    /// Tells the broker that it is not needed any more. The broker would find out by itself, later.
    pub(crate) async fn discard(self) {
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.broker.config.stream, self.name);
        if self.broker.is_connected()
            && let Err(error) = self.broker.client.publish(subject, Bytes::new()).await
        {
            tracing::debug!(%error, "a consumer is left to its idle time");
        }
    }
}

/// What a delivery's reply subject says.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    sequence: u64,
    delivered: u64,
    pending: u64,
}

/// `$JS.ACK.[domain.account.]stream.consumer.attempts.sequence.delivered.time.pending[.further words]`
fn numbers(reply: &str) -> Option<Numbers> {
    let words: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let first = if words.len() >= 9 { 5 } else { 3 };
    let number = |index: usize| words.get(index)?.parse().ok();
    Some(Numbers { sequence: number(first)?, delivered: number(first + 1)?, pending: number(first + 3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_reply_subject_are_read() {
        let expected = Some(Numbers { sequence: 20, delivered: 7, pending: 3 });
        assert_eq!(numbers("$JS.ACK.CUIBAN.c1.1.20.7.1795317987789206432.3"), expected);
        assert_eq!(numbers("$JS.ACK.hub.hash.CUIBAN.c1.1.20.7.1795317987789206432.3.random"), expected);
        assert_eq!(numbers("$JS.ACK.CUIBAN.c1.1.20.7"), None);
        assert_eq!(numbers("_INBOX.a"), None);
    }
}
