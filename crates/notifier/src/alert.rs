//! An alert (提醒): what the log says that somebody has to hear of.
//!
//! It carries no name, phone or address of a customer (R91): only ids, numbers and the trade's facts.

use std::fmt;

use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, CommandId, Number, StaffId, TicketId};
use cuiban_domain::people::{Department, Party};
use cuiban_domain::sla::{ClockKind, Notice, Rung};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{TicketKind, Urgency};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How much an alert may disturb (R64).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// 特急: at once, at any hour (R4).
    Emergency,
    /// As much as its step of the ladder allows (R62).
    Rung(Rung),
}

impl Severity {
    /// The word in subjects and payloads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Rung(rung) => rung.as_str(),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to tell (提醒): an expedite notice (催办单, R60), an emergency (特急, R4), or that a notice counts no more
/// (R40): then everything in it is the notice's, but for when it was recorded and by what.
///
/// Clock, cycle, rung, repetition, due instant and addressee are a notice's; an emergency has none of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for the same notice or emergency, whoever computes it and however often it is sent.
    pub id: Uuid,
    /// The ticket that it is about.
    pub ticket: TicketId,
    /// The ticket's number for people.
    pub number: Option<Number>,
    /// Repair, complaint or claim.
    pub kind: Option<TicketKind>,
    /// Which product.
    pub product_model: Option<Name>,
    /// How urgent the ticket is.
    pub urgency: Option<Urgency>,
    /// The branch that had the ticket then.
    pub branch: BranchId,
    /// The clock that ran out.
    pub clock: Option<ClockKind>,
    /// The clock's cycle, from 1.
    pub cycle: Option<u32>,
    /// The step of the ladder.
    pub rung: Option<Rung>,
    /// The clock's episode, from 0; see [`Notice`].
    pub episode: Option<u32>,
    /// The repetition on that rung, from 0.
    pub repetition: Option<u32>,
    /// The instant that passed.
    pub due_at: Option<Instant>,
    /// When it was recorded.
    pub issued_at: Instant,
    /// Whether it was recorded after its instant: backfill.
    pub late: bool,
    /// The party that owes the next step.
    pub addressee: Option<Party>,
    /// Who is to hear of it besides.
    pub informed: Vec<StaffId>,
    /// The departments that hear of it because the branch has nobody who would (R4, R60): it goes to the company.
    pub departments: Vec<Department>,
    /// Whether it takes back the notice of this id.
    pub withdrawn: bool,
    /// The commit that recorded it.
    pub caused_by: CommandId,
}

impl Alert {
    /// The id of the message that tells it.
    pub fn message(&self) -> MessageId {
        MessageId { id: self.id, withdrawn: self.withdrawn }
    }

    /// Its place on the scale of disturbance.
    pub fn severity(&self) -> Severity {
        self.rung.map_or(Severity::Emergency, Severity::Rung)
    }

    /// The notice's identity (R61); `None` for an emergency.
    pub fn notice(&self) -> Option<Notice> {
        Some(Notice {
            clock: self.clock?,
            cycle: self.cycle?,
            episode: self.episode.unwrap_or_default(),
            rung: self.rung?,
            repetition: self.repetition?,
        })
    }
}

/// The id of the alert that an emergency gives which was raised in this revision of the ticket's stream.
pub(crate) fn emergency_id(ticket: TicketId, revision: u64) -> Uuid {
    Uuid::new_v5(&ticket.0, format!("emergency/{revision}").as_bytes())
}
