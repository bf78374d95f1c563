//! Quiet hours (免打扰时段) by severity (R64): when an alert waits for the morning.
//!
//! Written as local time, read in the zone of the branch that the alert concerns. The record was made at its
//! instant; only the push waits.

use std::collections::BTreeMap;

use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::sla::Rung;
use cuiban_domain::working_time::Hours;
use serde::{Deserialize, Serialize};

use crate::alert::Severity;

const MINUTES_A_DAY: u16 = 24 * 60;

/// The quiet hours of each rung: `breach = ["22:00-07:00"]`. A rung that is not named is never quiet, and an
/// emergency cannot be named (R4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Rung, Vec<Hours>>", into = "BTreeMap<Rung, Vec<Hours>>")]
pub struct QuietHours {
    by_rung: BTreeMap<Rung, Vec<Hours>>,
}

/// Quiet hours that would hold alerts back for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quiet hours of {rung} leave no minute of the day in which an alert may go out")]
pub struct NeverAudible {
    /// Whose hours these are.
    pub rung: Rung,
}

impl TryFrom<BTreeMap<Rung, Vec<Hours>>> for QuietHours {
    type Error = NeverAudible;

    fn try_from(by_rung: BTreeMap<Rung, Vec<Hours>>) -> Result<Self, NeverAudible> {
        let whole_day = by_rung.iter().find(|(_, hours)| (0..MINUTES_A_DAY).all(|at| covers(hours, at)));
        match whole_day {
            Some((rung, _)) => Err(NeverAudible { rung: *rung }),
            None => Ok(Self { by_rung }),
        }
    }
}

impl From<QuietHours> for BTreeMap<Rung, Vec<Hours>> {
    fn from(quiet: QuietHours) -> Self {
        quiet.by_rung
    }
}

/// Whether a minute of the day lies in one of the stretches, that of the day before included.
fn covers(hours: &[Hours], minute: u16) -> bool {
    hours.iter().any(|stretch| {
        let within = |at: u16| (stretch.start_minute()..stretch.end_minute()).contains(&at);
        within(minute) || within(minute + MINUTES_A_DAY)
    })
}

impl QuietHours {
    /// When an alert of this severity may go out, if not now.
    pub fn held_until(&self, severity: Severity, now: Instant, zone: Tz) -> Option<Instant> {
        let Severity::Rung(rung) = severity else { return None };
        let hours = self.by_rung.get(&rung)?;
        let mut at = now;
        // A stretch may begin where another ends; each is met once, or twice around midnight.
        for _ in 0..=2 * hours.len() {
            match hours.iter().find_map(|stretch| end_of(*stretch, at, zone)) {
                Some(end) => at = end,
                None => break,
            }
        }
        (at > now).then_some(at)
    }
}

/// The end of the stretch, if `at` lies in it: in the one that begins on this local day, or on the day before.
fn end_of(stretch: Hours, at: Instant, zone: Tz) -> Option<Instant> {
    let today = at.with_timezone(&zone).date_naive();
    [Some(today), today.pred_opt()].into_iter().flatten().find_map(|day| {
        let start = instant_of(day, stretch.start_minute(), zone);
        let end = instant_of(day, stretch.end_minute(), zone);
        (start <= at && at < end).then_some(end)
    })
}

/// The instant of a local time, as RFC 5545 reads it: in a gap with the offset before the gap, twice there as its
/// first occurrence.
fn instant_of(day: NaiveDate, minute: u16, zone: Tz) -> Instant {
    let local = day.and_time(NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute));
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => in_the_gap(local, zone),
    }
}

fn in_the_gap(local: NaiveDateTime, zone: Tz) -> Instant {
    let before = zone.offset_from_utc_datetime(&(local - TimeDelta::days(1))).fix();
    DateTime::from_naive_utc_and_offset(local - before, chrono::Utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHANGHAI: Tz = Tz::Asia__Shanghai;

    fn at(text: &str) -> Instant {
        text.parse().unwrap()
    }

    fn quiet(json: &str) -> QuietHours {
        serde_json::from_str(json).unwrap()
    }

    fn breach() -> Severity {
        Severity::Rung(Rung::Breach)
    }

    #[test]
    fn r64_a_breach_waits_for_the_morning_on_both_sides_of_midnight() {
        let quiet = quiet(r#"{"breach": ["22:00-07:00"]}"#);
        let morning = Some(at("2026-11-22T07:00:00+08:00"));
        assert_eq!(quiet.held_until(breach(), at("2026-11-21T22:00:00+08:00"), SHANGHAI), morning);
        assert_eq!(quiet.held_until(breach(), at("2026-11-22T06:59:59+08:00"), SHANGHAI), morning);
        assert_eq!(quiet.held_until(breach(), at("2026-11-22T07:00:00+08:00"), SHANGHAI), None);
        assert_eq!(quiet.held_until(breach(), at("2026-11-21T21:59:59+08:00"), SHANGHAI), None);
    }

    #[test]
    fn r64_quiet_hours_are_those_of_the_branchs_zone() {
        let quiet = quiet(r#"{"breach": ["22:00-07:00"]}"#);
        let now = at("2026-11-21T23:00:00+08:00");
        assert_eq!(quiet.held_until(breach(), now, Tz::Asia__Urumqi), None, "21:00 there");
    }

    #[test]
    fn r4_an_emergency_and_a_rung_not_named_are_never_quiet() {
        let quiet = quiet(r#"{"breach": ["22:00-07:00"]}"#);
        let night = at("2026-11-22T03:00:00+08:00");
        assert_eq!(quiet.held_until(Severity::Emergency, night, SHANGHAI), None);
        assert_eq!(quiet.held_until(Severity::Rung(Rung::BranchManager), night, SHANGHAI), None);
        assert!(serde_json::from_str::<QuietHours>(r#"{"emergency": ["22:00-07:00"]}"#).is_err());
    }

    #[test]
    fn stretches_that_touch_are_one() {
        let quiet = quiet(r#"{"breach": ["00:00-07:00", "20:00-24:00"]}"#);
        let evening = at("2026-11-21T21:00:00+08:00");
        assert_eq!(quiet.held_until(breach(), evening, SHANGHAI), Some(at("2026-11-22T07:00:00+08:00")));
    }

    #[test]
    fn an_end_that_the_zone_skips_lies_an_hour_later_on_the_wall() {
        let quiet = quiet(r#"{"breach": ["22:00-02:30"]}"#);
        let night = at("2026-03-29T00:30:00+01:00");
        let end = quiet.held_until(breach(), night, Tz::Europe__Berlin);
        assert_eq!(end, Some(at("2026-03-29T03:30:00+02:00")));
    }

    #[test]
    fn refuses_a_day_without_an_audible_minute() {
        for json in [
            r#"{"breach": ["00:00-24:00"]}"#,
            r#"{"breach": ["22:00-08:00", "08:00-22:00"]}"#,
            r#"{"breach": ["12:00-24:00", "00:00-12:00"]}"#,
        ] {
            assert!(serde_json::from_str::<QuietHours>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<QuietHours>(r#"{"breach": ["08:00-07:59"]}"#).is_ok());
    }
}
