//! Service-level clocks (SLA): what limits there are, who sets them, and how a clock runs.
//!
//! [`Policy`] says which [`Limit`] a case gets; a [`Clock`] counts it down; a [`Notice`] (催办单) is the
//! identity of one urging when it runs out.

mod clock;
mod limit;
mod notice;
mod policy;

pub use crate::working_time::Measure;
pub use clock::{Clock, ClockKind, ClockState};
pub use limit::{InvalidSpan, Limit, Span};
pub use notice::{Notice, Rung};
pub use policy::{CaseFacts, LadderStep, LimitRule, Policy};
