//! How a due instant came about (R54): the same trace for API, command line and page.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::deadline::{Measure, Pause, merged, running_between};
use super::error::WorkingTimeError;
use super::working_calendar::{DayKind, WorkingCalendar, instant};

/// Most days that an explanation tells one by one: half of them after the start, half before the end. What lies
/// between is one [`Step::Summary`].
pub const EXPLAINED_DAYS_MAX: i64 = 62;

/// The trace of one limit. The counted steps and summaries add up to what was consumed, which is the whole limit
/// unless a pause without an end stands in the way.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// What was counted.
    pub measure: Measure,
    /// The zone in which dates are meant.
    #[schema(example = "Asia/Shanghai")]
    pub zone: String,
    /// Where the limit begins.
    pub from: DateTime<Utc>,
    /// The limit, in seconds.
    #[serde(rename = "limit_s", serialize_with = "super::seconds::serialize")]
    #[schema(rename = "limit_s", value_type = f64)]
    pub limit: Duration,
    /// The due instant; none while a pause lasts.
    pub due_at: Option<DateTime<Utc>>,
    /// What is left while a pause lasts, in seconds.
    #[serde(rename = "remaining_s", serialize_with = "super::seconds::optional::serialize")]
    #[schema(rename = "remaining_s", value_type = Option<f64>)]
    pub remaining: Option<Duration>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// An interval, or the part of it that counts.
    Counted {
        /// The working day it belongs to; none for the wall clock.
        date: Option<NaiveDate>,
        /// Its beginning.
        from: DateTime<Utc>,
        /// Its end, not included.
        until: DateTime<Utc>,
        /// Its length, in seconds.
        #[serde(rename = "counted_s", serialize_with = "super::seconds::serialize")]
        #[schema(rename = "counted_s", value_type = f64)]
        counted: Duration,
    },
    /// A day without working time.
    Skipped {
        /// The day.
        date: NaiveDate,
        /// Why nobody works.
        reason: SkipReason,
    },
    /// A pause.
    Paused {
        /// Its beginning, or the clock's.
        from: DateTime<Utc>,
        /// Its end; none while it lasts.
        until: Option<DateTime<Utc>>,
    },
    /// The days in the middle of a long span, told as one. Pauses among them follow it.
    Summary {
        /// The first day.
        from: NaiveDate,
        /// The day after the last one.
        until: NaiveDate,
        /// How many of them depart from the weekly pattern.
        special_days: usize,
        /// What counted in them, in seconds.
        #[serde(rename = "counted_s", serialize_with = "super::seconds::serialize")]
        #[schema(rename = "counted_s", value_type = f64)]
        counted: Duration,
    },
}

/// Why a day has no working time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum SkipReason {
    /// The weekly pattern closes it.
    WeeklyClosed,
    /// A layer closes it.
    SpecialDay {
        /// What the day is called.
        name: String,
        /// The layer that wins.
        layer: String,
    },
    /// A layer opens it with Monday's hours, but Monday is closed.
    MakeUpDayWithoutHours {
        /// What the day is called.
        name: String,
        /// The layer that wins.
        layer: String,
    },
}

impl Explanation {
    /// What all steps count together.
    pub fn counted(&self) -> Duration {
        let counted = |step: &Step| match step {
            Step::Counted { counted, .. } | Step::Summary { counted, .. } => *counted,
            Step::Skipped { .. } | Step::Paused { .. } => Duration::ZERO,
        };
        self.steps.iter().map(counted).sum()
    }
}

impl WorkingCalendar {
    /// Explains what [`deadline`](Self::deadline) answers for the same question.
    pub fn explain(
        &self,
        from: DateTime<Utc>,
        limit: Duration,
        pauses: &[Pause],
        measure: Measure,
    ) -> Result<Explanation, WorkingTimeError> {
        let deadline = self.deadline(from, limit, pauses, measure)?;
        let mut pauses = merged(from, pauses)?;
        // Only what begins before the end has a part in it; a pause without an end is the end.
        if let Some(due_at) = deadline.due_at() {
            pauses.retain(|pause| pause.from < due_at);
        }
        let open_from = pauses.last().filter(|pause| pause.until.is_none()).map(|pause| pause.from);
        let end = deadline.due_at().or(open_from).unwrap_or(from);
        let running: Vec<_> = running_between(from, end, &pauses).collect();
        let steps = match measure {
            Measure::Working => self.working_steps(&running, &pauses)?,
            Measure::Wall => wall_steps(&running, &pauses),
        };
        Ok(Explanation {
            measure,
            zone: self.calendar().zone().name().to_owned(),
            from,
            limit,
            due_at: deadline.due_at(),
            remaining: deadline.remaining(),
            steps,
        })
    }

