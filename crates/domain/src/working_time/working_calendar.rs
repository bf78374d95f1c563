//! A calendar compiled for arithmetic on instants (R51).

use std::collections::HashMap;
use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc, Weekday};
use serde::Serialize;
use utoipa::ToSchema;

use super::blocks::{HoursByDay, Timeline, stretch_us};
use super::calendar::{Calendar, Layer, SpecialDay};
use super::error::WorkingTimeError;
use super::hours::Hours;
use super::zone::ZoneEras;

/// 0001-01-01T00:00:00Z
const FIRST_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z
const LAST_US: i64 = 253_402_300_799_999_999;

/// Working time (上班时间) ready for arithmetic: cheap to clone and to share between threads.
///
/// Amounts and instants have a resolution of one microsecond; what is finer is dropped. Every answer is found in
/// logarithmic time whatever the span. Instants outside the years 1 to 9999 are refused as `out_of_range`
/// where an instant is answered, and read as the nearest instant inside where not.
#[derive(Clone)]
pub struct WorkingCalendar {
    inner: Arc<Inner>,
}

struct Inner {
    days: DayTable,
    zone: Arc<ZoneEras>,
    timeline: Timeline,
}

/// Which hours a day has.
struct DayTable {
    calendar: Calendar,
    /// Where the winning entry of a special date is: layer, and day within it.
    special: HashMap<NaiveDate, (usize, usize)>,
}

/// What a calendar says about one date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "day", rename_all = "snake_case")]
pub enum DayKind {
    /// Worked by the weekly pattern.
    Workday,
    /// Closed by the weekly pattern.
    RestDay,
    /// Opened by a layer, be it a make-up workday (调休) or one with hours of its own.
    SpecialOpen {
        /// What the day is called.
        name: String,
        /// The layer that wins.
        layer: String,
        /// Where the day is published.
        source: String,
    },
    /// Closed by a layer.
    SpecialClosed {
        /// What the day is called.
        name: String,
        /// The layer that wins.
        layer: String,
        /// Where the day is published.
        source: String,
    },
}

impl WorkingCalendar {
    /// Compiles a calendar. The spec stays available as [`calendar`](Self::calendar).
    pub fn new(calendar: Calendar) -> Self {
        let zone = ZoneEras::of(calendar.zone());
        let days = DayTable::new(calendar);
        let timeline = Timeline::build(&zone, &days, days.special.keys().copied());
        Self { inner: Arc::new(Inner { days, zone, timeline }) }
    }

    /// The calendar this was compiled from.
    pub fn calendar(&self) -> &Calendar {
        &self.inner.days.calendar
    }

    /// The earliest instant x ≥ `from` with exactly `amount` of working time in `[from, x)`.
    ///
    /// An amount that uses up an interval ends at the interval's end (R38); an amount of zero ends at `from`.
    pub fn add(&self, from: DateTime<Utc>, amount: Duration) -> Result<DateTime<Utc>, WorkingTimeError> {
        let (from_us, amount_us) = (in_range_us(from)?, micros(amount)?);
        if amount_us == 0 {
            return Ok(from);
        }
        let timeline = &self.inner.timeline;
        let work_us = timeline.work_until(from_us).saturating_add(amount_us);
        let at_us =
            timeline.earliest_with(work_us).ok_or_else(|| self.beyond(DayTable::last_worked_special))?;
        instant(at_us)
    }

    /// The latest instant x ≤ `to` with exactly `amount` of working time in `[x, to)`: the mirror image of `add`.
    ///
    /// An amount that uses up an interval begins at the interval's start; an amount of zero begins at `to`.
    pub fn sub(&self, to: DateTime<Utc>, amount: Duration) -> Result<DateTime<Utc>, WorkingTimeError> {
        let (to_us, amount_us) = (in_range_us(to)?, micros(amount)?);
        if amount_us == 0 {
            return Ok(to);
        }
        let timeline = &self.inner.timeline;
        let work_us = timeline.work_until(to_us) - amount_us;
        let at_us =
            timeline.latest_with(work_us).ok_or_else(|| self.beyond(DayTable::first_worked_special))?;
        instant(at_us)
    }

