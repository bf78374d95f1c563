//! The trade as plain functions of values.
//!
//! In comes a command and what is known (the folded state, the organisation, the time); out go events or
//! a [`Rejection`]. Every aggregate has the same shape: a command, an event, a state, [`Aggregate::decide`]
//! and [`Aggregate::evolve`]. The command handler calls `decide`, everyone who folds calls `evolve`.
//!
//! ```text
//!             ┌── ticket ───────────┐   one repair, complaint or compensation claim
//!  aggregates ├── company, branch ──┤   areas, staff, calendar, limits policy
//!             ├── schedule ─────────┤   a technician's visits, so that none overlap
//!             ├── numbering ────────┤   blocks of ticket numbers
//!             └── alert ────────────┘   what was pushed to whom, and how it went
//!  any stream  step_over                    an unreadable commit that an operator passes over
//!  values      ids, text, people, sla (limits, clocks), working_time (上班时间)
//! ```
//!
//! This room never reads a clock, waits, logs, touches a file or a network, words a message for people,
//! or turns an event into bytes.

pub mod aggregate;
pub mod alert;
pub mod ids;
pub mod numbering;
pub mod organisation;
pub mod people;
pub mod rejection;
pub mod schedule;
pub mod sla;
pub mod step_over;
pub mod text;
pub mod ticket;
pub mod working_time;

pub use aggregate::{Aggregate, Class, Context, Event, Happened, Instant, is_stream};
pub use rejection::Rejection;
