//! The log's promises kept in one local SQLite file.
//!
//! Appends come in from any number of tasks and go through one writer thread, which stores all that wait
//! in one transaction and answers after its COMMIT. Readers and subscribers have connections of their own
//! and never hold the writer up; subscribers wake by signal, and by period for what another process wrote.
//!
//! ```text
//!  append ─► queue ─► writer thread: BEGIN IMMEDIATE, one guarded INSERT each, COMMIT ─► answers
//!                                                                        └─ signal ─► feeders
//!  read_stream, head ─► a reader connection            feeders: page by page, signal or period
//! ```
//!
//! [`audit`](fn@audit) reads a whole file once and checks all that it says of itself.
//!
//! This room never decodes a commit, never waits for a network, and never changes or removes a row: the
//! file itself refuses that.

mod audit;
mod clock;
mod config;
mod feeder;
mod file;
mod log;
mod reader;
mod seal;
mod store;
mod upgrade;
mod writer;

pub use audit::{Audit, AuditError, AuditFault, AuditedCommit, FAULTS_MAX, audit, head};
pub use clock::{CLOCK_AHEAD_MAX, confirm_clock};
pub use config::Config;
pub use file::{APPLICATION_ID, OpenError, SCHEMA_VERSION};
pub use log::SqliteLog;
pub use seal::{ParseSealError, Seal};