    /// The working time in `[a, b)`; zero when `b` is not after `a`.
    pub fn between(&self, a: DateTime<Utc>, b: DateTime<Utc>) -> Duration {
        self.between_us(nearest_us(a), nearest_us(b))
    }

    pub(super) fn between_us(&self, a_us: i64, b_us: i64) -> Duration {
        let timeline = &self.inner.timeline;
        let work_us = timeline.work_until(b_us) - timeline.work_until(a_us);
        Duration::from_micros(u64::try_from(work_us).unwrap_or(0))
    }

    /// Does the working time include this instant? Intervals are half-open: their end is not included.
    pub fn is_working(&self, at: DateTime<Utc>) -> bool {
        self.inner.timeline.contains(nearest_us(at))
    }

    /// The earliest working instant at or after `at`.
    pub fn next_working_instant(&self, at: DateTime<Utc>) -> Result<DateTime<Utc>, WorkingTimeError> {
        let (timeline, at_us) = (&self.inner.timeline, in_range_us(at)?);
        if timeline.contains(at_us) {
            return Ok(at);
        }
        let work_us = timeline.work_until(at_us);
        let at_us =
            timeline.latest_with(work_us).ok_or_else(|| self.beyond(DayTable::last_worked_special))?;
        instant(at_us)
    }

    /// The end of the working day to which `at` belongs, be it before or after `at`. None on a day without hours.
    ///
    /// That is the local date of `at`; but in a shift that began the day before, it is that day. A day ends with
    /// its last interval, wherever that one ends: Monday's `22:00-06:00` makes Monday end on Tuesday at six.
    pub fn end_of_working_day(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let at_us = nearest_us(at);
        let today = self.inner.zone.local_date(at_us);
        let contains_at = |date: NaiveDate| {
            self.stretches_on(date).any(|(start_us, end_us)| start_us <= at_us && at_us < end_us)
        };
        let yesterday = today.pred_opt().filter(|date| !contains_at(today) && contains_at(*date));
        let end_us = self.stretches_on(yesterday.unwrap_or(today)).map(|(_, end_us)| end_us).max()?;
        instant(end_us).ok()
    }

    /// What the calendar says about a date.
    pub fn day_kind(&self, date: NaiveDate) -> DayKind {
        let days = &self.inner.days;
        match days.special_on(date) {
            Some((layer, day)) => {
                let (name, layer, source) = (day.name.clone(), layer.name.clone(), day.source.clone());
                if day.is_open() {
                    DayKind::SpecialOpen { name, layer, source }
                } else {
                    DayKind::SpecialClosed { name, layer, source }
                }
            }
            None if days.on(date).is_empty() => DayKind::RestDay,
            None => DayKind::Workday,
        }
    }

    /// The local date of an instant.
    pub fn local_date(&self, at: DateTime<Utc>) -> NaiveDate {
        self.inner.zone.local_date(nearest_us(at))
    }

    /// The first instant of a local date, in microseconds.
    pub(super) fn midnight_us(&self, date: NaiveDate) -> i64 {
        self.inner.zone.utc_s(date.and_time(chrono::NaiveTime::MIN)) * 1_000_000
    }

    /// A date's intervals as instants, as written; what a gap has swallowed is left out.
    pub(super) fn stretches_on(&self, date: NaiveDate) -> impl Iterator<Item = (i64, i64)> {
        let hours = self.inner.days.on(date).iter();
        hours.map(move |hours| stretch_us(&self.inner.zone, date, *hours)).filter(|(start, end)| start < end)
    }

    /// Does the date have any hours?
    pub(super) fn has_hours(&self, date: NaiveDate) -> bool {
        !self.inner.days.on(date).is_empty()
    }

    /// How many special days lie in `[from, until)`.
    pub(super) fn special_days_between(&self, from: NaiveDate, until: NaiveDate) -> usize {
        self.inner.days.special.keys().filter(|date| (from..until).contains(*date)).count()
    }

