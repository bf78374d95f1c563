//! A zone's offsets as a list of eras, so that local times become instants by binary search.
//!
//! chrono-tz keeps its transitions to itself, so they are found by probing, once per zone and process:
//! its table begins in 1844 and ends in 2099, with a constant offset before and after, and no two
//! transitions of one zone lie within [`PROBE_STEP_S`] of each other.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

const PROBE_STEP_S: i64 = 86_400;
/// 1840-01-01T00:00:00Z
const PROBE_FIRST_S: i64 = -4_102_444_800;
/// 2101-01-01T00:00:00Z
const PROBE_LAST_S: i64 = 4_133_980_800;

/// A stretch of instants with one offset.
#[derive(Clone, Copy, Debug)]
struct Era {
    starts_at_s: i64,
    offset_s: i64,
    /// What a local clock shows when the era ends.
    local_end_s: i64,
}

/// The instant of a local time as RFC 5545 reads it: a time in a gap has the offset before the gap, an
/// ambiguous one is its first occurrence.
pub fn local_instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    let seconds = ZoneEras::of(zone).utc_s(local);
    let subsecond_ns = local.and_utc().timestamp_subsec_nanos();
    DateTime::from_timestamp(seconds, subsecond_ns).unwrap_or_else(|| local.and_utc())
}

/// A change of a zone's offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transition {
    pub(super) at_s: i64,
    pub(super) offset_before_s: i64,
    pub(super) offset_after_s: i64,
}

/// All eras of one zone, in order; never empty.
#[derive(Debug)]
pub(super) struct ZoneEras {
    eras: Vec<Era>,
}

impl ZoneEras {
    /// The eras of `zone`, found at the first call and kept.
    pub(super) fn of(zone: Tz) -> Arc<Self> {
        static KNOWN: LazyLock<Mutex<HashMap<Tz, Arc<ZoneEras>>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(zone).or_insert_with(|| Arc::new(Self::probe(zone))))
    }

    fn probe(zone: Tz) -> Self {
        let mut starts = vec![(i64::MIN, offset_at_s(zone, PROBE_FIRST_S))];
        let (mut before_s, mut offset_s) = (PROBE_FIRST_S, starts[0].1);
        while before_s < PROBE_LAST_S {
            let after_s = before_s + PROBE_STEP_S;
            let next_offset_s = offset_at_s(zone, after_s);
            if next_offset_s != offset_s {
                starts.push((bisect(zone, before_s, after_s, offset_s), next_offset_s));
                offset_s = next_offset_s;
            }
            before_s = after_s;
        }
        let ends = starts.iter().skip(1).map(|(start, _)| Some(*start)).chain([None]);
        let eras = starts
            .iter()
            .zip(ends)
            .map(|(&(starts_at_s, offset_s), end)| Era {
                starts_at_s,
                offset_s,
                local_end_s: end.map_or(i64::MAX, |end| end + offset_s),
            })
            .collect();
        Self { eras }
    }

    /// The instant, in seconds, of a local time as RFC 5545 reads it: a time in a gap has the offset
    /// before the gap, an ambiguous one is its first occurrence.
    pub(super) fn utc_s(&self, local: NaiveDateTime) -> i64 {
        let local_s = local.and_utc().timestamp();
        let index = self.eras.partition_point(|era| era.local_end_s <= local_s);
        let era = self.eras[index];
        if index > 0 && local_s < era.starts_at_s + era.offset_s {
            return local_s - self.eras[index - 1].offset_s;
        }
        local_s - era.offset_s
    }

    /// The date that a local calendar shows at an instant.
    pub(super) fn local_date(&self, utc_us: i64) -> NaiveDate {
        let utc_s = utc_us.div_euclid(1_000_000);
        let index = self.eras.partition_point(|era| era.starts_at_s <= utc_s);
        let local_s = utc_s + self.eras[index.saturating_sub(1)].offset_s;
        DateTime::from_timestamp(local_s, 0).map_or(NaiveDate::MAX, |local| local.date_naive())
    }

    /// Every change of offset, in order.
    pub(super) fn transitions(&self) -> impl Iterator<Item = Transition> + '_ {
        self.eras.windows(2).map(|pair| Transition {
            at_s: pair[1].starts_at_s,
            offset_before_s: pair[0].offset_s,
            offset_after_s: pair[1].offset_s,
        })
    }
}