    fn working_steps(
        &self,
        running: &[(DateTime<Utc>, DateTime<Utc>)],
        pauses: &[Pause],
    ) -> Result<Vec<Step>, WorkingTimeError> {
        let mut told = Told { steps: pauses.iter().map(paused).collect(), counted_until_us: i64::MIN };
        let bounds = running
            .first()
            .zip(running.last())
            .map(|((start, _), (_, end))| (start.timestamp_micros(), end.timestamp_micros()));
        let Some((start_us, end_us)) = bounds else { return Ok(told.in_order()) };
        let first_day = self.local_date(instant(start_us)?);
        let last_day = self.local_date(instant(end_us - 1)?);
        let half = TimeDelta::days(EXPLAINED_DAYS_MAX / 2);
        if (last_day - first_day).num_days() < EXPLAINED_DAYS_MAX {
            self.tell_days(&mut told, running, (i64::MIN, i64::MAX))?;
            return Ok(told.in_order());
        }
        let (middle, tail) = (first_day + half, last_day - half + TimeDelta::days(1));
        let (middle_us, tail_us) = (self.midnight_us(middle), self.midnight_us(tail));
        self.tell_days(&mut told, running, (i64::MIN, middle_us))?;
        let counted = clipped(running, (middle_us, tail_us)).map(|(a, b)| self.between_us(a, b)).sum();
        let special_days = self.special_days_between(middle, tail);
        told.steps.push((middle_us, Step::Summary { from: middle, until: tail, special_days, counted }));
        told.counted_until_us = tail_us;
        self.tell_days(&mut told, running, (tail_us, i64::MAX))?;
        Ok(told.in_order())
    }

    /// Tells the running stretches within `window` interval by interval and day by day.
    fn tell_days(
        &self,
        told: &mut Told,
        running: &[(DateTime<Utc>, DateTime<Utc>)],
        window: (i64, i64),
    ) -> Result<(), WorkingTimeError> {
        let running: Vec<(i64, i64)> = clipped(running, window).collect();
        let Some((&(start_us, _), &(_, end_us))) = running.first().zip(running.last()) else { return Ok(()) };
        let first_day = self.local_date(instant(start_us)?);
        let last_day = self.local_date(instant(end_us - 1)?);
        // Neighbouring days may reach into the window over midnight, or over a change of the zone's offset.
        let days = first_day - TimeDelta::days(3)..=last_day + TimeDelta::days(3);
        let mut intervals: Vec<(i64, i64, NaiveDate)> = Vec::new();
        for date in days.start().iter_days().take_while(|date| days.contains(date)) {
            intervals.extend(self.stretches_on(date).map(|(start, end)| (start, end, date)));
            if (first_day..=last_day).contains(&date) && !self.has_hours(date) {
                let day = (self.midnight_us(date), self.midnight_us(date + TimeDelta::days(1)));
                if let Some((from_us, _)) = overlaps(&running, day).next() {
                    told.steps.push((from_us, Step::Skipped { date, reason: self.skip_reason(date) }));
                }
            }
        }
        intervals.sort_unstable();
        for (start_us, end_us, date) in intervals {
            let rest = (start_us.max(told.counted_until_us), end_us);
            for (from_us, until_us) in overlaps(&running, rest) {
                told.push_counted(date, from_us, until_us)?;
            }
        }
        Ok(())
    }

    fn skip_reason(&self, date: NaiveDate) -> SkipReason {
        match self.day_kind(date) {
            DayKind::SpecialClosed { name, layer, .. } => SkipReason::SpecialDay { name, layer },
            DayKind::SpecialOpen { name, layer, .. } => SkipReason::MakeUpDayWithoutHours { name, layer },
            DayKind::Workday | DayKind::RestDay => SkipReason::WeeklyClosed,
        }
    }
}

/// Steps collected so far with the instant at which each belongs, and how far time has been counted: hours of
/// neighbouring days may overlap, and count once.
struct Told {
    steps: Vec<(i64, Step)>,
    counted_until_us: i64,
}

impl Told {
    fn push_counted(&mut self, date: NaiveDate, from_us: i64, until_us: i64) -> Result<(), WorkingTimeError> {
        let (from, until) = (instant(from_us)?, instant(until_us)?);
        let counted = Duration::from_micros(from_us.abs_diff(until_us));
        self.steps.push((from_us, Step::Counted { date: Some(date), from, until, counted }));
        self.counted_until_us = self.counted_until_us.max(until_us);
        Ok(())
    }

    fn in_order(mut self) -> Vec<Step> {
        self.steps.sort_by_key(|(at_us, step)| (*at_us, matches!(step, Step::Paused { .. })));
        self.steps.into_iter().map(|(_, step)| step).collect()
    }
}

fn wall_steps(running: &[(DateTime<Utc>, DateTime<Utc>)], pauses: &[Pause]) -> Vec<Step> {
    let counted = running.iter().map(|&(from, until)| {
        let counted = (until - from).to_std().unwrap_or_default();
        (from.timestamp_micros(), Step::Counted { date: None, from, until, counted })
    });
    let steps = counted.chain(pauses.iter().map(paused)).collect();
    Told { steps, counted_until_us: i64::MIN }.in_order()
}

fn paused(pause: &Pause) -> (i64, Step) {
    (pause.from.timestamp_micros(), Step::Paused { from: pause.from, until: pause.until })
}

/// The parts of the running stretches within a window, as microseconds.
fn clipped(
    running: &[(DateTime<Utc>, DateTime<Utc>)],
    window: (i64, i64),
) -> impl Iterator<Item = (i64, i64)> {
    running
        .iter()
        .map(move |(start, end)| {
            (start.timestamp_micros().max(window.0), end.timestamp_micros().min(window.1))
        })
        .filter(|(start, end)| start < end)
}

/// The parts of ordered, disjoint stretches within a window.
fn overlaps(stretches: &[(i64, i64)], window: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    let first = stretches.partition_point(|(_, end)| *end <= window.0);
    stretches[first..]
        .iter()
        .take_while(move |(start, _)| *start < window.1)
        .map(move |(start, end)| ((*start).max(window.0), (*end).min(window.1)))
        .filter(|(start, end)| start < end)
}
