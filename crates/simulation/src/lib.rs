//! The whole system on a virtual clock and an in-memory log.
//!
//! In comes a real service desk's history, a CSV file and a mapping that says how to read it; [`history`] turns it
//! into timed steps, [`replay`] sends them through the real command handler and the real watchdog, with time
//! jumping from one thing to the next, and answers with a [`Summary`].
//!
//! [`simulate`] lives through random days by seed, in which the real services fail in thirty-one ways.
//! [`demo`] invents a day at two branches, for whoever wants to see it run.
//!
//! This room speaks no HTTP and reads no clock but the one it is given.

pub mod demo;
pub mod history;
mod replay;
pub mod simulate;
mod summary;

pub use replay::{Replay, ReplayError, replay};
pub use summary::{ClockCounts, Summary};
