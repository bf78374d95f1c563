//! Where weeks, years and stretches begin and end.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use cuiban_domain::working_time::{
    Calendar, Deadline, EXPLAINED_DAYS_MAX, Layer, Measure, PREVIEW_EXAMPLES_MAX, Pause, RunningClock,
    SPECIAL_DAYS_MAX, SpecialDay, Step, Weekly, WorkingCalendar, WorkingTimeError, preview_calendar,
};

use crate::rules::{HOUR, at, date, from_toml, standard};

const DAY: Duration = Duration::from_secs(86_400);
const LAST: &str = "9999-12-31T23:59:59.999999Z";

fn round_the_clock(zone: &str) -> WorkingCalendar {
    let week =
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(|day| format!("{day} = [\"00:00-24:00\"]\n"));
    from_toml(&format!("zone = \"{zone}\"\n[weekly]\n{}", week.concat())).unwrap()
}

#[test]
fn r51_a_sunday_that_departs_from_the_week_changes_monday_morning_too() {
    let night = |day: &str| {
        from_toml(&format!("[weekly]\nsun = [\"22:00-06:00\"]\n[[days]]\ndate = \"2026-03-08\"\n{day}"))
            .unwrap()
    };
    let (sunday, monday) = (at("2026-03-08T23:00:00+08:00"), at("2026-03-09T03:00:00+08:00"));
    let closed = night("open = false");
    assert!(!closed.is_working(sunday) && !closed.is_working(monday));
    // The Sundays before and after are as ever.
    assert!(closed.is_working(at("2026-03-02T03:00:00+08:00")));
    assert!(closed.is_working(at("2026-03-16T03:00:00+08:00")));
    let longer = night("hours = [\"22:00-08:00\"]");
    assert_eq!(longer.between(sunday, at("2026-03-10T00:00:00+08:00")), HOUR * 9);
    let day_shift = from_toml(
        "[weekly]\nmon = [\"09:00-17:00\"]\n[[days]]\ndate = \"2026-03-08\"\nhours = [\"22:00-06:00\"]",
    );
    let day_shift = day_shift.unwrap();
    assert!(day_shift.is_working(sunday) && day_shift.is_working(monday));
    assert!(!day_shift.is_working(at("2026-03-09T06:00:00+08:00")));
}

#[test]
fn r51_the_first_and_the_last_week_of_all_years_are_whole_in_every_zone() {
    for zone in ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Apia"] {
        let calendar = round_the_clock(zone);
        assert_eq!(
            calendar.between(at("0001-01-01T00:00:00Z"), at("0001-01-15T00:00:00Z")),
            DAY * 14,
            "{zone}"
        );
        let end = DAY * 17 - Duration::from_micros(1);
        assert_eq!(calendar.between(at("9999-12-15T00:00:00Z"), at(LAST)), end, "{zone}");
        assert_eq!(calendar.add(at("9999-12-15T00:00:00Z"), end), Ok(at(LAST)), "{zone}");
        assert!(calendar.is_working(at("0001-01-01T00:00:00Z")) && calendar.is_working(at(LAST)), "{zone}");
    }
}

#[test]
fn r52_outside_the_years_an_instant_is_refused_or_read_as_the_nearest_inside() {
    let calendar = round_the_clock("Asia/Shanghai");
    let (early, late): (DateTime<Utc>, DateTime<Utc>) =
        (at("0000-12-31T12:00:00Z"), at(LAST) + Duration::from_micros(1));
    for outside in [early, late, DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(calendar.next_working_instant(outside), Err(WorkingTimeError::OutOfRange), "{outside}");
        assert_eq!(calendar.add(outside, HOUR), Err(WorkingTimeError::OutOfRange), "{outside}");
        assert!(calendar.is_working(outside), "{outside}");
    }
    assert_eq!(calendar.between(early, at("0001-01-02T00:00:00Z")), DAY);
    assert_eq!(calendar.between(at("9999-12-31T00:00:00Z"), late), DAY - Duration::from_micros(1));
    assert_eq!(calendar.between(early, early), Duration::ZERO);
}

