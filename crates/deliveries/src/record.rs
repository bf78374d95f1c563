//! What is kept: records, their keys, and their form on disk and wire.

use std::fmt;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, Number};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the form in which records are kept.
const FORMAT: u32 = 1;

/// One message's identity: the alert's or digest's id, or `<notice>/withdrawn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId {
    /// The alert's id; a digest's is derived from those of its alerts.
    pub id: Uuid,
    /// Whether it takes back the notice of this id (R40).
    pub withdrawn: bool,
}

const WITHDRAWN: &str = "/withdrawn";

impl MessageId {
    /// The id of the message that tells an alert, or a digest.
    pub const fn of(id: Uuid) -> Self {
        Self { id, withdrawn: false }
    }

    /// The id of the message that withdraws a notice.
    pub const fn withdrawal(id: Uuid) -> Self {
        Self { id, withdrawn: true }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let withdrawn = if self.withdrawn { WITHDRAWN } else { "" };
        write!(f, "{}{withdrawn}", self.id.hyphenated())
    }
}

/// A text that is no message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message's id: a UUID, or a UUID and `/withdrawn`, is wanted")]
pub struct NotAMessageId;

impl std::str::FromStr for MessageId {
    type Err = NotAMessageId;

    fn from_str(text: &str) -> Result<Self, NotAMessageId> {
        let (id, withdrawn) = match text.strip_suffix(WITHDRAWN) {
            Some(id) => (id, true),
            None => (text, false),
        };
        id.parse().map(|id| Self { id, withdrawn }).map_err(|_| NotAMessageId)
    }
}

impl TryFrom<String> for MessageId {
    type Error = NotAMessageId;

    fn try_from(text: String) -> Result<Self, NotAMessageId> {
        text.parse()
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> Self {
        id.to_string()
    }
}

/// What is kept under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// When a channel began.
    Channel(ChannelBegun),
    /// Who pushes a branch's alerts through a channel.
    Lease(LeaseHeld),
    /// How a message stands on a channel.
    Delivery(Delivery),
    /// Bytes under this key that are no record of ours, or one of a later build. Never put.
    #[serde(skip)]
    Unreadable(Key),
}

/// When a channel was first served: what was issued before is not its business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelBegun {
    /// Which one.
    pub channel: ChannelId,
    /// When it began.
    pub begins_at: Instant,
    /// When this was last written: a record that nobody writes again is forgotten with the retention.
    pub confirmed_at: Instant,
}

/// Who may push a branch's alerts through a channel, for a while after this was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHeld {
    /// The channel.
    pub channel: ChannelId,
    /// The branch.
    pub branch: BranchId,
    /// The notifier that holds it; `None` once it has let go.
    pub holder: Option<Uuid>,
    /// How often it was written: no two records of one lease are equal.
    pub turn: u64,
}

/// How a message stands on a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The channel.
    pub channel: ChannelId,
    /// The message.
    pub message: MessageId,
    /// The branch that it concerns.
    pub branch: BranchId,
    /// The alerts that it tells of, in the order of the log.
    pub alerts: Vec<Uuid>,
    /// The ticket's number, where it tells of one ticket.
    pub number: Option<Number>,
    /// When the latest of its alerts was issued.
    pub issued_at: Instant,
    /// How it stands.
    pub state: DeliveryState,
    /// How many attempts were begun.
    pub attempts: u32,
    /// How many of them may have delivered it although nobody knows.
    pub maybe_twice: u32,
    /// When somebody asked to have it sent again.
    pub asked_at: Option<Instant>,
    /// When this was written.
    pub at: Instant,
}

/// How a message stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is being pushed, or was, when its notifier ended.
    InFlight {
        /// By which notifier.
        holder: Uuid,
    },
    /// It was not taken, and is tried again.
    Failed {
        /// What was seen.
        reason: String,
        /// Whether it may have arrived all the same.
        maybe_arrived: bool,
    },
    /// The receiver has taken it.
    Delivered,
    /// It was too old, and is tried no more.
    GivenUp {
        /// What was seen last.
        reason: String,
        /// Whether it may have arrived all the same.
        maybe_arrived: bool,
    },
    /// It was never pushed and never will be, but by hand: it is older than the channel or than this record.
    Skipped,
    /// Its notice was superseded before it was taken: it is pushed no more.
    Withdrawn {
        /// Whether it may have arrived all the same.
        maybe_arrived: bool,
    },
    /// Somebody asked to have it sent again.
    Asked {
        /// Whether it may have arrived before.
        maybe_arrived: bool,
    },
}

