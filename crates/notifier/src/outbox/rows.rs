//! The outbox's rows. Each is disposable: the log gives it again.

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, Number};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{TicketKind, Urgency};
use cuiban_projector::{FIRST_TABLE, Key, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// An alert that is not settled on every channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingAlert {
    pub(crate) place: Place,
    pub(crate) alert: Alert,
    /// The channels that it is meant for.
    pub(crate) channels: Vec<ChannelProgress>,
}

/// How an alert stands on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelProgress {
    pub(crate) channel: ChannelId,
    pub(crate) attempts: u32,
    pub(crate) last_attempt_at: Option<Instant>,
    pub(crate) settled: bool,
}

impl PendingAlert {
    /// How it stands on a channel on which something is still to be done.
    pub(crate) fn unsettled_on(&self, channel: &ChannelId) -> Option<&ChannelProgress> {
        self.channels.iter().find(|progress| progress.channel == *channel && !progress.settled)
    }
}

impl Row for PendingAlert {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// Where a pending alert is, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingPlace {
    pub(crate) lane: Lane,
    pub(crate) place: Place,
}

impl Row for PendingPlace {
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

/// An alert that a channel did not take, for the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpAlert {
    /// The alert's id.
    pub alert: Uuid,
    /// Which ticket it was about, as far as the outbox still knew.
    pub number: Option<Number>,
    /// The branch concerned.
    pub branch: BranchId,
    /// Which channel.
    pub channel: ChannelId,
    /// How many attempts were made.
    pub attempts: u32,
    /// What was seen last.
    pub reason: String,
    /// When the last attempt was recorded.
    pub at: Instant,
}

impl Row for GivenUpAlert {
    const TABLE: u8 = FIRST_TABLE + 3;
    const FORMAT: u8 = 1;
}

/// How many alerts were given up since the log began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GivenUpCount(pub(crate) u64);

impl Row for GivenUpCount {
    const TABLE: u8 = FIRST_TABLE + 4;
    const FORMAT: u8 = 1;
}
