//! Working time in the slow and obvious way: every interval of every day, one after the other.

use std::time::Duration;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use cuiban_domain::Instant;
use cuiban_domain::organisation::BranchHours;
use cuiban_domain::sla::{Limit, Measure};
use cuiban_domain::working_time::{Calendar, Hours};

/// How many days are walked, and how many before the seed begins.
const DAYS: u64 = 220;
const DAYS_BEFORE: u64 = 20;
/// A day before the first of any seed's.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 2, 28).unwrap();

/// A branch's working intervals, sorted and disjoint.
#[derive(Clone, Debug)]
pub(super) struct WorkingIntervals(Vec<(Instant, Instant)>);

impl WorkingIntervals {
    /// Of a company's calendar with a branch's own days laid over it.
    pub(super) fn of(company: &Calendar, branch: &BranchHours) -> Self {
        let zone = branch.zone.unwrap_or(company.zone());
        let mut intervals = Vec::new();
        let first = FIRST_DAY - Days::new(DAYS_BEFORE);
        for date in first.iter_days().take(usize::try_from(DAYS).unwrap_or_default()) {
            let instant = |minute: u16| {
                let local: NaiveDateTime =
                    date.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(minute.into());
                zone.from_local_datetime(&local).earliest().map(|at| at.with_timezone(&Utc))
            };
            for hours in hours_on(company, branch, date) {
                intervals.extend(instant(hours.start_minute()).zip(instant(hours.end_minute())));
            }
        }
        intervals.sort_unstable();
        Self(intervals)
    }

    fn add(&self, from: Instant, mut left: Duration) -> Option<Instant> {
        if left.is_zero() {
            return Some(from);
        }
        for (start, end) in &self.0 {
            let start = (*start).max(from);
            let Ok(length) = (*end - start).to_std() else { continue };
            if length >= left {
                return Some(start + left);
            }
            left -= length;
        }
        None
    }

    fn between(&self, from: Instant, until: Instant) -> Duration {
        let parts = self.0.iter().map(|(start, end)| (*end).min(until) - (*start).max(from));
        parts.filter_map(|part| part.to_std().ok()).sum()
    }

    /// When `left` of a limit is used up, counted from `from`.
    pub(super) fn due(&self, limit: Limit, from: Instant, left: Duration) -> Option<Instant> {
        match limit.measure {
            Measure::Wall => Some(from + left),
            Measure::Working => self.add(from, left),
        }
    }

    /// How much of a limit passes.
    pub(super) fn consumed(&self, limit: Limit, from: Instant, until: Instant) -> Duration {
        match limit.measure {
            Measure::Wall => (until - from).to_std().unwrap_or_default(),
            Measure::Working => self.between(from, until),
        }
    }
}

/// The branch's own entry for a day, or the company's, or what the weekday has; the last entry wins.
fn hours_on(company: &Calendar, branch: &BranchHours, date: NaiveDate) -> Vec<Hours> {
    let weekly = branch.weekly.as_ref().unwrap_or(company.weekly());
    let days = company.layers().iter().flat_map(|layer| &layer.days).chain(&branch.days);
    match days.rev().find(|day| day.date == date) {
        None => weekly.hours_on(date.weekday()).to_vec(),
        Some(day) if day.open == Some(false) => Vec::new(),
        Some(day) => day.hours.clone().unwrap_or_else(|| weekly.mon.clone()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use cuiban_domain::organisation::Company;

    use super::*;

    fn at(text: &str) -> Instant {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn six_hours_from_friday_afternoon_end_on_monday() {
        let intervals = WorkingIntervals::of(&Company::default().calendar(), &BranchHours::default());
        let hours = |count: u64| Duration::from_secs(3_600 * count);
        let from = at("2026-03-06T15:30:00+08:00");
        assert_eq!(intervals.add(from, hours(6)), Some(at("2026-03-09T13:30:00+08:00")));
        assert_eq!(intervals.between(from, at("2026-03-09T13:30:00+08:00")), hours(6));
    }
}
