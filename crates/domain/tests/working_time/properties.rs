//! Properties over random calendars, against the naive walk.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use cuiban_domain::working_time::{
    Calendar, Deadline, Hours, Layer, Measure, Pause, SpecialDay, Step, Weekly, WorkingCalendar,
};
use proptest::prelude::*;

use crate::naive::Naive;

const ZONES: [Tz; 14] = [
    Tz::UTC,
    Tz::Asia__Shanghai,
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::America__St_Johns,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::Pacific__Kwajalein,
    Tz::Africa__Casablanca,
    Tz::Asia__Tehran,
    Tz::Asia__Kathmandu,
    Tz::America__Nuuk,
    Tz::America__Havana,
    Tz::Antarctica__Troll,
];

/// Local dates near which something odd happens to one of the zones' clocks.
const ODD_DATES: [(i32, u32, u32); 14] = [
    (1844, 12, 31),
    (1883, 11, 18),
    (1901, 1, 1),
    (1927, 12, 31),
    (1940, 6, 1),
    (1986, 5, 4),
    (1988, 4, 3),
    (1993, 8, 21),
    (2011, 12, 30),
    (2018, 10, 28),
    (2022, 9, 21),
    (2023, 10, 29),
    (2026, 3, 29),
    (2099, 11, 1),
];

/// How far the naive walk looks.
const WINDOW_DAYS: u64 = 100;

#[derive(Clone, Debug)]
struct Case {
    calendar: Calendar,
    first: NaiveDate,
    from: DateTime<Utc>,
    amounts: (Duration, Duration),
    pauses: Vec<Pause>,
}

fn hours_of_a_day() -> impl Strategy<Value = Vec<Hours>> {
    let cuts = prop::collection::btree_set(0_u16..=288, 0..6);
    (cuts, any::<bool>(), 1_u16..288).prop_map(|(cuts, night, night_end)| {
        let mut cuts: Vec<u16> = cuts.into_iter().map(|cut| cut * 5).collect();
        // A beginning left over is a night shift, or else dropped.
        let left_over = if cuts.len() % 2 == 1 { cuts.pop() } else { None };
        let mut written: Vec<String> = cuts.chunks(2).map(|pair| clock(pair[0], pair[1])).collect();
        if let (Some(start), true) = (left_over.filter(|start| *start > 0 && *start < 1440), night) {
            written.push(clock(start, (night_end * 5) % start));
        }
        written.iter().map(|hours| hours.parse().unwrap()).collect()
    })
}

fn clock(start: u16, end: u16) -> String {
    format!("{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
}

fn special_day(first: NaiveDate) -> impl Strategy<Value = SpecialDay> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(Vec::new())),
        hours_of_a_day().prop_filter("hours", |hours| !hours.is_empty()).prop_map(Some)
    ];
    (0..WINDOW_DAYS, kind).prop_map(move |(day, kind)| {
        let date = first + Days::new(day);
        match kind {
            None => SpecialDay::closed(date, "off"),
            Some(hours) if hours.is_empty() => SpecialDay::make_up(date, "worked"),
            Some(hours) => SpecialDay::with_hours(date, hours, "own hours"),
        }
    })
}

fn first_day() -> impl Strategy<Value = NaiveDate> {
    let odd = prop::sample::select(&ODD_DATES[..]).prop_flat_map(|(year, month, day)| {
        let date = NaiveDate::from_ymd_opt(year, month, day).unwrap();
        (0..30_u64).prop_map(move |days| date - Days::new(days))
    });
    let any_day = (0..70_000_u64).prop_map(|days| {
        NaiveDate::from_ymd_opt(1910, 1, 1).unwrap().checked_add_days(Days::new(days)).unwrap()
    });
    prop_oneof![odd, any_day]
}

fn case() -> impl Strategy<Value = Case> {
    first_day().prop_flat_map(|first| {
        let week = prop::collection::vec(hours_of_a_day(), 7);
        let zone = prop::sample::select(&ZONES[..]);
        let specials = prop::collection::vec(special_day(first), 0..12);
        // Whole minutes hit the ends of intervals; odd microseconds everything else.
        let moment =
            prop_oneof![(0..60_i64 * 288).prop_map(|five| five * 300_000_000), 0..60_i64 * 86_400_000_000];
        let amount = || {
            prop_oneof![
                Just(Duration::ZERO),
                (0..2_000_u64).prop_map(|five| Duration::from_secs(five * 300)),
                (0..300_u64 * 3_600_000_000).prop_map(Duration::from_micros),
            ]
        };
        let pause = (moment.clone(), prop::option::weighted(0.9, 0..5 * 86_400_000_000_i64));
        let pauses = prop::collection::vec(pause, 0..4);
        (zone, week, specials, moment, (amount(), amount()), pauses).prop_filter_map(
            "somebody works",
            move |(zone, week, specials, moment, amounts, pauses)| {
                let [mon, tue, wed, thu, fri, sat, sun] = week.try_into().ok()?;
                let weekly = Weekly { mon, tue, wed, thu, fri, sat, sun };
                let layer = Layer { name: "random".to_owned(), days: specials, ..Layer::default() };
                let calendar = Calendar::new(zone, weekly, vec![layer]).ok()?;
                let at =
                    |us: i64| first.and_hms_opt(0, 0, 0).unwrap().and_utc() + TimeDelta::microseconds(us);
                let pauses = pauses.into_iter().map(|(from, length)| Pause {
                    from: at(from),
                    until: length.map(|length| at(from + length)),
                });
                let pauses = pauses.collect();
                Some(Case { calendar, first, from: at(moment), amounts, pauses })
            },
        )
    })
}

