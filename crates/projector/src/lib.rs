//! Folds of the log into read models: a sled store with its cursor, rebuild, quarantine, queries.

mod codec;
mod config;
mod forms;
mod projector;
mod read_models;
mod rows;
mod store;

pub use codec::CodecError;
pub use config::{Config, StoreConfig};
pub use projector::{Progress, Projector};
pub use read_models::{Lagging, ReadError, ReadModels};
pub use rows::{
    BoardRow, ClockRow, ClockStanding, DeliveryOutcome, DeliveryRow, ModelStatus, NoticeRow, OpenClock,
    OverdueRow, Page, Paged, ParkedRow, Proposal, ProposalReason, RegisterLine, StruckOff, TechnicianLoad,
    TicketFilter, TicketLifecycle, TicketRow, TimelineEntry, TimelineEvent, WorkStage,
};
pub use store::StoreError;
