//! The composed values of a ticket's events.

use cuiban_domain::ids::StaffId;
use cuiban_domain::people::{Customer, Department, Party};
use cuiban_domain::sla::{Clock, ClockState, Limit, Notice};
use cuiban_domain::text::Line;
use cuiban_domain::ticket::{ClockBasis, TicketSummary, VisitWindow};
use cuiban_domain::{Instant, alert::Outcome};

use crate::proto;
use crate::wire::{Field, Value, WireError, field, invalid, message};

message! {
    Customer { name, phone, address }
    VisitWindow { from, until }
    Limit { span, measure }
    ClockBasis { policy_version, calendar_version }
    Notice { clock, cycle, episode, rung, repetition }
    Clock { kind, cycle, limit, started_at, consumed, running_since, state, notices, superseded }
    TicketSummary {
        number, kind, customer, customer_level, product_model, serial_number, description,
        reported_at, urgency, needs_visit, responded_at, clocks,
    }
}

impl Value for Party {
    type Present = proto::Party;
    fn to_present(&self) -> proto::Party {
        let party = match self {
            Self::Staff(staff) => proto::party::Party::Staff(staff.to_present()),
            Self::Department(department) => proto::party::Party::Department(department.to_present()),
        };
        proto::Party { party: Some(party) }
    }
    fn from_present(present: proto::Party) -> Result<Self, WireError> {
        match present.party.ok_or_else(|| invalid("a party that this version does not know"))? {
            proto::party::Party::Staff(staff) => StaffId::from_present(staff).map(Self::Staff),
            proto::party::Party::Department(department) => {
                Department::from_present(department).map(Self::Department)
            }
        }
    }
}

impl Value for ClockState {
    type Present = proto::ClockState;
    fn to_present(&self) -> proto::ClockState {
        use proto::ClockStateKind as Kind;
        let (kind, at, ended_at, late_recorded) = match *self {
            Self::Running { due_at } => (Kind::Running, Some(due_at), None, false),
            Self::Paused { since } => (Kind::Paused, Some(since), None, false),
            Self::Met { at, late_recorded } => (Kind::Met, Some(at), None, late_recorded),
            Self::Breached { due_at, ended_at } => (Kind::Breached, Some(due_at), ended_at, false),
            Self::Cancelled => (Kind::Cancelled, None, None, false),
        };
        proto::ClockState { kind: kind.into(), at: at.to_wire(), ended_at: ended_at.to_wire(), late_recorded }
    }
    fn from_present(present: proto::ClockState) -> Result<Self, WireError> {
        use proto::ClockStateKind as Kind;
        let (kind, at) = (present.kind(), present.at);
        Ok(match kind {
            Kind::Running => Self::Running { due_at: Instant::from_wire(at)? },
            Kind::Paused => Self::Paused { since: Instant::from_wire(at)? },
            Kind::Met => Self::Met { at: Instant::from_wire(at)?, late_recorded: present.late_recorded },
            Kind::Breached => Self::Breached {
                due_at: Instant::from_wire(at)?,
                ended_at: Option::from_wire(present.ended_at)?,
            },
            Kind::Cancelled => Self::Cancelled,
            Kind::Unspecified => return Err(invalid("a clock state that this version does not know")),
        })
    }
}

impl Value for Outcome {
    type Present = proto::Outcome;
    fn to_present(&self) -> proto::Outcome {
        use proto::OutcomeKind as Kind;
        let (kind, reason) = match self {
            Self::Delivered => (Kind::Delivered, String::new()),
            Self::Failed(reason) => (Kind::Failed, reason.to_string()),
            Self::GivenUp(reason) => (Kind::GivenUp, reason.to_string()),
        };
        proto::Outcome { kind: kind.into(), reason }
    }
    fn from_present(present: proto::Outcome) -> Result<Self, WireError> {
        use proto::OutcomeKind as Kind;
        Ok(match present.kind() {
            Kind::Delivered => Self::Delivered,
            Kind::Failed => Self::Failed(Line::from_wire(present.reason)?),
            Kind::GivenUp => Self::GivenUp(Line::from_wire(present.reason)?),
            Kind::Unspecified => return Err(invalid("an outcome that this version does not know")),
        })
    }
}

field!(message Party, ClockState, Outcome);
