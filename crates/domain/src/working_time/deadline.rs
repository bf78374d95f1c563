//! Limits, pauses and the due instant they give (R31, R37, R38).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::WorkingTimeError;
use super::working_calendar::{WorkingCalendar, wall_moved};

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The calendar's working time (上班时间).
    #[default]
    Working,
    /// The wall clock, round the clock.
    Wall,
}

/// A stretch during which a clock does not run (R37), whatever it measures. Half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Its beginning.
    pub from: DateTime<Utc>,
    /// Its end; none while it lasts.
    pub until: Option<DateTime<Utc>>,
}

/// Where a limit leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The clock runs and is due then. Being done at that very instant meets the limit (R38).
    Due(DateTime<Utc>),
    /// The clock stands still in a pause without an end, with so much of its limit left.
    Paused {
        /// What is left.
        remaining: Duration,
    },
}

impl Deadline {
    /// The due instant of a running clock.
    pub fn due_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Due(at) => Some(at),
            Self::Paused { .. } => None,
        }
    }

    /// What is left of a paused clock's limit.
    pub fn remaining(self) -> Option<Duration> {
        match self {
            Self::Due(_) => None,
            Self::Paused { remaining } => Some(remaining),
        }
    }
}

impl WorkingCalendar {
    /// The due instant of a limit that begins at `from`, or what is left of it while a pause lasts.
    ///
    /// Pauses may come in any order and overlap. What of them lies before `from` has no effect, and none that
    /// begins when the limit is already used up. Refuses a pause that ends before it begins.
    pub fn deadline(
        &self,
        from: DateTime<Utc>,
        limit: Duration,
        pauses: &[Pause],
        measure: Measure,
    ) -> Result<Deadline, WorkingTimeError> {
        let (mut running_from, mut left) = (from, limit);
        for pause in merged(from, pauses)? {
            let consumed = self.measured(running_from, pause.from, measure);
            if consumed >= left {
                break;
            }
            left -= consumed;
            match pause.until {
                Some(until) => running_from = until,
                None => return Ok(Deadline::Paused { remaining: left }),
            }
        }
        let due_at = match measure {
            Measure::Working => self.add(running_from, left)?,
            Measure::Wall => wall_moved(running_from, left, false)?,
        };
        Ok(Deadline::Due(due_at))
    }

    /// What a clock that began at `from` has consumed until `until`: all but the pauses (R37).
    pub fn consumed(
        &self,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        pauses: &[Pause],
        measure: Measure,
    ) -> Result<Duration, WorkingTimeError> {
        let pauses = merged(from, pauses)?;
        Ok(running_between(from, until, &pauses).map(|(start, end)| self.measured(start, end, measure)).sum())
    }

    /// The instant to warn at: `warn` before `due_at`, counted backwards in what the clock measures (R62).
    ///
    /// Pauses are not counted. The answer may lie before the clock's start when `warn` exceeds its limit.
    pub fn warn_at(
        &self,
        due_at: DateTime<Utc>,
        warn: Duration,
        pauses: &[Pause],
        measure: Measure,
    ) -> Result<DateTime<Utc>, WorkingTimeError> {
        let (mut running_until, mut left) = (due_at, warn);
        for pause in merged(DateTime::<Utc>::MIN_UTC, pauses)?.into_iter().rev() {
            let Some(until) = pause.until.filter(|_| pause.from < running_until) else { continue };
            let consumed = self.measured(until, running_until, measure);
            if consumed >= left {
                break;
            }
            left -= consumed;
            running_until = pause.from;
        }
        match measure {
            Measure::Working => self.sub(running_until, left),
            Measure::Wall => wall_moved(running_until, left, true),
        }
    }

    /// What `[start, end)` counts for.
    pub(super) fn measured(&self, start: DateTime<Utc>, end: DateTime<Utc>, measure: Measure) -> Duration {
        match measure {
            Measure::Working => self.between(start, end),
            Measure::Wall => (end - start).to_std().unwrap_or_default(),
        }
    }
}

/// The pauses in order and disjoint, with what lies before `from` cut off and empty ones dropped.
pub(super) fn merged(from: DateTime<Utc>, pauses: &[Pause]) -> Result<Vec<Pause>, WorkingTimeError> {
    let mut sorted = Vec::with_capacity(pauses.len());
    for pause in pauses {
        match pause.until {
            Some(until) if until < pause.from => {
                return Err(WorkingTimeError::PauseOrder { from: pause.from, until });
            }
            Some(until) if until <= from || until == pause.from => {}
            _ => sorted.push(Pause { from: pause.from.max(from), until: pause.until }),
        }
    }
    sorted.sort_unstable_by_key(|pause| pause.from);
    let mut disjoint: Vec<Pause> = Vec::with_capacity(sorted.len());
    for pause in sorted {
        match disjoint.last_mut() {
            Some(last) if last.until.is_none_or(|until| pause.from <= until) => {
                last.until = last.until.zip(pause.until).map(|(one, other)| one.max(other));
            }
            _ => disjoint.push(pause),
        }
    }
    Ok(disjoint)
}

/// The stretches of `[from, until)` outside of pauses that are in order and disjoint.
pub(super) fn running_between(
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    pauses: &[Pause],
) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
    let starts = std::iter::once(Some(from)).chain(pauses.iter().map(|pause| pause.until));
    let ends = pauses.iter().map(|pause| pause.from).chain(std::iter::once(until));
    starts
        .zip(ends)
        .filter_map(move |(start, end)| Some((start?, end.min(until))))
        .filter(|(start, end)| start < end)
}
