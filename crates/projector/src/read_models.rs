//! The query handle: what the gateway, the watchdog and the notifier ask of the read models.

use std::time::Duration;

use chrono::NaiveDate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, NoticeId, TicketId};
use cuiban_domain::organisation::Organisation;
use cuiban_domain::people::Phone;
use cuiban_domain::text::Name;
use cuiban_domain::ticket::TicketKind;
use cuiban_event_log::Position;

use crate::rows::*;

/// A question that cannot be answered now. Ask again: the models mend themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The model is being built or checked; answering from a half of it would be wrong.
    #[error("the read model {model} is being built: at position {cursor} of {head}")]
    NotReady {
        /// Which model.
        model: &'static str,
        /// How far it is.
        cursor: Position,
        /// How far the log is, as far as known.
        head: Position,
    },
    /// The store cannot be read now: its disk is away, or it was found damaged and is being rebuilt.
    #[error("the store of the read models is unavailable: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// The cursor of a page is not one that a page before gave.
    #[error("{0:?} is not a page cursor")]
    InvalidCursor(String),
}

/// The read models did not come as far as was wanted in the time given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models are at position {reached}, not yet at {wanted}")]
pub struct Lagging {
    /// The position waited for.
    pub wanted: Position,
    /// How far the slowest model came.
    pub reached: Position,
}

/// The query handle. Clones are cheap and share the models. No query waits: each reads what is folded.
#[derive(Clone, Debug)]
pub struct ReadModels {}

#[expect(clippy::unused_self, unused_variables, clippy::needless_pass_by_value, reason = "interim")]
impl ReadModels {
    /// A ticket by its id.
    pub fn ticket(&self, ticket: TicketId) -> Result<Option<TicketRow>, ReadError> {
        not_ready()
    }

    /// A ticket by its number for people, `BX-202611-00042`.
    pub fn ticket_by_number(&self, number: &str) -> Result<Option<TicketRow>, ReadError> {
        not_ready()
    }

    /// Every commit of a ticket, oldest first; empty for an unknown ticket.
    pub fn timeline(&self, ticket: TicketId) -> Result<Vec<TimelineEntry>, ReadError> {
        not_ready()
    }

    /// Tickets, the latest call first.
    pub fn tickets(&self, filter: &TicketFilter, page: &Page) -> Result<Paged<TicketRow>, ReadError> {
        not_ready()
    }

    /// Earlier calls that may be about the same thing as one of this customer at `at` (R5), the latest first.
    pub fn possible_duplicates(
        &self,
        phone: &Phone,
        product: &Name,
        kind: TicketKind,
        at: Instant,
        window: Duration,
    ) -> Result<Vec<TicketRow>, ReadError> {
        not_ready()
    }

    /// The repair register (叫修登记簿) of a branch and a day of its zone, by number.
    pub fn repair_register(&self, branch: &BranchId, day: NaiveDate) -> Result<Vec<RegisterLine>, ReadError> {
        not_ready()
    }

    /// The dispatch board (派工板): emergencies, then work carried over (R20), then by remaining time; paused last.
    pub fn board(
        &self,
        branch: &BranchId,
        now: Instant,
        organisation: &Organisation,
    ) -> Result<Vec<BoardRow>, ReadError> {
        not_ready()
    }

    /// Broken limits whose debt is open, the oldest due instant first; of one branch or of all.
    pub fn overdue(&self, branch: Option<&BranchId>, page: &Page) -> Result<Paged<OverdueRow>, ReadError> {
        not_ready()
    }

    /// Expedite notices (催办单), the latest first; of one branch or of all.
    pub fn notices(&self, branch: Option<&BranchId>, page: &Page) -> Result<Paged<NoticeRow>, ReadError> {
        not_ready()
    }

    /// One notice with its deliveries.
    pub fn notice(&self, notice: NoticeId) -> Result<Option<NoticeRow>, ReadError> {
        not_ready()
    }

    /// How a notice was pushed, by channel.
    pub fn deliveries(&self, notice: NoticeId) -> Result<Vec<DeliveryRow>, ReadError> {
        not_ready()
    }

    /// Every clock that runs or is paused, by ticket. Read in slices while it is walked: a clock that changes
    /// meanwhile is seen as it was or as it is.
    pub fn open_clocks(
        &self,
    ) -> Result<Box<dyn Iterator<Item = Result<OpenClock, ReadError>> + Send>, ReadError> {
        not_ready()
    }

    /// The open visits of a branch by technician (R11); technicians without any are not listed.
    pub fn technician_load(&self, branch: &BranchId) -> Result<Vec<TechnicianLoad>, ReadError> {
        not_ready()
    }

    /// Who could go to a ticket, the best first, with reasons (R11); empty for an unknown ticket.
    pub fn dispatch_proposals(
        &self,
        ticket: TicketId,
        organisation: &Organisation,
    ) -> Result<Vec<Proposal>, ReadError> {
        not_ready()
    }

    /// How each model stands.
    pub fn status(&self) -> Vec<ModelStatus> {
        Vec::new()
    }

    /// The commits that are set aside.
    pub fn parked(&self) -> Result<Vec<ParkedRow>, ReadError> {
        not_ready()
    }

    /// Whether every query can be answered.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// The last position that every model has folded.
    pub fn position(&self) -> Position {
        Position::START
    }

    /// Tells of each change of [`Self::position`].
    pub fn changes(&self) -> tokio::sync::watch::Receiver<Position> {
        tokio::sync::watch::Sender::new(Position::START).subscribe()
    }

    /// Returns when every model has folded the commit at `position`, or when `timeout` has passed.
    ///
    /// Wait for positions of commits that this projector follows: one of a branch that it does not is never seen.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Lagging> {
        Err(Lagging { wanted: position, reached: Position::START })
    }
}

fn not_ready<T>() -> Result<T, ReadError> {
    Err(ReadError::NotReady { model: "tickets", cursor: Position::START, head: Position::START })
}
