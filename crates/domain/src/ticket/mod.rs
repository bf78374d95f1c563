//! The ticket (工单): one repair (报修), complaint (投诉) or compensation claim (索赔) from call to close.
//!
//! ```text
//! registered ─► responded ─► dispatched ─► arrived ─► fixed ─► closed ─► reopened (a new cycle)
//!      └─ paused / resumed, reclassified, reassigned, transferred, merged, cancelled along the way
//! ```
//!
//! [`command`](TicketCommand) and [`event`](TicketEvent) list what there is, [`state`](Ticket) folds it, and each
//! verb has a file with its command and its decision. [`clocks`] is the one place where clocks start and stop.

mod case;
mod clocks;
mod command;
mod event;
mod state;

mod assign;
mod close;
mod expedite;
mod merge;
mod pause;
mod reclassify;
mod register;
mod respond;
mod transfer;
mod visit;

pub use assign::{AssignHandler, ReassignTicket};
pub use close::{CancelTicket, CloseTicket, ReopenTicket};
pub use command::TicketCommand;
pub use event::{ClockBasis, DeadlineReason, TicketEvent, TicketSummary};
pub use expedite::{IssueExpediteNotice, MoveDeadlines};
pub use merge::MergeTicket;
pub use pause::{PauseReason, PauseTicket, ResumeTicket};
pub use reclassify::{CorrectServiceBasis, ReclassifyTicket};
pub use register::{
    Area, Channel, CustomerLevel, Priority, RegisterTicket, Registration, ServiceBasis, TicketKind, Urgency,
};
pub use respond::RespondToCustomer;
pub use state::{Lifecycle, Stage, Ticket};
pub use transfer::TransferTicket;
pub use visit::{ArriveAtCustomer, DispatchTechnician, FixOnSite, VisitWindow};
