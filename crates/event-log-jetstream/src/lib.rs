//! The log's promises kept on NATS JetStream.
//!
//! Appends go out as publishes that state what they expect of the whole stream; the broker is the judge.
//! What a commit expected is stored with it, so a stream is read backwards along that chain, beginning at the
//! leader where it matters. Each subscription is fed by an ordered consumer of our own making, which is thrown
//! away and made anew, from the last delivered position, at the first sign of a gap or of silence. A server that is
//! cut off from the others is left for one that is not.
//!
//! ```text
//!  append ─► publish cuiban.log.<kind>.<id>.<branch>.<class>, expecting cuiban.log.<kind>.<id>.> at n ─► answer
//!  read_stream ─► the last one (STREAM.MSG.GET: leader, DIRECT.GET: any) ─► the one before it ─► … ─► the first
//!  subscribe ─► consumer from cursor + 1 ─► pull ─► drop what is ≤ cursor or unwanted ─► subscriber
//! ```
//!
//! This room never decodes a commit, never elects or replicates anything (the broker does), and never
//! changes the settings of a stream that exists, but to let it republish: it reports them, and appends nothing while
//! one that the promises need is another.

mod api;
mod append;
mod config;
mod connect;
mod consumer;
mod feeder;
mod fitness;
mod leader_time;
mod log;
mod majority;
mod read;
mod settings;
mod subject;
#[cfg(feature = "test-server")]
pub mod test_server;

pub use config::{Config, Storage};
pub use connect::{ConnectError, SERVER_VERSION_MIN};
pub use log::JetStreamLog;
pub use settings::{Setting, SettingsReport, SyncSetting};
