//! What a new calendar would do to the clocks that run (R53), before it is applied.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::deadline::{Deadline, Measure, Pause};
use super::working_calendar::WorkingCalendar;

/// Most moved clocks that a preview shows one by one.
pub const PREVIEW_EXAMPLES_MAX: usize = 20;

/// A running or paused clock, as its history tells it.
///
/// Where what was consumed is kept as a recorded amount, `from` is the instant since which the clock last runs or
/// stands still, and `limit` what was left then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningClock<Id> {
    /// Whose clock it is.
    pub id: Id,
    /// When it started.
    pub from: DateTime<Utc>,
    /// Its limit.
    pub limit: Duration,
    /// Its pauses; the last one without an end when it is paused.
    pub pauses: Vec<Pause>,
    /// What it counts.
    pub measure: Measure,
    /// What is recorded for it now (R36).
    pub recorded: Deadline,
}

/// What a new calendar would move. Nothing is moved by asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalendarPreview<Id> {
    /// How many clocks were looked at.
    pub clocks: usize,
    /// How many get another due instant or, while paused, have another amount left.
    pub moved: usize,
    /// How many of those are due earlier.
    pub earlier: usize,
    /// How many of those are due later.
    pub later: usize,
    /// How many become overdue that are not overdue now.
    pub newly_overdue: usize,
    /// How many would have no due instant in the new calendar.
    pub without_answer: usize,
    /// The first moved ones, at most [`PREVIEW_EXAMPLES_MAX`].
    pub examples: Vec<MovedClock<Id>>,
}

/// A clock that moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MovedClock<Id> {
    /// Whose clock it is.
    pub id: Id,
    /// Its due instant now; none while it is paused.
    pub due_at: Option<DateTime<Utc>>,
    /// Its due instant in the new calendar; none while it is paused.
    pub new_due_at: Option<DateTime<Utc>>,
}

/// Compares what is recorded for `clocks` with what the `new` calendar gives them.
///
/// Overdue is strictly after the due instant (R38); a paused clock is never overdue (R37).
pub fn preview_calendar<Id>(
    new: &WorkingCalendar,
    clocks: impl IntoIterator<Item = RunningClock<Id>>,
    now: DateTime<Utc>,
) -> CalendarPreview<Id> {
    let mut preview = CalendarPreview {
        clocks: 0,
        moved: 0,
        earlier: 0,
        later: 0,
        newly_overdue: 0,
        without_answer: 0,
        examples: Vec::new(),
    };
    let is_overdue = |deadline: Deadline| deadline.due_at().is_some_and(|due_at| due_at < now);
    for clock in clocks {
        preview.clocks += 1;
        let Ok(answer) = new.deadline(clock.from, clock.limit, &clock.pauses, clock.measure) else {
            preview.without_answer += 1;
            continue;
        };
        if answer == clock.recorded {
            continue;
        }
        preview.moved += 1;
        preview.newly_overdue += usize::from(is_overdue(answer) && !is_overdue(clock.recorded));
        if let (Some(due_at), Some(new_due_at)) = (clock.recorded.due_at(), answer.due_at()) {
            preview.earlier += usize::from(new_due_at < due_at);
            preview.later += usize::from(new_due_at > due_at);
        }
        if preview.examples.len() < PREVIEW_EXAMPLES_MAX {
            preview.examples.push(MovedClock {
                id: clock.id,
                due_at: clock.recorded.due_at(),
                new_due_at: answer.due_at(),
            });
        }
    }
    preview
}