#[test]
fn r51_before_the_first_working_time_of_all_the_next_working_instant_is_its_beginning() {
    let calendar = from_toml("[[days]]\ndate = \"2026-03-02\"\nhours = [\"09:00-17:00\"]").unwrap();
    let opening = at("2026-03-02T09:00:00+08:00");
    for before in ["0001-01-01T00:00:00Z", "2026-03-02T00:00:00+08:00", "2026-03-02T09:00:00+08:00"] {
        assert_eq!(calendar.next_working_instant(at(before)), Ok(opening), "{before}");
    }
    assert_eq!(calendar.sub(at("2026-03-02T17:00:00+08:00"), HOUR * 8), Ok(opening));
}

#[test]
fn r51_working_time_includes_a_stretchs_beginning_and_not_its_end() {
    let calendar = standard();
    // An ordinary week, and one with a day of its own (Saturday, 14 February, is worked).
    for (day, is_worked) in [
        ("2026-03-23", true),
        ("2026-03-27", true),
        ("2026-03-28", false),
        ("2026-03-29", false),
        ("2026-02-09", true),
        ("2026-02-14", true),
        ("2026-02-15", false),
    ] {
        for (time, is_working) in [
            ("00:00:00", false),
            ("08:29:59.999999", false),
            ("08:30:00", true),
            ("11:59:59.999999", true),
            ("12:00:00", false),
            ("12:59:59.999999", false),
            ("13:00:00", true),
            ("17:29:59.999999", true),
            ("17:30:00", false),
            ("23:59:59.999999", false),
        ] {
            let instant = at(&format!("{day}T{time}+08:00"));
            assert_eq!(calendar.is_working(instant), is_worked && is_working, "{day} {time}");
            let next = calendar.next_working_instant(instant).unwrap();
            assert_eq!(next == instant, is_worked && is_working, "{day} {time}");
        }
    }
}

#[test]
fn r38_counting_back_over_weeks_begins_at_the_start_of_a_stretch() {
    let calendar = standard();
    let friday = at("2026-07-31T17:30:00+08:00");
    assert_eq!(calendar.sub(friday, HOUR * 8 * 30), Ok(at("2026-06-22T08:30:00+08:00")));
    assert_eq!(calendar.sub(friday, HOUR * (8 * 30 - 4)), Ok(at("2026-06-22T13:30:00+08:00")));
    assert_eq!(calendar.add(at("2026-06-22T08:30:00+08:00"), HOUR * 8 * 30), Ok(friday));
}

#[test]
fn r52_days_that_nobody_works_are_no_working_time() {
    for day in ["open = false", "open = true"] {
        let days_alone = format!("[[days]]\ndate = \"2026-03-02\"\n{day}");
        assert_eq!(from_toml(&days_alone).unwrap_err().code(), "calendar_empty", "{day}");
    }
    assert!(from_toml("[[days]]\ndate = \"2026-03-02\"\nhours = [\"09:00-17:00\"]").is_ok());
}

#[test]
fn r50_a_day_with_hours_of_its_own_has_those_and_not_mondays() {
    let weekly = Weekly { mon: vec!["08:00-12:00".parse().unwrap()], ..Weekly::default() };
    let day = SpecialDay::with_hours(date("2026-03-03"), vec!["20:00-22:00".parse().unwrap()], "夜市");
    let layer = Layer { name: "branch".to_owned(), days: vec![day], ..Layer::default() };
    let calendar = WorkingCalendar::new(Calendar::new(chrono_tz::Tz::UTC, weekly, vec![layer]).unwrap());
    let tuesday = at("2026-03-03T00:00:00Z");
    assert_eq!(calendar.next_working_instant(tuesday), Ok(at("2026-03-03T20:00:00Z")));
    assert_eq!(calendar.between(tuesday, at("2026-03-04T00:00:00Z")), HOUR * 2);
}

