//! Folds of the log into read models: a sled store with its cursor, rebuild, quarantine, queries.
//!
//! In come the log's commits, decoded once; out go rows. Whoever answers questions (the gateway, the watchdog, the
//! notifier) holds a [`ReadModels`].
//!
//! ```text
//!  log ─► Projector ─► Incoming ─► Model ─► Projection::project(commit, View) ─► rows ┐
//!                                     └──── one atomic batch: rows, parked, cursor ◄──┘
//!  question ─► ReadModels ─► Model ─► rows, from a model that is whole, or `ReadError`
//! ```
//!
//! - [`Projection`] is a fold: pure, of a commit and the rows so far. [`Row`], [`Key`] and [`View`] are its tools.
//! - [`Model`] is a projection in a [`Store`]: cursor, parked commits, versions side by side.
//! - [`Store`] is the only door to sled. It expects damage: panics, errors and silence put the directory aside.
//! - [`Runner`] follows the log with one model, [`Projector`] with all of them.
//!
//! This room never writes to the log, decides nothing, reads no clock and knows no HTTP. Everything that it keeps can
//! be deleted and comes back equal from the log, byte for byte.

mod attached;
mod codec;
mod config;
mod follow;
mod forms;
mod key;
mod model;
mod parked;
mod projection;
mod projections;
mod projector;
mod read_models;
mod rows;
mod rows_reader;
mod runner;
mod scope;
mod store;
mod view;

/// The first table that a projection's rows may have; the ones before are the model's own.
pub const FIRST_TABLE: u8 = 16;

pub use attached::RawRow;
pub use codec::CodecError;
pub use config::{Config, StoreConfig};
pub use key::Key;
pub use model::{Applied, FedFrom, Model};
pub use parked::{ParkedEntry, Retried};
pub use projection::{Incoming, Projection, Row, Unfoldable};
pub use projections::{Notices, OpenClocks, OpenClocksByDue, Tickets, Timelines};
pub use projector::{Progress, Projector};
pub use read_models::{Lagging, ReadError, ReadModels};
pub use rows::{
    BoardRow, ClockRow, ClockStanding, DeliveryOutcome, DeliveryRow, DispatchBoard, ModelStatus, NoticeRow,
    OpenClock, OverdueRow, Page, Paged, ParkedRow, Proposal, ProposalReason, RegisterLine, RepairRegister,
    StruckOff, TechnicianLoad, TicketFilter, TicketLifecycle, TicketRow, TimelineEntry, TimelineEvent,
    Unurged, WorkStage,
};
pub use rows_reader::RowsReader;
pub use runner::Runner;
pub use scope::{HandOver, Scope};
pub use store::{
    MemoryDisk, MemorySnapshot, Quarantined, Store, StoreError, StorePlace, WriteFault, WriteFaults,
};
pub use view::View;
