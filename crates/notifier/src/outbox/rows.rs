//! The outbox's rows. Each is disposable: the log gives it again.

use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, Number};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{TicketKind, Urgency};
use cuiban_projector::{FIRST_TABLE, Key, Row};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Severity};

/// Where in the log an alert was recorded: the commit's position and the event's place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) index: u32,
}

/// Which alerts are read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lane {
    /// Emergencies: they never wait behind anything else.
    Express,
    /// Everything else.
    Ordinary,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Express, Self::Ordinary];

    pub(crate) fn of(severity: Severity) -> Self {
        match severity {
            Severity::Emergency => Self::Express,
            Severity::Rung(_) => Self::Ordinary,
        }
    }

    /// The prefix of this lane's keys.
    pub(crate) fn key(self) -> Key {
        Key::new().byte(match self {
            Self::Express => 0,
            Self::Ordinary => 1,
        })
    }
}

impl Place {
    /// The key of the alert that was recorded here.
    pub(crate) fn key(self, lane: Lane) -> Key {
        lane.key().number(self.position).number(self.index.into())
    }
}

/// An alert that is young enough to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptAlert {
    pub(crate) place: Place,
    pub(crate) alert: Alert,
    /// Whether its notice was superseded (R40).
    pub(crate) superseded: bool,
    /// On which channels it was settled by a build that recorded that in the log.
    pub(crate) settled: Vec<Settled>,
}

/// How an alert ended on a channel, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settled {
    pub(crate) channel: ChannelId,
    pub(crate) delivered: bool,
}

impl KeptAlert {
    /// How it ended on a channel, if the log says so.
    pub(crate) fn settled_on(&self, channel: &ChannelId) -> Option<&Settled> {
        self.settled.iter().find(|settled| settled.channel == *channel)
    }
}

impl Row for KeptAlert {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 2;
}

/// Where a kept alert is, by its message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptPlace {
    pub(crate) lane: Lane,
    pub(crate) place: Place,
}

impl KeptPlace {
    /// Its key.
    pub(crate) fn key_of(message: MessageId) -> Key {
        Key::new().id(message.id).byte(message.withdrawn.into())
    }
}

impl Row for KeptPlace {
    const TABLE: u8 = FIRST_TABLE + 1;
    const FORMAT: u8 = 1;
}

/// What alerts say of their ticket. A closed ticket's line stays: it can be reopened (R39).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TicketLine {
    pub(crate) number: Number,
    pub(crate) kind: TicketKind,
    pub(crate) product_model: Name,
    pub(crate) urgency: Urgency,
    pub(crate) branch: BranchId,
}

impl Row for TicketLine {
    const TABLE: u8 = FIRST_TABLE + 2;
    const FORMAT: u8 = 1;
}

/// A channel that was served by a build that recorded its attempts in the log, and when it last did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServedBefore(pub(crate) Instant);

impl ServedBefore {
    /// Its key.
    pub(crate) fn key_of(channel: &ChannelId) -> Key {
        Key::new().text(channel.as_str())
    }
}

impl Row for ServedBefore {
    const TABLE: u8 = FIRST_TABLE + 3;
    const FORMAT: u8 = 1;
}