/// The first second in `(before_s, after_s]` whose offset is no longer `offset_s`.
fn bisect(zone: Tz, mut before_s: i64, mut after_s: i64, offset_s: i64) -> i64 {
    while after_s - before_s > 1 {
        let middle_s = before_s + (after_s - before_s) / 2;
        if offset_at_s(zone, middle_s) == offset_s {
            before_s = middle_s;
        } else {
            after_s = middle_s;
        }
    }
    after_s
}

fn offset_at_s(zone: Tz, utc_s: i64) -> i64 {
    let utc = DateTime::from_timestamp(utc_s, 0).unwrap_or(DateTime::UNIX_EPOCH).naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use chrono::{Days, LocalResult, NaiveTime};

    use super::*;

    fn local(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").unwrap()
    }

    #[test]
    fn every_zone_agrees_with_chrono_tz_at_noon_of_a_sample_of_days() {
        for zone in [Tz::Asia__Shanghai, Tz::Africa__Casablanca, Tz::Australia__Lord_Howe, Tz::UTC] {
            let eras = ZoneEras::of(zone);
            let first = NaiveDate::from_ymd_opt(1830, 1, 1).unwrap();
            for day in (0..110_000).step_by(17) {
                let noon = (first + Days::new(day)).and_time(NaiveTime::MIN) + chrono::Duration::hours(12);
                if let LocalResult::Single(expected) = zone.from_local_datetime(&noon) {
                    assert_eq!(eras.utc_s(noon), expected.timestamp(), "{zone} {noon}");
                }
            }
        }
    }

    #[test]
    fn offsets_are_constant_beyond_the_probed_years() {
        for zone in [Tz::Europe__Berlin, Tz::America__New_York, Tz::Africa__Casablanca] {
            let last = offset_at_s(zone, PROBE_LAST_S);
            for year in 2101..2500 {
                for month in [1, 7] {
                    let at = NaiveDate::from_ymd_opt(year, month, 1).unwrap().and_time(NaiveTime::MIN);
                    assert_eq!(offset_at_s(zone, at.and_utc().timestamp()), last, "{zone} {at}");
                }
            }
        }
    }

    #[test]
    fn a_time_in_a_gap_has_the_offset_before_it() {
        let berlin = ZoneEras::of(Tz::Europe__Berlin);
        let in_the_gap = berlin.utc_s(local("2026-03-29T02:30:00"));
        assert_eq!(in_the_gap, local("2026-03-29T01:30:00").and_utc().timestamp());
    }

    #[test]
    fn a_gaps_end_is_no_part_of_it() {
        let berlin = ZoneEras::of(Tz::Europe__Berlin);
        assert_eq!(
            berlin.utc_s(local("2026-03-29T03:00:00")),
            local("2026-03-29T01:00:00").and_utc().timestamp()
        );
        assert_eq!(
            berlin.utc_s(local("2026-03-29T02:00:00")),
            local("2026-03-29T01:00:00").and_utc().timestamp()
        );
        assert_eq!(
            berlin.utc_s(local("2026-03-29T01:59:59")),
            local("2026-03-29T00:59:59").and_utc().timestamp()
        );
    }

    #[test]
    fn a_date_begins_at_local_midnight_in_summer_and_winter() {
        let berlin = ZoneEras::of(Tz::Europe__Berlin);
        for (midnight, date) in [("2026-01-14T23:00:00", "2026-01-15"), ("2026-07-14T22:00:00", "2026-07-15")]
        {
            let (at_us, date): (_, NaiveDate) =
                (local(midnight).and_utc().timestamp_micros(), date.parse().unwrap());
            assert_eq!(berlin.local_date(at_us), date);
            assert_eq!(berlin.local_date(at_us - 1), date.pred_opt().unwrap());
        }
    }

    #[test]
    fn an_ambiguous_time_is_its_first_occurrence() {
        let berlin = ZoneEras::of(Tz::Europe__Berlin);
        let twice = berlin.utc_s(local("2026-10-25T02:30:00"));
        assert_eq!(twice, local("2026-10-25T00:30:00").and_utc().timestamp());
    }
}