#[test]
fn r37_pauses_that_are_empty_or_over_before_the_start_have_no_effect() {
    let calendar = standard();
    let from = at("2026-03-02T09:00:00+08:00");
    let pause = |from: &str, until: &str| Pause { from: at(from), until: Some(at(until)) };
    let over = pause("2026-02-27T09:00:00+08:00", "2026-02-27T11:00:00+08:00");
    let ends_at_the_start = pause("2026-03-02T08:30:00+08:00", "2026-03-02T09:00:00+08:00");
    let empty = pause("2026-03-02T10:00:00+08:00", "2026-03-02T10:00:00+08:00");
    for measure in [Measure::Working, Measure::Wall] {
        for pauses in [vec![over], vec![ends_at_the_start], vec![empty], vec![over, ends_at_the_start, empty]]
        {
            let due_at = at("2026-03-02T11:00:00+08:00");
            let deadline = calendar.deadline(from, HOUR * 2, &pauses, measure);
            assert_eq!(deadline, Ok(Deadline::Due(due_at)), "{measure:?} {pauses:?}");
            assert_eq!(calendar.consumed(from, due_at, &pauses, measure), Ok(HOUR * 2), "{pauses:?}");
        }
    }
}

#[test]
fn r37_what_is_consumed_is_what_passes_outside_of_pauses() {
    let calendar = standard();
    let (from, until) = (at("2026-03-02T11:00:00+08:00"), at("2026-03-02T15:00:00+08:00"));
    let pauses =
        [Pause { from: at("2026-03-02T11:30:00+08:00"), until: Some(at("2026-03-02T13:30:00+08:00")) }];
    assert_eq!(calendar.consumed(from, until, &pauses, Measure::Working), Ok(HOUR * 2));
    assert_eq!(calendar.consumed(from, until, &[], Measure::Working), Ok(HOUR * 3));
    assert_eq!(calendar.consumed(from, until, &[], Measure::Wall), Ok(HOUR * 4));
    let open = Pause { until: None, ..pauses[0] };
    assert_eq!(calendar.consumed(from, until, &[open], Measure::Working), Ok(HOUR / 2));
}

#[test]
fn r37_a_pause_within_another_is_not_counted_twice() {
    let calendar = standard();
    let (from, noon) = (at("2026-03-02T08:30:00+08:00"), at("2026-03-02T12:00:00+08:00"));
    let pause = |from: &str, until: Option<&str>| Pause {
        from: at(&format!("2026-03-02T{from}:00+08:00")),
        until: until.map(|until| at(&format!("2026-03-02T{until}:00+08:00"))),
    };
    let outer = pause("09:00", Some("11:00"));
    for inner in [pause("09:30", Some("10:00")), pause("09:00", Some("10:00")), pause("10:00", Some("11:00"))]
    {
        for pauses in [[outer, inner], [inner, outer]] {
            for measure in [Measure::Working, Measure::Wall] {
                let due = calendar.deadline(from, HOUR * 3 / 2, &pauses, measure);
                assert_eq!(due, Ok(Deadline::Due(noon)), "{pauses:?}");
                assert_eq!(calendar.consumed(from, noon, &pauses, measure), Ok(HOUR * 3 / 2), "{pauses:?}");
                assert_eq!(calendar.warn_at(noon, HOUR * 3 / 2, &pauses, measure), Ok(from), "{pauses:?}");
            }
        }
    }
    // One without an end swallows what begins after it.
    let open = [pause("09:00", None), pause("10:00", Some("11:00"))];
    let paused = calendar.deadline(from, HOUR * 2, &open, Measure::Working);
    assert_eq!(paused, Ok(Deadline::Paused { remaining: HOUR * 3 / 2 }));
}

#[test]
fn r50_a_calendar_may_have_twenty_thousand_special_days_and_not_one_more() {
    let weekly = Weekly { mon: vec!["08:00-12:00".parse().unwrap()], ..Weekly::default() };
    let day = SpecialDay::closed(date("2026-03-03"), "off");
    let with = |count: usize| {
        let layer = Layer { name: "days".to_owned(), days: vec![day.clone(); count], ..Layer::default() };
        Calendar::new(chrono_tz::Tz::UTC, weekly.clone(), vec![layer])
    };
    assert!(with(SPECIAL_DAYS_MAX).is_ok());
    assert_eq!(with(SPECIAL_DAYS_MAX + 1).unwrap_err().code(), "too_many_days");
}

