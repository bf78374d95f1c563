//! Working time (上班时间): what a calendar says, and exact arithmetic on it.
//!
//! The cast, in reading order:
//!
//! - [`Calendar`] is what people write: a zone, a weekly pattern of [`Hours`], and [`Layer`]s of
//!   [`SpecialDay`]s (national → province → branch), the last one winning. It is checked when it is made.
//! - [`CalendarFile`] is the TOML form of one, [`OfficialDays`] what a State Council notice contributes.
//! - [`WorkingCalendar`] is a calendar compiled for arithmetic: add, subtract and measure working time
//!   between instants in any IANA zone, exact to the microsecond, in logarithmic time.
//! - [`Pause`], [`Measure`] and [`Deadline`] turn a limit into a due instant (R37, R38); an [`Explanation`]
//!   says how it came about (R54); [`preview_calendar`] says what a new calendar would move (R53).
//! - [`deadline_line`] is the line format of `cuiban deadline --batch`.
//!
//! Nothing here reads a file or a clock.

mod batch;
mod blocks;
mod calendar;
mod calendar_file;
mod deadline;
mod error;
mod explanation;
mod hours;
mod icalendar_days;
mod official_days;
mod preview;
mod seconds;
mod working_calendar;
mod zone;

pub use batch::{deadline_line, error_line};
pub use calendar::{Calendar, Finding, Layer, SPECIAL_DAYS_MAX, SpecialDay, Weekly};
pub use calendar_file::{CalendarFile, ResolvedCalendar};
pub use deadline::{Deadline, Measure, Pause};
pub use error::WorkingTimeError;
pub use explanation::{EXPLAINED_DAYS_MAX, Explanation, SkipReason, Step};
pub use hours::Hours;
pub use official_days::{NotApplied, NotAppliedReason, OfficialDays};
pub use preview::{CalendarPreview, MovedClock, PREVIEW_EXAMPLES_MAX, RunningClock, preview_calendar};
pub use working_calendar::{DayKind, WorkingCalendar};
pub use zone::local_instant;
