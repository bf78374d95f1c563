//! The one door to sled: a directory of read models that defends itself.
//!
//! - [`Store`] holds one database open, for one process at a time, and replaces it by an empty one when it is
//!   damaged. The damaged directory is put aside (quarantine) and the fact is told.
//! - [`Tree`] is one tree of it. Every call is guarded: sled 0.34 panics on damage, and a panic is an error here.
//! - [`StorePlace`] says where a store lies; [`MemoryDisk`] is a disk that fails when a simulation tells it to.
//! - [`WriteBatch`] is what is written at once.
//! - [`bounded`] runs what might hang on a thread of its own.
//! - [`directory`] knows where what lies, and who may open it.
//!
//! Nothing here knows what the rows mean. Nothing outside names sled.

mod batch;
mod bounded;
mod digest;
mod directory;
mod error;
mod memory;
mod opened;
mod place;
mod replace;

pub(crate) use batch::WriteBatch;
pub(crate) use bounded::{Heartbeat, bounded, panic_text};
pub(crate) use digest::row_digest;
pub use error::StoreError;
pub use memory::{MemoryDisk, MemorySnapshot, WriteFault, WriteFaults};
pub(crate) use opened::{Opened, Tree};
pub use place::StorePlace;
pub use replace::{Quarantined, Store};