#[test]
fn r51_special_days_lie_in_the_years_one_to_9999() {
    let weekly = Weekly { mon: vec!["08:00-12:00".parse().unwrap()], ..Weekly::default() };
    for (day, is_taken) in
        [("0000-12-31", false), ("0001-01-01", true), ("9999-12-31", true), ("+10000-01-01", false)]
    {
        let layer = Layer { days: vec![SpecialDay::closed(date(day), "off")], ..Layer::default() };
        let calendar = Calendar::new(chrono_tz::Tz::UTC, weekly.clone(), vec![layer]);
        assert_eq!(calendar.is_ok(), is_taken, "{day}");
    }
}

#[test]
fn r54_so_many_days_are_told_one_by_one_and_of_more_the_middle_is_summed_up() {
    let calendar = round_the_clock("UTC");
    let midnight = at("2026-03-02T00:00:00Z");
    let days_max = u32::try_from(EXPLAINED_DAYS_MAX).unwrap();
    let explained = |days: u32| {
        let explanation = calendar.explain(midnight, DAY * days, &[], Measure::Working).unwrap();
        assert_eq!(explanation.counted(), DAY * days);
        explanation.steps
    };
    let day_by_day = explained(days_max);
    assert_eq!(day_by_day.len(), usize::try_from(days_max).unwrap());
    assert!(day_by_day.iter().all(|step| matches!(step, Step::Counted { .. })));

    let first = date("2026-03-02");
    for more in [1, 10] {
        let steps = explained(days_max + more);
        assert_eq!(steps.len(), usize::try_from(days_max).unwrap() + 1);
        let half = u64::try_from(EXPLAINED_DAYS_MAX / 2).unwrap();
        let (from, until) = (first + Days::new(half), first + Days::new(half + u64::from(more)));
        let summary = Step::Summary { from, until, special_days: 0, counted: DAY * more };
        assert_eq!(steps[usize::try_from(half).unwrap()], summary);
    }
}

#[test]
fn r54_neither_a_pause_at_the_due_instant_nor_time_of_no_length_is_told() {
    let calendar = standard();
    let (from, due_at) = (at("2026-03-02T08:30:00+08:00"), at("2026-03-02T10:30:00+08:00"));
    let late = Pause { from: due_at, until: Some(at("2026-03-02T11:00:00+08:00")) };
    let early = Pause { from, until: Some(at("2026-03-02T09:30:00+08:00")) };
    for measure in [Measure::Working, Measure::Wall] {
        let untouched = calendar.explain(from, HOUR * 2, &[late], measure).unwrap();
        assert!(matches!(untouched.steps[..], [Step::Counted { .. }]), "{:?}", untouched.steps);
        let paused = calendar.explain(from, HOUR, &[early], measure).unwrap();
        assert!(
            matches!(paused.steps[..], [Step::Paused { .. }, Step::Counted { .. }]),
            "{:?}",
            paused.steps
        );
        assert_eq!(calendar.explain(from, Duration::ZERO, &[], measure).unwrap().steps, []);
    }
}

#[test]
fn r54_hours_that_two_days_share_are_told_once_and_nothing_of_no_length() {
    let calendar =
        from_toml("[weekly]\nmon = [\"22:00-06:00\"]\ntue = [\"05:00-06:00\", \"09:00-10:00\"]").unwrap();
    let monday = at("2026-03-02T22:00:00+08:00");
    let steps = calendar.explain(monday, HOUR * 9, &[], Measure::Working).unwrap().steps;
    let counted = |day: &str, from: &str, until: &str, hours: u32| Step::Counted {
        date: Some(date(day)),
        from: at(from),
        until: at(until),
        counted: HOUR * hours,
    };
    let night = counted("2026-03-02", "2026-03-02T22:00:00+08:00", "2026-03-03T06:00:00+08:00", 8);
    let morning = counted("2026-03-03", "2026-03-03T09:00:00+08:00", "2026-03-03T10:00:00+08:00", 1);
    assert_eq!(steps, [night, morning]);
}