    /// Why an amount of working time was not found: the special days are used up, or the years are.
    fn beyond(&self, edge: fn(&DayTable) -> Option<NaiveDate>) -> WorkingTimeError {
        match edge(&self.inner.days) {
            Some(date) if !self.inner.timeline.is_endless() => WorkingTimeError::Exhausted { date },
            _ => WorkingTimeError::OutOfRange,
        }
    }
}

impl From<Calendar> for WorkingCalendar {
    fn from(calendar: Calendar) -> Self {
        Self::new(calendar)
    }
}

impl fmt::Debug for WorkingCalendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WorkingCalendar").field(self.calendar()).finish()
    }
}

impl DayTable {
    fn new(calendar: Calendar) -> Self {
        let mut special = HashMap::new();
        for (layer_index, layer) in calendar.layers().iter().enumerate() {
            for (day_index, day) in layer.days.iter().enumerate() {
                special.insert(day.date, (layer_index, day_index));
            }
        }
        Self { calendar, special }
    }

    fn special_on(&self, date: NaiveDate) -> Option<(&Layer, &SpecialDay)> {
        let (layer, day) = *self.special.get(&date)?;
        let layer = self.calendar.layers().get(layer)?;
        Some((layer, layer.days.get(day)?))
    }

    fn worked_specials(&self) -> impl Iterator<Item = NaiveDate> {
        self.special.keys().copied().filter(|date| !self.on(*date).is_empty())
    }

    fn first_worked_special(&self) -> Option<NaiveDate> {
        self.worked_specials().min()
    }

    fn last_worked_special(&self) -> Option<NaiveDate> {
        self.worked_specials().max()
    }
}

impl HoursByDay for DayTable {
    fn weekly(&self, weekday: Weekday) -> &[Hours] {
        self.calendar.weekly().hours_on(weekday)
    }

    fn on(&self, date: NaiveDate) -> &[Hours] {
        match self.special_on(date) {
            None => self.weekly(date.weekday()),
            Some((_, day)) if !day.is_open() => &[],
            // A make-up workday's hours are Monday's unless it has its own.
            Some((_, day)) => day.hours.as_deref().unwrap_or_else(|| self.weekly(Weekday::Mon)),
        }
    }
}

/// An instant as microseconds, or the nearest one in the years 1 to 9999.
fn nearest_us(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros().clamp(FIRST_US, LAST_US)
}

/// An instant as microseconds, if it lies in the years 1 to 9999.
pub(super) fn in_range_us(at: DateTime<Utc>) -> Result<i64, WorkingTimeError> {
    let at_us = at.timestamp_micros();
    if (FIRST_US..=LAST_US).contains(&at_us) { Ok(at_us) } else { Err(WorkingTimeError::OutOfRange) }
}

/// The instant of so many microseconds, if it lies in the years 1 to 9999.
pub(super) fn instant(at_us: i64) -> Result<DateTime<Utc>, WorkingTimeError> {
    DateTime::from_timestamp_micros(at_us)
        .filter(|_| (FIRST_US..=LAST_US).contains(&at_us))
        .ok_or(WorkingTimeError::OutOfRange)
}

/// An amount of time as microseconds.
pub(super) fn micros(amount: Duration) -> Result<i64, WorkingTimeError> {
    i64::try_from(amount.as_micros()).map_err(|_| WorkingTimeError::OutOfRange)
}

/// `at` moved by an amount of wall time.
pub(super) fn wall_moved(
    at: DateTime<Utc>,
    amount: Duration,
    backwards: bool,
) -> Result<DateTime<Utc>, WorkingTimeError> {
    in_range_us(at)?;
    let delta = TimeDelta::microseconds(micros(amount)?);
    let moved = if backwards { at.checked_sub_signed(delta) } else { at.checked_add_signed(delta) };
    let moved = moved.ok_or(WorkingTimeError::OutOfRange)?;
    in_range_us(moved)?;
    Ok(moved)
}
