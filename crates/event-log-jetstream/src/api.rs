//! The broker's JSON requests, raw: what is asked, what comes back, and what it means when nothing does.
//!
//! Raw, and not the client library's own consumers and streams, because what we promise hangs on details
//! that the library hides: its ordered consumers restart at the first message when they are recreated before
//! their first delivery, it has no batched direct get, and it folds error codes together that we must tell apart.

use std::time::Duration;

use async_nats::client::{RequestError, RequestErrorKind};
use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Request};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use cuiban_event_log::{BoxError, LogError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Config;
use crate::config::millis;
use crate::fitness::Fitness;
use crate::majority::Majority;
use crate::read::Replicas;
use crate::subject::Subjects;

/// The broker's code for "no message found".
pub(crate) const NO_MESSAGE: u64 = 10037;
/// The broker's code for "stream not found".
pub(crate) const NO_STREAM: u64 = 10059;
/// How long an answer may take before the question is asked again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The broker's codes for "no leader" and "I am none, and know of none".
const NO_LEADER: [u64; 2] = [10008, 10009];

/// One connection and the stream that we use through it.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) subjects: Subjects,
    /// Counts the connection's beginnings and ends.
    pub(crate) turns: watch::Receiver<u64>,
    /// Whether the stream's majority is heard through this connection.
    pub(crate) majority: Majority,
    /// Whether replicas are asked, or the leader alone.
    pub(crate) replicas: Replicas,
    /// Whether the stream may be written to.
    pub(crate) fitness: Fitness,
}

/// What the broker says no with.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("the broker refuses: {description} (error {err_code})")]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

/// A request has no useful answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("not connected to the broker")]
    NotConnected,
    #[error("the connection to the broker was lost before the answer came")]
    ConnectionLost,
    #[error("no answer from the broker")]
    NoAnswer(#[source] RequestError),
    #[error(transparent)]
    Refused(Refusal),
    #[error("the broker's answer is not understood")]
    Malformed(#[source] serde_json::Error),
}

impl CallError {
    /// Whether it is certain that nobody has received the request.
    pub(crate) fn was_not_received(&self) -> bool {
        match self {
            Self::NotConnected => true,
            Self::NoAnswer(error) => matches!(
                error.kind(),
                RequestErrorKind::NoResponders
                    | RequestErrorKind::InvalidSubject
                    | RequestErrorKind::MaxPayloadExceeded
            ),
            Self::ConnectionLost | Self::Refused(_) | Self::Malformed(_) => false,
        }
    }

    /// Whether nobody who leads has answered, though the connection stands.
    pub(crate) fn is_of_nobody(&self) -> bool {
        match self {
            Self::NoAnswer(error) => {
                matches!(error.kind(), RequestErrorKind::NoResponders | RequestErrorKind::TimedOut)
            }
            Self::Refused(refusal) => NO_LEADER.contains(&refusal.err_code),
            Self::NotConnected | Self::ConnectionLost | Self::Malformed(_) => false,
        }
    }

    pub(crate) fn code(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) => Some(refusal.err_code),
            _ => None,
        }
    }

    pub(crate) fn attempting(self, attempted: &'static str) -> LogError {
        unavailable(attempted, self)
    }
}

pub(crate) fn unavailable(attempted: &'static str, source: impl Into<BoxError>) -> LogError {
    LogError::Unavailable { attempted, source: source.into() }
}

/// An answer that is either a refusal or what was asked for.
#[derive(Deserialize)]
struct Envelope {
    error: Option<Refusal>,
}

/// What `STREAM.INFO` and `STREAM.CREATE` answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: Value,
    pub(crate) state: StreamState,
    pub(crate) ts: DateTime<Utc>,
    /// When the stream was made: kept through restarts, by followers, and by a backup that is restored.
    pub(crate) created: DateTime<Utc>,
    /// The servers that keep the stream together; none where one keeps it alone.
    #[serde(default)]
    cluster: Option<Group>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Group {
    #[serde(default)]
    leader: Option<String>,
    /// The leader's followers.
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Clone, Debug, Deserialize)]
struct Replica {
    #[serde(default)]
    name: String,
    /// Whether it has all that the leader has.
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
    /// How long ago the leader heard of it, in nanoseconds; 0 if it never did, or did while it answered.
    #[serde(default)]
    active: u64,
}

/// How long nobody else can lead after a follower has heard of its leader, with something to spare: followers wait four
/// seconds and more before they choose another.
const LEASE: Duration = Duration::from_millis(2_500);

/// After how long a follower that the leader has not heard of is missing. Followers are heard of every second.
const SILENT_AFTER: Duration = Duration::from_secs(5);