impl DeliveryState {
    /// Whether nothing more is done about it by itself.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Delivered | Self::GivenUp { .. } | Self::Skipped | Self::Withdrawn { .. })
    }

    /// The word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::InFlight { .. } => "in_flight",
            Self::Failed { .. } => "failed",
            Self::Delivered => "delivered",
            Self::GivenUp { .. } => "given_up",
            Self::Skipped => "skipped",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Asked { .. } => "asked",
        }
    }

    /// What was seen last, where something went wrong.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason, .. } | Self::GivenUp { reason, .. } => Some(reason),
            Self::InFlight { .. }
            | Self::Delivered
            | Self::Skipped
            | Self::Withdrawn { .. }
            | Self::Asked { .. } => None,
        }
    }

    /// Whether the receiver has it, or may have it.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Delivered | Self::InFlight { .. } => true,
            Self::Failed { maybe_arrived, .. }
            | Self::GivenUp { maybe_arrived, .. }
            | Self::Withdrawn { maybe_arrived }
            | Self::Asked { maybe_arrived } => *maybe_arrived,
            Self::Skipped => false,
        }
    }
}

/// Under what a record is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A channel's beginning.
    Channel(ChannelId),
    /// The lease of a branch on a channel.
    Lease(ChannelId, BranchId),
    /// A message on a channel.
    Delivery(ChannelId, MessageId),
}

impl Key {
    /// The channel concerned.
    pub fn channel(&self) -> &ChannelId {
        match self {
            Self::Channel(channel) | Self::Lease(channel, _) | Self::Delivery(channel, _) => channel,
        }
    }
}

/// Words of a subject: `<channel>.begun`, `<channel>.lease.<branch>`, `<channel>.delivery.<message>`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(channel) => write!(f, "{channel}.begun"),
            Self::Lease(channel, branch) => write!(f, "{channel}.lease.{branch}"),
            Self::Delivery(channel, message) => write!(f, "{channel}.delivery.{message}"),
        }
    }
}

/// Bytes that are no record of ours, or one of a later build.
#[derive(Debug, thiserror::Error)]
#[error("read a record of deliveries")]
pub struct UnreadableRecord(#[source] serde_json::Error);

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Deserialize)]
struct Read {
    v: u32,
    #[serde(flatten)]
    record: Record,
}

impl Record {
    /// Where it is kept.
    pub fn key(&self) -> Key {
        match self {
            Self::Channel(begun) => Key::Channel(begun.channel.clone()),
            Self::Lease(lease) => Key::Lease(lease.channel.clone(), lease.branch.clone()),
            Self::Delivery(delivery) => Key::Delivery(delivery.channel.clone(), delivery.message),
            Self::Unreadable(key) => key.clone(),
        }
    }

    /// Reads what stands under a key; what cannot be read is said, and is [`Record::Unreadable`].
    pub fn under(key: &Key, bytes: &[u8]) -> Self {
        Self::from_bytes(bytes).unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, %key, "no record of deliveries: the next put under this key overwrites it");
            Self::Unreadable(key.clone())
        })
    }

    /// The bytes in which it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "these shapes have text keys and nothing that JSON refuses")]
        serde_json::to_vec(&Written { v: FORMAT, record: self }).expect("JSON takes these shapes")
    }

    /// Reads those bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableRecord> {
        let Read { v, record } = serde_json::from_slice(bytes).map_err(UnreadableRecord)?;
        if v == FORMAT {
            Ok(record)
        } else {
            Err(UnreadableRecord(serde::de::Error::custom(format_args!("format {v} is not known"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_messages_id_is_written_as_it_goes_out() {
        for text in ["018f0000-0000-7000-8000-000000000001", "018f0000-0000-7000-8000-000000000001/withdrawn"]
        {
            assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);
        }
        assert!("".parse::<MessageId>().is_err() && "a/withdrawn".parse::<MessageId>().is_err());
    }

    /// Written by the first build that had this record; later builds read it.
    const FIRST_FORM: &str = r#"{"v":1,"kind":"delivery","channel":"crm","message":"018f0000-0000-7000-8000-000000000001/withdrawn","branch":"B0","alerts":["018f0000-0000-7000-8000-000000000001"],"number":"BX-202611-00001","issued_at":"2026-11-20T09:30:00Z","state":{"is":"failed","reason":"HTTP 500","maybe_arrived":false},"attempts":2,"maybe_twice":1,"asked_at":null,"at":"2026-11-20T09:31:00Z"}"#;

    #[test]
    fn the_first_form_is_read_and_written_unchanged() {
        let record = Record::from_bytes(FIRST_FORM.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(record.to_bytes()).unwrap(), FIRST_FORM);
        let Record::Delivery(delivery) = record else { panic!("{record:?}") };
        assert!(delivery.message.withdrawn && !delivery.state.is_settled());
        assert_eq!(delivery.state.reason(), Some("HTTP 500"));
    }

    #[test]
    fn a_later_form_and_garbage_are_refused() {
        assert!(Record::from_bytes(FIRST_FORM.replacen("\"v\":1", "\"v\":2", 1).as_bytes()).is_err());
        assert!(Record::from_bytes(b"\xff").is_err());
    }
}
