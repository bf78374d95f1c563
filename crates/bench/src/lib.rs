//! Workloads, limits and ratios: what the system does a second, beside what the machine allows in the same run.
//!
//! In come the rows that are wanted and how often each is measured; out go [`Figure`]s. Each row measures the real road
//! (durable, decoded, folded) and, where there is one, the bare limit beside it, round by round in turn, so that a machine
//! whose speed drifts favours neither. Medians are to be quoted, and ratios.
//!
//! ```text
//!  table ─► row ─► office (log, handlers, invented tickets) ─► ours │ limit │ ours │ limit … ─► figure
//! ```
//!
//! - [`table`] lists the rows. [`embedded`] and [`jetstream`] time commands, [`folding`] and [`rebuilding`] the read side,
//!   [`working_time`] arithmetic, [`clocks`] memory, [`watching`] the watchdog, [`intake`] HTTP.
//! - [`growth`] measures how cost grows with the number of tickets, [`drawing`] draws it.
//!
//! This room is nobody's dependency but the binary's.

mod clocks;
mod drawing;
mod embedded;
mod figure;
mod folding;
mod growth;
mod intake;
mod jetstream;
mod machine;
mod office;
mod rebuilding;
mod stopwatch;
mod table;
mod watching;
mod working_time;

pub use drawing::draw;
pub use figure::{BenchError, Figure, Goal, Limit, Spread};
pub use growth::{Growth, Stage, grow};
pub use machine::Machine;
pub use table::{Hear, Options, rows, run};
