//! Whole flows over real processes and a real nats-server.
//!
//! The cast of the flows in `flows/`:
//!
//! - [`Process`] is one `cuiban`, started on a free port, killed as `kill -9` does, begun again in its own folder.
//! - [`Client`] sends commands until they are acknowledged, however often the process is gone meanwhile; a [`Crew`] of
//!   them works tickets, and its [`Progress`] tells what was acknowledged.
//! - [`Ledger`] reads the log as a supervisor would, and judges it: nothing acknowledged lost, no notice doubled,
//!   missed or early.
//! - [`Installation`] is broker and roles in processes of their own, with [`Proxy`] wires in between; a [`Fault`] is what
//!   goes wrong with it; a [`Plan`] plays rounds of that by seed and prints what they came to.
//!
//! Nothing here sleeps to wait: it waits for lines, answers and exits. Where it sleeps, the pause is what is tried: how
//! long a fault lasts, or at which instant it falls.

mod book;
mod client;
mod crew;
mod fault;
mod installation;
mod ledger;
mod process;
mod report;
mod rounds;
mod stopwatch;
mod wire;

pub use client::{Acknowledged, Client};
pub use crew::{Crew, Progress, work_a_ticket};
pub use fault::{Fault, Injected, Whom};
pub use installation::{Broker, Installation};
pub use ledger::{Ledger, verify};
pub use process::{Process, binary};
pub use report::say;
pub use rounds::Plan;
pub use stopwatch::{median_and_max, now};
pub use wire::{Proxy, Wire};
