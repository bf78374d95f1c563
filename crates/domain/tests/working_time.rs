//! Working time as a whole: the published cases, the rules by name, and properties over random calendars.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

#[path = "working_time/cases.rs"]
mod cases;
#[path = "working_time/edges.rs"]
mod edges;
#[path = "working_time/naive.rs"]
mod naive;
#[path = "working_time/official_days.rs"]
mod official_days;
#[path = "working_time/properties.rs"]
mod properties;
#[path = "working_time/rules.rs"]
mod rules;
