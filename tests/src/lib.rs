//! Whole flows over real processes and a real nats-server.
//!
//! The cast of the flows in `flows/`:
//!
//! - [`Process`] is one `cuiban`, started on a free port, killed as `kill -9` does, begun again in its own folder.
//! - [`Client`] sends commands until they are acknowledged, however often the process is gone meanwhile.
//! - [`Ledger`] reads the log as a supervisor would, and judges it: nothing acknowledged lost, no notice doubled,
//!   missed or early.
//!
//! Nothing here sleeps to wait: it waits for lines, answers and exits.

mod client;
mod ledger;
mod process;

pub use client::{Acknowledged, Client};
pub use ledger::Ledger;
pub use process::{Process, binary};
