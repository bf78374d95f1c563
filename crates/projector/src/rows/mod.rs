//! What the read models answer with. A row is its own answer: the same type is stored and put into JSON.
//!
//! - [`TicketRow`] with its [`ClockRow`]s: a ticket as the counter sees it. [`TimelineEntry`]: one commit of it.
//! - [`RepairRegister`]: a day's lines of the repair register (叫修登记簿).
//! - [`BoardRow`], [`OverdueRow`], [`Proposal`], [`TechnicianLoad`]: what the dispatcher works with.
//! - [`NoticeRow`], [`DeliveryRow`]: 催办单 and how they were pushed.
//! - [`OpenClock`]: a clock that may still break, for the watchdog and for previews. [`Unurged`]: those that are due.
//! - [`Page`], [`Paged`], [`TicketFilter`]: how lists are asked for.

mod clock;
mod dispatch;
mod notice;
mod page;
mod register;
mod status;
mod ticket;
mod timeline;

pub use clock::{ClockRow, ClockStanding, OpenClock, Unurged};
pub use dispatch::{BoardRow, DispatchBoard, OverdueRow, Proposal, ProposalReason, TechnicianLoad};
pub use notice::{DeliveryOutcome, DeliveryRow, NoticeRow};
pub use page::{Page, Paged, TicketFilter};
pub use register::{RegisterLine, RepairRegister, StruckOff};
pub use status::{ModelStatus, ParkedRow};
pub use ticket::{TicketLifecycle, TicketRow, WorkStage};
pub use timeline::{TimelineEntry, TimelineEvent};
