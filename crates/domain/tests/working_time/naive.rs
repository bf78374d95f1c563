//! The slow and obvious way: every interval of every day, one after the other, straight from chrono-tz.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use cuiban_domain::working_time::{Calendar, Hours, Pause};

/// Working intervals, sorted and disjoint.
pub(crate) struct Naive {
    intervals: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Outside of this the hours of days not walked may be missing.
    known: (DateTime<Utc>, DateTime<Utc>),
}

impl Naive {
    /// All working time of `days` days from `first`, and a few more on both sides.
    pub(crate) fn of(calendar: &Calendar, first: NaiveDate, days: u64) -> Self {
        let mut intervals = Vec::new();
        for date in (first - Days::new(4)).iter_days().take(usize::try_from(days).unwrap() + 8) {
            for hours in hours_on(calendar, date) {
                let end = |minute: u16| {
                    let midnight = date.and_hms_opt(0, 0, 0).unwrap();
                    instant(calendar.zone(), midnight + TimeDelta::minutes(minute.into()))
                };
                let (start, end) = (end(hours.start_minute()), end(hours.end_minute()));
                if start < end {
                    intervals.push((start, end));
                }
            }
        }
        let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).unwrap().and_utc();
        let known = (midnight(first - Days::new(1)), midnight(first + Days::new(days + 1)));
        Self { intervals: union(intervals), known }
    }

    /// The same without what lies in pauses.
    pub(crate) fn without(&self, pauses: &[Pause]) -> Self {
        let mut intervals = self.intervals.clone();
        for pause in pauses {
            let until = pause.until.unwrap_or(DateTime::<Utc>::MAX_UTC);
            intervals = intervals
                .into_iter()
                .flat_map(|(start, end)| [(start, end.min(pause.from)), (start.max(until), end)])
                .filter(|(start, end)| start < end)
                .collect();
        }
        Self { intervals, known: self.known }
    }

    pub(crate) fn between(&self, a: DateTime<Utc>, b: DateTime<Utc>) -> Duration {
        let parts = self.intervals.iter().map(|(start, end)| ((*start).max(a), (*end).min(b)));
        parts.filter(|(start, end)| start < end).map(|(start, end)| (end - start).to_std().unwrap()).sum()
    }

    /// None when the window is too small.
    pub(crate) fn add(&self, from: DateTime<Utc>, mut left: Duration) -> Option<DateTime<Utc>> {
        if left.is_zero() {
            return Some(from);
        }
        for (start, end) in &self.intervals {
            let start = (*start).max(from);
            let Ok(length) = (*end - start).to_std() else { continue };
            if length >= left {
                return Some(start + left).filter(|at| *at < self.known.1);
            }
            left -= length;
        }
        None
    }

    /// None when the window is too small.
    pub(crate) fn sub(&self, to: DateTime<Utc>, mut left: Duration) -> Option<DateTime<Utc>> {
        if left.is_zero() {
            return Some(to);
        }
        for (start, end) in self.intervals.iter().rev() {
            let end = (*end).min(to);
            let Ok(length) = (end - *start).to_std() else { continue };
            if length >= left {
                return Some(end - left).filter(|at| *at > self.known.0);
            }
            left -= length;
        }
        None
    }

    pub(crate) fn is_working(&self, at: DateTime<Utc>) -> bool {
        self.intervals.iter().any(|(start, end)| *start <= at && at < *end)
    }

    pub(crate) fn next_working_instant(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.intervals.iter().find(|(_, end)| *end > at).map(|(start, _)| (*start).max(at))
    }
}

fn hours_on(calendar: &Calendar, date: NaiveDate) -> Vec<Hours> {
    let weekly = calendar.weekly();
    let mut entries = calendar.layers().iter().flat_map(|layer| &layer.days);
    match entries.rfind(|day| day.date == date) {
        None => weekly.hours_on(date.weekday()).to_vec(),
        Some(day) if day.open == Some(false) => Vec::new(),
        Some(day) => day.hours.clone().unwrap_or_else(|| weekly.mon.clone()),
    }
}

/// RFC 5545: the first of two occurrences; in a gap, with the offset before it.
fn instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            let before = (1..)
                .map(|steps| zone.from_local_datetime(&(local - TimeDelta::minutes(steps * 5))))
                .find_map(LocalResult::latest)
                .unwrap();
            let offset = before.naive_local() - before.naive_utc();
            (local - offset).and_utc()
        }
    }
}

fn union(mut intervals: Vec<(DateTime<Utc>, DateTime<Utc>)>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    intervals.sort_unstable();
    let mut disjoint: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for (start, end) in intervals {
        match disjoint.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => disjoint.push((start, end)),
        }
    }
    disjoint
}
