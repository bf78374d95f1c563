//! The trade's rules saying no: each value is one rule with the facts that made it say so.
//!
//! A rejection is an answer, not a failure. Its `code` is stable; its words are the gateway's.

use serde::Serialize;

use crate::aggregate::Instant;
use crate::ids::{BranchId, StaffId, TicketId};
use crate::sla::{ClockKind, Notice};

/// Why a command is not obeyed. Serialised as `{"code": "…", facts…}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[error("{self:?}")]
#[expect(missing_docs, reason = "the facts' names say what they are")]
pub enum Rejection {
    /// No ticket has this id.
    TicketNotFound,
    /// The id is taken by another registration.
    TicketAlreadyRegistered,
    /// The ticket is closed, cancelled or merged: it takes only what an ended ticket takes.
    TicketEnded,
    /// Only a handled or closed ticket can be reopened.
    TicketStillOpen,
    /// A paused ticket is resumed before the work goes on (R37).
    TicketPaused { since: Instant },
    /// There is no pause to end.
    TicketNotPaused,
    /// The customer has had the first answer.
    AlreadyResponded { responded_at: Instant },
    /// Closing needs the customer's first answer (R30).
    NotYetResponded,
    /// Somebody is on the way (R11).
    TechnicianAlreadyDispatched { technician: StaffId },
    /// Nobody was sent, so nobody can arrive (R12).
    TechnicianNotDispatched,
    /// The technician has arrived already.
    TechnicianAlreadyArrived { arrived_at: Instant },
    /// Work at the customer's begins with the arrival.
    TechnicianNotArrived,
    /// The work is done already.
    AlreadyFixed,
    /// A repair closes when it is fixed (R13).
    NotYetFixed,
    /// This complaint or claim was registered without a visit.
    NoVisitNeeded,
    /// Only repairs have a service basis (R10).
    NotARepair,
    /// The command would change nothing.
    NothingToChange,
    /// No such branch.
    UnknownBranch { branch: BranchId },
    /// The branch has not such a person.
    UnknownStaff { branch: BranchId, staff: StaffId },
    /// The person has left.
    StaffHasLeft { staff: StaffId },
    /// Only technicians (技术员) are dispatched.
    NotATechnician { staff: StaffId },
    /// The branch lists its districts, and this is none of them.
    UnknownDistrict { branch: BranchId, district: String },
    /// Neither area nor a known district was given (R1).
    AreaMissing,
    /// The company lists its products, and this is none of them.
    UnknownProduct { product: String },
    /// Things are reported after they happened (R2).
    OccurredInFuture { occurred_at: Instant, now: Instant },
    /// The thing cannot have happened before what it follows.
    OccurredTooEarly { occurred_at: Instant, not_before: Instant },
    /// The ticket has no such clock in this cycle.
    ClockNotFound { clock: ClockKind, cycle: u32 },
    /// The limit is not broken: met, paused, cancelled, or still running (R38).
    NotOverdue { clock: ClockKind, due_at: Option<Instant> },
    /// The command would end or pause a clock whose limit was broken before: these notices are recorded first, each in a
    /// commit of its own (R60, R61). Whoever handles the command does so and asks again.
    NoticesFirst { notices: Vec<Notice> },
    /// The branch's calendar gives no due instant for the limit.
    DueInstantNotComputable { detail: String },
    /// A ticket cannot be merged into itself.
    MergedIntoItself,
    /// The other ticket is not there, or not open.
    MergeTargetNotOpen { into: TicketId },
    /// The technician is busy with another ticket then (R11).
    VisitOverlaps { ticket: TicketId, from: Instant, until: Instant },
    /// A visit ends after it begins, and lasts at most a week.
    VisitWindowInvalid,
    /// The branch exists already.
    BranchAlreadyOpen,
    /// A person with this id is on the staff.
    StaffAlreadyKnown { staff: StaffId },
    /// The calendar was refused; the last good version stays in force (R52).
    CalendarRefused { reason: String, detail: String },
    /// The policy was refused; the last good version stays in force.
    PolicyRefused { detail: String },
}

impl Rejection {
    /// The stable word for machines, as serialised.
    pub fn code(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => {
                fields.get("code").and_then(|code| code.as_str()).unwrap_or("rejected").to_owned()
            }
            _ => "rejected".to_owned(),
        }
    }
}