/// `PROPTEST_CASES` may ask for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(384), failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arithmetic_equals_the_naive_walk(case in case()) {
        let naive = Naive::of(&case.calendar, case.first, WINDOW_DAYS);
        let calendar = WorkingCalendar::new(case.calendar.clone());
        let (from, amount) = (case.from, case.amounts.0);
        if let Some(expected) = naive.add(from, amount) {
            prop_assert_eq!(calendar.add(from, amount).unwrap(), expected);
            prop_assert_eq!(calendar.between(from, expected), amount);
            // The end is exact: with a positive amount the microsecond before it is working time.
            prop_assert!(amount.is_zero() || calendar.is_working(expected - TimeDelta::microseconds(1)));
        }
        let to = from + TimeDelta::days(30);
        if let Some(expected) = naive.sub(to, amount) {
            prop_assert_eq!(calendar.sub(to, amount).unwrap(), expected);
            prop_assert_eq!(calendar.between(expected, to), amount);
            prop_assert!(amount.is_zero() || calendar.is_working(expected));
        }
        prop_assert_eq!(calendar.between(from, to), naive.between(from, to));
        prop_assert_eq!(calendar.is_working(from), naive.is_working(from));
        if let Some(next) = naive.next_working_instant(from) {
            prop_assert_eq!(calendar.next_working_instant(from).unwrap(), next);
        }
    }

    #[test]
    fn add_and_sub_undo_each_other_and_keep_order(case in case(), later_us in 0..5 * 86_400_000_000_i64) {
        let calendar = WorkingCalendar::new(case.calendar);
        let (from, (amount, more)) = (case.from, case.amounts);
        // A calendar whose working time is all in special days can run out; then there is nothing to undo.
        let (Ok(end), Ok(later_end)) = (calendar.add(from, amount), calendar.add(from, amount + more)) else {
            return Ok(());
        };
        prop_assert!(from <= end && end <= later_end);
        prop_assert_eq!(calendar.between(from, end), amount);
        prop_assert_eq!(calendar.between(from, later_end), amount + more);
        prop_assert_eq!(calendar.between(end, later_end), more);
        let back = calendar.sub(end, amount).unwrap();
        prop_assert_eq!(calendar.between(back, end), amount);
        prop_assert_eq!(calendar.between(from.min(back), from.max(back)), Duration::ZERO);
        if let Ok(end_of_later_start) = calendar.add(from + TimeDelta::microseconds(later_us), amount) {
            prop_assert!(end <= end_of_later_start);
        }
        let middle = from + (end - from) / 2;
        prop_assert_eq!(
            calendar.between(from, end),
            calendar.between(from, middle) + calendar.between(middle, end)
        );
    }

    #[test]
    fn r37_deadlines_with_pauses_equal_the_naive_walk(case in case()) {
        let naive = Naive::of(&case.calendar, case.first, WINDOW_DAYS).without(&case.pauses);
        let calendar = WorkingCalendar::new(case.calendar);
        let limit = case.amounts.0;
        let answer = calendar.deadline(case.from, limit, &case.pauses, Measure::Working);
        match (answer, naive.add(case.from, limit)) {
            (Ok(Deadline::Due(due_at)), Some(expected)) => prop_assert_eq!(due_at, expected),
            (Ok(Deadline::Paused { remaining }), expected) => {
                // The naive walk has no working time left after the pause without an end.
                prop_assert_eq!(expected, None);
                let far = case.from + TimeDelta::days(90);
                prop_assert_eq!(remaining, limit - naive.between(case.from, far));
            }
            (Ok(Deadline::Due(_)) | Err(_), None) => {}
            (Err(error), Some(expected)) => prop_assert!(false, "{error} instead of {expected}"),
        }
    }

    #[test]
    fn r54_the_steps_of_an_explanation_add_up_and_are_in_order(case in case(), wall in any::<bool>()) {
        let calendar = WorkingCalendar::new(case.calendar);
        let measure = if wall { Measure::Wall } else { Measure::Working };
        let limit = case.amounts.0 + case.amounts.1;
        let Ok(explanation) = calendar.explain(case.from, limit, &case.pauses, measure) else {
            return Ok(());
        };
        let remaining = explanation.remaining.unwrap_or_default();
        prop_assert_eq!(explanation.counted() + remaining, limit);
        let mut last_end = case.from;
        for step in &explanation.steps {
            if let Step::Counted { from, until, counted, .. } = step {
                prop_assert!(last_end <= *from && from < until);
                prop_assert_eq!((*until - *from).to_std().unwrap(), *counted);
                last_end = *until;
            }
        }
        if let Some(due_at) = explanation.due_at.filter(|_| !limit.is_zero()) {
            prop_assert_eq!(due_at, last_end);
        }
    }

    #[test]
    fn r62_a_warning_is_counted_back_in_working_time(case in case()) {
        let calendar = WorkingCalendar::new(case.calendar);
        let (limit, warn) = (case.amounts.0 + case.amounts.1, case.amounts.1);
        let closed: Vec<Pause> = case.pauses.into_iter().filter(|pause| pause.until.is_some()).collect();
        let Ok(Deadline::Due(due_at)) = calendar.deadline(case.from, limit, &closed, Measure::Working) else {
            return Ok(());
        };
        let warn_at = calendar.warn_at(due_at, warn, &closed, Measure::Working).unwrap();
        prop_assert!(warn_at <= due_at);
        let consumed = calendar.consumed(warn_at, due_at, &closed, Measure::Working).unwrap();
        prop_assert_eq!(consumed, warn);
    }
}
