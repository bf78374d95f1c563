//! The shape that all aggregates share, and what a decision may know.

use chrono::{DateTime, Utc};

use crate::alert::{Alert, AlertEvent};
use crate::ids::{Actor, BranchId, StaffId, TicketId};
use crate::numbering::{Numbering, NumberingEvent};
use crate::organisation::{Branch, BranchEvent, Company, CompanyEvent, Organisation};
use crate::rejection::Rejection;
use crate::schedule::{Schedule, ScheduleEvent};
use crate::step_over::StepOverEvent;
use crate::ticket::{Ticket, TicketEvent};

/// A point in time, kept to the microsecond.
pub type Instant = DateTime<Utc>;

/// The state of one stream, and the two functions that make it event-sourced.
pub trait Aggregate: Clone + Default + Send + Sync + 'static {
    /// What can be asked of it.
    type Command: Send + Sync;
    /// What can have happened to it.
    type Event: Clone + Send + Sync + Into<Event> + TryFrom<Event>;

    /// The stream kind: the first segment of the stream's address.
    const KIND: &'static str;

    /// What happens when this command is obeyed now, or the rule that forbids it.
    ///
    /// An empty list says that the command's aim holds already: nothing is appended.
    fn decide(&self, command: &Self::Command, context: &Context<'_>) -> Result<Vec<Self::Event>, Rejection>;

    /// The state after one more event. Cannot fail: what was recorded, happened.
    fn evolve(&mut self, event: &Self::Event, happened: Happened);

    /// Whether the command begins a stream, so that there is nothing to read before deciding it.
    fn creates(_: &Self::Command) -> bool {
        false
    }

    /// The branch that a commit of these events concerns, told by the state *before* it; `None` for the company.
    fn branch(&self, events: &[Self::Event]) -> Option<BranchId>;

    /// The class of a commit of these events.
    fn class(events: &[Self::Event]) -> Class;
}

/// Whether some aggregate could have this stream. What somebody put into another one is read by nobody, and nobody waits
/// for it.
pub fn is_stream(kind: &str, id: &str) -> bool {
    match kind {
        Ticket::KIND => id.parse::<TicketId>().is_ok(),
        Branch::KIND => BranchId::new(id).is_ok(),
        Schedule::KIND => StaffId::new(id).is_ok(),
        Company::KIND | Numbering::KIND | Alert::KIND => true,
        _ => false,
    }
}

/// When something happened, and when the system came to know it (R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happened {
    /// When it happened.
    pub occurred_at: Instant,
    /// When it was recorded.
    pub recorded_at: Instant,
}

/// What a decision knows besides the command and its own stream.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time of the decision; becomes `recorded_at`.
    pub now: Instant,
    /// When the thing asked for happened; not after `now`.
    pub occurred_at: Instant,
    /// Who asks.
    pub actor: &'a Actor,
    /// Company and branches with their calendars, policies, areas and staff.
    pub organisation: &'a Organisation,
    /// The other ticket that the command names, if it names one.
    pub related: Option<&'a Ticket>,
}

impl Context<'_> {
    /// Refuses what is said to have happened after now (R2).
    pub fn check_not_in_future(&self, occurred_at: Instant) -> Result<(), Rejection> {
        let now = self.now;
        if occurred_at > now { Err(Rejection::OccurredInFuture { occurred_at, now }) } else { Ok(()) }
    }

    /// The two times of what is being decided.
    pub fn happened(&self) -> Happened {
        Happened { occurred_at: self.occurred_at, recorded_at: self.now }
    }
}

/// What a commit is about, for those who follow only a part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A ticket's own course.
    Case,
    /// A limit was broken: 催办.
    Expedite,
    /// A ticket changes its branch.
    Transfer,
    /// Rules and people: calendars, policies, areas, staff, numbers.
    Policy,
    /// How alerts were delivered.
    Alert,
}

impl Class {
    /// The segment of the commit's address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Case => "case",
            Self::Expedite => "expedite",
            Self::Transfer => "transfer",
            Self::Policy => "policy",
            Self::Alert => "alert",
        }
    }
}

macro_rules! events {
    ($($variant:ident($event:ty),)+) => {
        /// Any event of any aggregate, or of any stream, as the log's readers meet it.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each variant is documented at its aggregate")]
        pub enum Event { $($variant($event)),+ }

        $(
            impl From<$event> for Event {
                fn from(event: $event) -> Self {
                    Self::$variant(event)
                }
            }

            impl TryFrom<Event> for $event {
                type Error = Event;
                fn try_from(event: Event) -> Result<Self, Event> {
                    match event {
                        Event::$variant(event) => Ok(event),
                        other => Err(other),
                    }
                }
            }
        )+
    };
}

events! {
    Ticket(TicketEvent),
    Company(CompanyEvent),
    Branch(BranchEvent),
    Schedule(ScheduleEvent),
    Numbering(NumberingEvent),
    Alert(AlertEvent),
    SteppedOver(StepOverEvent),
}