#[test]
fn r54_the_wall_clock_is_told_between_the_pauses() {
    let calendar = standard();
    let pause = Pause { from: at("2026-03-02T10:00:00Z"), until: Some(at("2026-03-02T12:00:00Z")) };
    let steps =
        calendar.explain(at("2026-03-02T09:00:00Z"), HOUR * 3, &[pause], Measure::Wall).unwrap().steps;
    let counted = |from: &str, until: &str, hours: u32| Step::Counted {
        date: None,
        from: at(from),
        until: at(until),
        counted: HOUR * hours,
    };
    let paused = Step::Paused { from: pause.from, until: pause.until };
    let before = counted("2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z", 1);
    assert_eq!(steps, [before, paused, counted("2026-03-02T12:00:00Z", "2026-03-02T14:00:00Z", 2)]);
}

fn clock(id: usize, limit: Duration, due_at: &str) -> RunningClock<usize> {
    RunningClock {
        id,
        from: at("2026-03-02T08:30:00+08:00"),
        limit,
        pauses: Vec::new(),
        measure: Measure::Working,
        recorded: Deadline::Due(at(due_at)),
    }
}

#[test]
fn r53_a_preview_counts_clocks_without_an_answer_and_shows_the_first_twenty() {
    let last_monday = from_toml("[[days]]\ndate = \"2026-03-02\"\nhours = [\"08:30-10:30\"]").unwrap();
    let now = at("2026-03-02T09:00:00+08:00");
    let clocks = (0..25).map(|id| clock(id, HOUR, "2026-03-02T10:00:00+08:00"));
    let preview = preview_calendar(&last_monday, clocks, now);
    assert_eq!((preview.clocks, preview.moved, preview.earlier, preview.without_answer), (25, 25, 25, 0));
    let shown: Vec<_> = preview.examples.iter().map(|example| example.id).collect();
    assert_eq!(shown, (0..PREVIEW_EXAMPLES_MAX).collect::<Vec<_>>());

    let too_long = (0..3).map(|id| clock(id, HOUR * 3, "2026-03-02T11:30:00+08:00"));
    let preview = preview_calendar(&last_monday, too_long, now);
    assert_eq!((preview.clocks, preview.without_answer, preview.moved), (3, 3, 0));
}

#[test]
fn r38_a_preview_takes_no_clock_for_overdue_at_its_due_instant() {
    let new = standard();
    let newly_overdue =
        |recorded: &str, now: &str| preview_calendar(&new, [clock(0, HOUR, recorded)], at(now)).newly_overdue;
    let (later, due_at) = ("2026-03-02T12:00:00+08:00", "2026-03-02T09:30:00+08:00");
    assert_eq!(newly_overdue(later, due_at), 0);
    assert_eq!(newly_overdue(later, "2026-03-02T09:30:00.000001+08:00"), 1);
    // Due now by what is recorded, and not overdue either: it becomes so.
    assert_eq!(newly_overdue("2026-03-02T11:00:00+08:00", "2026-03-02T11:00:00+08:00"), 1);
    assert_eq!(newly_overdue("2026-03-02T11:00:00+08:00", "2026-03-02T11:00:00.000001+08:00"), 0);
}

#[test]
fn r51_hours_that_a_gap_has_swallowed_whole_end_no_working_day() {
    let berlin = from_toml("zone = \"Europe/Berlin\"\n[weekly]\nsun = [\"02:00-03:00\"]").unwrap();
    assert_eq!(berlin.end_of_working_day(at("2026-03-29T12:00:00Z")), None);
    assert_eq!(berlin.end_of_working_day(at("2026-04-05T12:00:00Z")), Some(at("2026-04-05T03:00:00+02:00")));
}