impl StreamInfo {
    /// The server that leads, where several keep the stream.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.cluster.as_ref()?.leader.as_deref()
    }

    /// The other servers that keep the stream.
    pub(crate) fn followers(&self) -> impl Iterator<Item = &str> {
        self.cluster.iter().flat_map(|cluster| &cluster.replicas).map(|replica| replica.name.as_str())
    }

    /// Whether whoever told this was still the leader when it did. A server that is cut off goes on taking itself for
    /// one for ten seconds, and does not know what the others have stored since.
    pub(crate) fn is_of_the_leader(&self) -> bool {
        self.is_of_a_leader_that_heard_within(LEASE)
    }

    /// Which limit of the stream is reached, if one is.
    pub(crate) fn is_full(&self) -> Option<String> {
        let reached = |limit: &str, is: u64| {
            let most = self.config.get(limit).and_then(Value::as_u64).filter(|most| *most > 0)?;
            (is >= most).then(|| format!("the stream has {is} of {limit} {most}"))
        };
        reached("max_msgs", self.state.messages).or_else(|| reached("max_bytes", self.state.bytes))
    }

    /// Which of the stream's servers do not follow its leader, and how that shows.
    pub(crate) fn missing_replicas(&self) -> Vec<String> {
        let replicas = self.cluster.as_ref().map_or(&[][..], |cluster| &cluster.replicas);
        let silent = |replica: &Replica| u128::from(replica.active) > SILENT_AFTER.as_nanos();
        let missing = replicas.iter().filter_map(|replica| {
            let how = match replica {
                replica if replica.offline => "is offline",
                replica if silent(replica) => "is not heard of",
                replica if !replica.current => "has not got everything",
                _ => return None,
            };
            Some(format!("{} {how}", replica.name))
        });
        let mut missing: Vec<String> = missing.collect();
        let wanted = self.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
        let told = replicas.len() as u64 + 1;
        if told < wanted {
            missing.push(format!("{told} of {wanted} servers keep the stream"));
        }
        missing
    }

    /// Whether whoever told this leads, and has heard of a majority so lately.
    pub(crate) fn is_of_a_leader_that_heard_within(&self, lately: Duration) -> bool {
        let replicas = self.cluster.as_ref().map_or(&[][..], |cluster| &cluster.replicas);
        let recent = |replica: &&Replica| (1..lately.as_nanos()).contains(&replica.active.into());
        let majority_but_itself = replicas.len().div_ceil(2);
        replicas.iter().filter(recent).count() >= majority_but_itself
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StreamState {
    #[serde(default)]
    pub(crate) messages: u64,
    #[serde(default)]
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// What `STREAM.MSG.GET` answers.
#[derive(Debug, Deserialize)]
struct StoredAnswer {
    message: StoredMessage,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    /// Base64; absent when empty.
    #[serde(default)]
    pub(crate) hdrs: String,
    /// Base64; absent when empty.
    #[serde(default)]
    pub(crate) data: String,
}

impl Broker {
    /// Whether the connection stands at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Sends a message and waits for its answer.
    ///
    /// While the connection is away the library keeps what it is given and sends it when it is back, long
    /// after the caller was answered; so nothing is given to it then. What is under way when the connection
    /// ends is not sent again and its answer does not come; so it is not waited for.
    pub(crate) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, CallError> {
        let mut turns = self.turns.clone();
        turns.mark_unchanged();
        if !self.is_connected() {
            return Err(CallError::NotConnected);
        }
        let mut request = Request::new().payload(payload).timeout(Some(timeout));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        tokio::select! {
            biased;
            answer = self.client.send_request(subject, request) => answer.map_err(CallError::NoAnswer),
            _ = turns.changed() => Err(CallError::ConnectionLost),
        }
    }

    /// Asks the JetStream API, whose leaders answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        verb: &str,
        request: &Value,
    ) -> Result<T, CallError> {
        let asked = self.majority.asked();
        let answer = self.ask(verb, request).await;
        self.note(asked, &answer);
        answer
    }

    /// Asks again every second, so that a question that went to a server that is gone is not waited for as long as a slow
    /// answer is; the first answer counts. What is asked changes nothing, or nothing the second time.
    async fn ask<T: DeserializeOwned>(&self, verb: &str, request: &Value) -> Result<T, CallError> {
        let payload = Bytes::from(request.to_string());
        let ask = || {
            let timeout = self.config.request_timeout();
            self.request(format!("$JS.API.{verb}"), None, payload.clone(), timeout)
        };
        let mut again = tokio::time::interval(ASKED_AGAIN_AFTER);
        let mut asked = FuturesUnordered::new();
        let answer = loop {
            tokio::select! {
                biased;
                Some(answer) = asked.next() => break answer,
                _ = again.tick() => asked.push(ask()),
            }
        };
        parse(&answer?.payload)
    }

    /// The stream's settings, state and time, from its leader.
    pub(crate) async fn stream_info(&self) -> Result<StreamInfo, CallError> {
        let asked = self.majority.asked();
        let answer = self.ask_stream_info().await;
        if let Ok(info) = &answer {
            self.fitness.note(self, &info.config);
        }
        match &answer {
            Ok(info) if info.is_of_the_leader() => self.majority.heard(),
            Ok(_) => self.miss(asked),
            answer => self.note(asked, answer),
        }
        answer
    }

    /// As [`Broker::stream_info`], where nothing is noted of the answer.
    pub(crate) async fn ask_stream_info(&self) -> Result<StreamInfo, CallError> {
        self.ask(&format!("STREAM.INFO.{}", self.config.stream), &json!({})).await
    }

    /// One message, from the stream's leader: `{"seq": n}`, `{"last_by_subj": s}` or
    /// `{"seq": n, "next_by_subj": s}`.
    pub(crate) async fn leaders_message(&self, which: &Value) -> Result<Option<StoredMessage>, CallError> {
        match self.call::<StoredAnswer>(&format!("STREAM.MSG.GET.{}", self.config.stream), which).await {
            Ok(stored) => Ok(Some(stored.message)),
            Err(error) if error.code() == Some(NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The subject on which any replica answers for the stream.
    pub(crate) fn direct_get(&self) -> String {
        format!("$JS.API.DIRECT.GET.{}", self.config.stream)
    }
}

/// An API answer as what was asked for, or as a refusal.
pub(crate) fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CallError> {
    let envelope: Envelope = serde_json::from_slice(payload).map_err(CallError::Malformed)?;
    match envelope.error {
        Some(refusal) => Err(CallError::Refused(refusal)),
        None => serde_json::from_slice(payload).map_err(CallError::Malformed),
    }
}

/// A duration as the broker's JSON wants it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Nanos(u64);

impl From<u32> for Nanos {
    fn from(ms: u32) -> Self {
        Self(u64::try_from(millis(ms).as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of_the_leader(cluster: &Value) -> bool {
        let info = json!({ "config": {}, "state": { "last_seq": 1 }, "ts": "2026-11-24T00:00:00Z", "created": "2026-11-24T00:00:00Z", "cluster": cluster });
        serde_json::from_value::<StreamInfo>(info).unwrap().is_of_the_leader()
    }

    #[test]
    fn a_server_leads_for_certain_only_while_a_majority_has_just_been_heard_of() {
        let heard = |ago_ms: &[u64]| {
            let replicas: Vec<Value> = ago_ms.iter().map(|ms| json!({ "active": ms * 1_000_000 })).collect();
            is_of_the_leader(&json!({ "leader": "a", "replicas": replicas }))
        };
        assert!(is_of_the_leader(&Value::Null) && heard(&[]), "one server is its own majority");
        assert!(heard(&[100, 900]) && heard(&[100, 60_000]));
        assert!(!heard(&[3_000, 60_000]) && !heard(&[0, 0]), "late, or never heard of");
        assert!(heard(&[1, 1, 60_000, 60_000]) && !heard(&[1, 60_000, 60_000, 60_000]));
    }

    #[test]
    fn a_replica_that_does_not_follow_is_missing() {
        let info = |replicas: Value| -> StreamInfo {
            let info = json!({
                "config": { "num_replicas": 3 }, "state": { "last_seq": 1 }, "ts": "2026-11-24T00:00:00Z",
                "created": "2026-11-24T00:00:00Z", "cluster": { "leader": "a", "replicas": replicas },
            });
            serde_json::from_value(info).unwrap()
        };
        let well = |name: &str| json!({ "name": name, "current": true, "active": 900_000_000_u64 });
        assert!(info(json!([well("b"), well("c")])).missing_replicas().is_empty());
        for bad in [
            json!({ "name": "c", "current": true, "offline": true }),
            json!({ "name": "c", "current": true, "active": 60_000_000_000_u64 }),
            json!({ "name": "c", "current": false, "active": 1 }),
        ] {
            assert_eq!(info(json!([well("b"), bad])).missing_replicas().len(), 1, "{bad}");
        }
        assert_eq!(info(json!([well("b")])).missing_replicas(), ["2 of 3 servers keep the stream"]);
    }
}
