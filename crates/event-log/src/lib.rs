//! The log's port: what every keeping of the log promises, in terms that name no technology.
//!
//! The command handler appends one *commit* (all events of one decision, already encoded) to one
//! *stream* (the history of one ticket, branch, …). Projectors, watchdogs and notifiers subscribe.
//! Three adapters keep these promises: [`MemoryLog`] here, SQLite and NATS JetStream in rooms of
//! their own; [`conformance`] judges all three by the same facts.
//!
//! ```text
//!  append(stream, Expected, Route, commit) ─► Appended { position, version }
//!      log   ── position 1 ── 2 ── 3 ── 4 ── 5 ──►          one order over all streams
//!  subscribe(filter, after position 2)  ─►  3, 4, 5, … each once, in order, for ever
//! ```
//!
//! This room never decodes a commit, knows no rule of the trade, and names no broker or database.

mod address;
pub mod conformance;
mod following;
mod identity;
mod memory;
mod port;
mod standing;
mod stored;
mod subscription;
mod time;

pub use address::{Filter, InvalidToken, Pattern, Route, StreamId, Token};
pub use following::{Following, Seen};
pub use identity::{Cursor, LogId, LogIdentity};
pub use memory::{MemoryLog, TimeSource};
pub use port::{
    Append, AppendError, Appended, BoxError, Consistency, EventLog, Expected, LogError, ParsePositionError,
    Position, StreamVersion,
};
pub use standing::{LogProblem, LogStanding};
pub use stored::{Foreign, RecordedCommit, Stored};
pub use subscription::{Batch, Delivery, Subscription};
pub use time::{AgreedTime, ClockStep, TimeStanding};
