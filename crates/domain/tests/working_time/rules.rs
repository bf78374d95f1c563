//! The rules of DOMAIN.md sections 4 and 5, one fact a test.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use cuiban_domain::working_time::{
    Calendar, CalendarFile, DayKind, Deadline, EXPLAINED_DAYS_MAX, Explanation, Finding, Measure, Pause,
    RunningClock, SkipReason, Step, WorkingCalendar, WorkingTimeError, deadline_line, error_line,
    preview_calendar,
};
use serde_json::{Value, json};

use crate::cases;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn standard() -> WorkingCalendar {
    cases::calendar(&Path::new(cases::CASES).join("calendars"), "cn-std.toml").unwrap()
}

pub(crate) fn from_toml(text: &str) -> Result<WorkingCalendar, WorkingTimeError> {
    let resolved = CalendarFile::parse(text)?.resolve(|name| Err::<String, _>(format!("no {name} here")))?;
    Ok(WorkingCalendar::new(resolved.calendar))
}

fn pause(from: &str, until: Option<&str>) -> Pause {
    Pause { from: at(from), until: until.map(at) }
}

fn refusal(toml: &str) -> &'static str {
    from_toml(toml).unwrap_err().code()
}

#[test]
fn r38_a_limit_that_uses_up_an_interval_ends_at_its_end() {
    let calendar = standard();
    let morning = at("2026-03-02T08:30:00+08:00");
    let noon = calendar.add(morning, HOUR * 7 / 2).unwrap();
    assert_eq!(noon, at("2026-03-02T12:00:00+08:00"));
    // Backwards the same amount begins at the start of an interval.
    let afternoon = calendar.sub(at("2026-03-02T17:30:00+08:00"), HOUR * 9 / 2).unwrap();
    assert_eq!(afternoon, at("2026-03-02T13:00:00+08:00"));
}

#[test]
fn r38_a_pause_that_begins_when_the_limit_is_used_up_has_no_effect() {
    let calendar = standard();
    let from = at("2026-03-02T08:30:00+08:00");
    let noon = pause("2026-03-02T12:00:00+08:00", None);
    let deadline = calendar.deadline(from, HOUR * 7 / 2, &[noon], Measure::Working).unwrap();
    assert_eq!(deadline, Deadline::Due(noon.from));
}

#[test]
fn r37_pauses_stop_the_wall_clock_too() {
    let calendar = standard();
    let from = at("2026-02-14T20:00:00+08:00");
    let pauses = [
        pause("2026-02-15T03:00:00+08:00", Some("2026-02-15T06:00:00+08:00")),
        pause("2026-02-15T01:00:00+08:00", Some("2026-02-15T04:00:00+08:00")),
        pause("2026-02-14T10:00:00+08:00", Some("2026-02-14T21:00:00+08:00")),
    ];
    let deadline = calendar.deadline(from, HOUR * 24, &pauses, Measure::Wall).unwrap();
    assert_eq!(deadline, Deadline::Due(at("2026-02-16T02:00:00+08:00")));
}

#[test]
fn r37_refuses_a_pause_that_ends_before_it_begins() {
    let backwards = pause("2026-03-02T10:00:00Z", Some("2026-03-02T09:00:00Z"));
    let refused = standard().deadline(at("2026-03-02T00:00:00Z"), HOUR, &[backwards], Measure::Wall);
    assert_eq!(refused.unwrap_err().code(), "pause_order");
}

#[test]
fn r37_a_warning_does_not_count_the_pause() {
    let calendar = standard();
    let pauses = [pause("2026-03-02T09:30:00+08:00", Some("2026-03-02T11:00:00+08:00"))];
    let due_at = at("2026-03-02T11:30:00+08:00");
    let warn_at = calendar.warn_at(due_at, HOUR, &pauses, Measure::Working).unwrap();
    assert_eq!(warn_at, at("2026-03-02T09:00:00+08:00"));
}

#[test]
fn r50_a_later_layer_wins_and_says_so() {
    let calendar: Calendar = serde_json::from_value(json!({
        "weekly": {"mon": ["09:00-17:00"], "sat": []},
        "layers": [
            {"name": "national", "published_years": [2026], "days": [
                {"date": "2026-02-14", "open": true, "name": "春节"},
                {"date": "2026-02-16", "open": false, "name": "春节"},
            ]},
            {"name": "branch", "days": [{"date": "2026-02-14", "hours": ["10:00-11:00"], "name": "半天"}]},
        ],
    }))
    .unwrap();
    assert_eq!(calendar.zone().name(), "Asia/Shanghai");
    let again: Calendar = serde_json::from_value(serde_json::to_value(&calendar).unwrap()).unwrap();
    assert_eq!(again, calendar);
    let working = WorkingCalendar::new(calendar);
    let kind = working.day_kind(date("2026-02-14"));
    let open = DayKind::SpecialOpen { name: "半天".into(), layer: "branch".into(), source: String::new() };
    assert_eq!(kind, open);
    assert_eq!(working.day_kind(date("2026-02-09")), DayKind::Workday);
    assert_eq!(working.day_kind(date("2026-02-10")), DayKind::RestDay);
    let whole_week = working.between(at("2026-02-14T00:00:00+08:00"), at("2026-02-21T00:00:00+08:00"));
    assert_eq!(whole_week, HOUR);
}

#[test]
fn r50_a_make_up_day_without_mondays_hours_is_a_finding() {
    let calendar = from_toml(
        r#"
        [weekly]
        tue = ["09:00-17:00"]
        [[days]]
        date = "2026-02-14"
        open = true
        name = "春节调休"
        "#,
    )
    .unwrap();
    let finding = Finding::MakeUpDayWithoutHours {
        date: date("2026-02-14"),
        name: "春节调休".into(),
        layer: "days".into(),
    };
    assert_eq!(calendar.calendar().findings(), [finding]);
    assert!(standard().calendar().findings().is_empty());
}

#[test]
fn r50_refuses_hours_that_contradict_themselves() {
    assert_eq!(refusal("[weekly]\nmon = [\"08:00-12:00\", \"11:59-13:00\"]"), "hours_overlap");
    assert_eq!(refusal("[weekly]\nmon = [\"22:00-06:00\", \"23:00-24:00\"]"), "hours_overlap");
    assert_eq!(refusal("[weekly]\nmon = [\"08:00-08:00\"]"), "calendar_malformed");
    assert_eq!(refusal("[weekly]\nmonday = [\"08:00-09:00\"]"), "calendar_malformed");
    assert_eq!(refusal("zone = \"Asia/Nowhere\"\n[weekly]\nmon = [\"08:00-09:00\"]"), "calendar_malformed");
    let with_day =
        |day: &str| format!("[weekly]\nmon = [\"08:00-09:00\"]\n[[days]]\ndate = \"2026-02-14\"\n{day}");
    assert_eq!(refusal(&with_day("name = \"x\"")), "neither_open_nor_hours");
    assert_eq!(refusal(&with_day("open = false\nhours = [\"08:00-09:00\"]")), "closed_with_hours");
    assert_eq!(refusal(&with_day("open = true\nhours = []")), "hours_empty");
    assert_eq!(refusal("include = [\"days.csv\"]"), "include_unknown_format");
    assert_eq!(refusal("include = [\"cn-2026.json\"]"), "include_unreadable");
    assert!(from_toml("[weekly]\nmon = [\"12:00-13:00\", \"08:00-12:00\"]").is_ok());
}

#[test]
fn r51_a_shift_over_midnight_ends_the_day_it_began() {
    let folder = Path::new(cases::CASES).join("calendars");
    let night = cases::calendar(&folder, "night-shift.toml").unwrap();
    let end = |text: &str| night.end_of_working_day(at(text)).unwrap();
    assert_eq!(end("2026-03-03T02:00:00+08:00"), at("2026-03-03T06:00:00+08:00"));
    assert_eq!(end("2026-03-03T06:00:00+08:00"), at("2026-03-04T06:00:00+08:00"));
    assert_eq!(end("2026-03-03T23:00:00+08:00"), at("2026-03-04T06:00:00+08:00"));
    // Where two days' shifts overlap, the date decides.
    let both = from_toml("[weekly]\nmon = [\"22:00-06:00\"]\ntue = [\"05:00-14:00\"]").unwrap();
    let tuesday = both.end_of_working_day(at("2026-03-03T05:30:00+08:00")).unwrap();
    assert_eq!(tuesday, at("2026-03-03T14:00:00+08:00"));
    let day = standard();
    assert_eq!(
        day.end_of_working_day(at("2026-03-02T20:00:00+08:00")).unwrap(),
        at("2026-03-02T17:30:00+08:00")
    );
    assert_eq!(day.end_of_working_day(at("2026-03-01T12:00:00+08:00")), None);
}

#[test]
fn r51_a_night_shift_that_begins_in_a_gap_at_the_end_of_the_week_begins_late() {
    // In Algiers the Sunday 1971-04-25 ended at 23:00, and Monday began.
    let calendar = from_toml("zone = \"Africa/Algiers\"\n[weekly]\nsun = [\"23:30-08:00\"]").unwrap();
    let sunday_noon = at("1971-04-25T12:00:00Z");
    assert_eq!(calendar.next_working_instant(sunday_noon).unwrap(), at("1971-04-26T00:30:00+01:00"));
    assert_eq!(calendar.add(sunday_noon, HOUR * 15 / 2).unwrap(), at("1971-04-26T08:00:00+01:00"));
}

#[test]
fn r51_the_hours_of_a_date_that_never_was_merge_with_the_next() {
    // Samoa went from 2011-12-29 to 2011-12-31; the 30th was a Friday.
    let calendar =
        from_toml("zone = \"Pacific/Apia\"\n[weekly]\nfri = [\"09:00-12:00\"]\nsat = [\"11:00-13:00\"]")
            .unwrap();
    let thursday = at("2011-12-29T12:00:00-10:00");
    assert_eq!(calendar.between(thursday, at("2012-01-03T00:00:00+14:00")), HOUR * 4);
    assert_eq!(calendar.next_working_instant(thursday).unwrap(), at("2011-12-31T09:00:00+14:00"));
}

#[test]
fn r52_special_days_alone_run_out_with_the_last_one_named() {
    let calendar = from_toml(
        r#"
        [[days]]
        date = "2026-03-02"
        hours = ["09:00-17:00"]
        [[days]]
        date = "2026-03-01"
        open = false
        "#,
    )
    .unwrap();
    let from = at("2026-01-01T00:00:00Z");
    assert_eq!(calendar.add(from, HOUR * 8).unwrap(), at("2026-03-02T17:00:00+08:00"));
    let exhausted = WorkingTimeError::Exhausted { date: date("2026-03-02") };
    assert_eq!(calendar.add(from, HOUR * 8 + Duration::from_micros(1)), Err(exhausted.clone()));
    assert_eq!(calendar.sub(from, HOUR), Err(exhausted.clone()));
    assert_eq!(calendar.next_working_instant(at("2027-01-01T00:00:00Z")), Err(exhausted));
}

#[test]
fn r52_what_lies_beyond_the_years_is_refused_at_once() {
    let calendar = standard();
    let from = at("2026-01-01T00:00:00Z");
    for limit in [Duration::MAX, Duration::from_secs(10_000_000_000_000), HOUR * 24 * 366 * 9_000] {
        assert_eq!(calendar.add(from, limit), Err(WorkingTimeError::OutOfRange));
        assert_eq!(calendar.sub(from, limit), Err(WorkingTimeError::OutOfRange));
        assert_eq!(
            calendar.deadline(from, limit, &[], Measure::Wall),
            Err(WorkingTimeError::OutOfRange),
            "{limit:?}"
        );
    }
    for far in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(calendar.add(far, HOUR), Err(WorkingTimeError::OutOfRange));
        assert_eq!(calendar.sub(far, HOUR), Err(WorkingTimeError::OutOfRange));
        assert_eq!(calendar.next_working_instant(far), Err(WorkingTimeError::OutOfRange));
        assert!(!calendar.is_working(far));
        assert_eq!(calendar.between(far, far), Duration::ZERO);
        let _ = calendar.end_of_working_day(far);
        let _ = calendar.explain(far, HOUR, &[], Measure::Working);
    }
    // Two thousand years of working time are found all the same.
    let far = calendar.add(from, HOUR * 8 * 250 * 2_000).unwrap();
    assert_eq!(calendar.between(from, far), HOUR * 8 * 250 * 2_000);
}

#[test]
fn r53_a_year_without_a_notice_is_provisional() {
    assert_eq!(standard().calendar().provisional_years(2024..=2027), [2024, 2027]);
}

#[test]
fn r53_a_preview_counts_what_moves_and_what_becomes_overdue() {
    let old = standard();
    let new =
        from_toml("[weekly]\nmon = [\"08:30-12:00\", \"13:00-17:30\"]\ntue = [\"08:00-18:00\"]").unwrap();
    let now = at("2026-03-06T12:00:00+08:00");
    let clock = |id: u32, from: &str, limit: Duration, pauses: Vec<Pause>| {
        let recorded = old.deadline(at(from), limit, &pauses, Measure::Working).unwrap();
        RunningClock { id, from: at(from), limit, pauses, measure: Measure::Working, recorded }
    };
    let clocks = [
        // Monday morning: the same in both.
        clock(1, "2026-03-02T08:30:00+08:00", HOUR, Vec::new()),
        // Tuesday begins earlier now: due on Tuesday instead of Wednesday… and still before now.
        clock(2, "2026-03-02T17:30:00+08:00", HOUR * 9, Vec::new()),
        // Due next Monday in the old one, on Tuesday in the new one.
        clock(3, "2026-03-06T09:00:00+08:00", HOUR * 14, Vec::new()),
        // Due Friday afternoon in the old one, last Tuesday in the new one.
        clock(4, "2026-03-03T08:00:00+08:00", HOUR * 10, vec![]),
        // Paused: nothing consumed in either.
        clock(5, "2026-03-02T18:00:00+08:00", HOUR, vec![pause("2026-03-02T18:00:00+08:00", None)]),
        // Paused on Wednesday: the new calendar has nobody working then, so more is left.
        clock(6, "2026-03-04T08:30:00+08:00", HOUR * 5, vec![pause("2026-03-04T09:30:00+08:00", None)]),
    ];
    let preview = preview_calendar(&new, clocks, now);
    assert_eq!((preview.clocks, preview.moved, preview.newly_overdue), (6, 4, 0));
    assert_eq!((preview.earlier, preview.later, preview.without_answer), (2, 1, 0));
    let moved: Vec<u32> = preview.examples.iter().map(|example| example.id).collect();
    assert_eq!(moved, [2, 3, 4, 6]);
    // Half a day before, clock 4 was not overdue yet, and would be.
    let earlier_now = at("2026-03-03T18:30:00+08:00");
    let clock_4 = clock(4, "2026-03-03T08:00:00+08:00", HOUR * 10, vec![]);
    assert_eq!(preview_calendar(&new, [clock_4], earlier_now).newly_overdue, 1);
}

fn explained(from: &str, limit: Duration, pauses: &[Pause]) -> Explanation {
    standard().explain(at(from), limit, pauses, Measure::Working).unwrap()
}

#[test]
fn r54_an_explanation_names_what_was_counted_and_skipped() {
    let explanation = explained("2026-02-14T15:00:00+08:00", HOUR * 6, &[]);
    assert_eq!(explanation.due_at, Some(at("2026-02-24T12:00:00+08:00")));
    let counted = |day: &str, from: &str, until: &str| Step::Counted {
        date: Some(date(day)),
        from: at(&format!("{day}T{from}:00+08:00")),
        until: at(&format!("{day}T{until}:00+08:00")),
        counted: (at(&format!("{day}T{until}:00Z")) - at(&format!("{day}T{from}:00Z"))).to_std().unwrap(),
    };
    let first = counted("2026-02-14", "15:00", "17:30");
    let last = counted("2026-02-24", "08:30", "12:00");
    let skipped = (15..=23).map(|day| Step::Skipped {
        date: NaiveDate::from_ymd_opt(2026, 2, day).unwrap(),
        reason: SkipReason::SpecialDay { name: "春节".into(), layer: "cn-2026.json".into() },
    });
    let expected: Vec<Step> = [first].into_iter().chain(skipped).chain([last]).collect();
    assert_eq!(explanation.steps, expected);
    let wire = serde_json::to_value(&explanation).unwrap();
    assert_eq!(wire["limit_s"], json!(21600));
    assert_eq!(wire["steps"][0]["counted_s"], json!(9000));
    assert_eq!(wire["steps"][1]["reason"]["layer"], json!("cn-2026.json"));
    assert_eq!(wire["due_at"], json!("2026-02-24T04:00:00Z"));
}

#[test]
fn r54_an_explanation_names_the_pauses_and_the_weekend() {
    let pauses = [pause("2026-03-06T16:30:00+08:00", Some("2026-03-09T09:00:00+08:00"))];
    let explanation = explained("2026-03-06T15:30:00+08:00", HOUR * 2, &pauses);
    let kinds: Vec<&str> = explanation
        .steps
        .iter()
        .map(|step| match step {
            Step::Counted { .. } => "counted",
            Step::Skipped { .. } => "skipped",
            Step::Paused { .. } => "paused",
            Step::Summary { .. } => "summary",
        })
        .collect();
    assert_eq!(kinds, ["counted", "paused", "counted"]);
    let weekend = explained("2026-03-06T16:30:00+08:00", HOUR * 2, &[]);
    assert_eq!(
        weekend.steps[1],
        Step::Skipped { date: date("2026-03-07"), reason: SkipReason::WeeklyClosed }
    );
}

#[test]
fn r54_a_long_explanation_is_bounded_and_still_adds_up() {
    let limit = HOUR * 8 * 250 * 40;
    let explanation = explained("2026-02-14T15:00:00+08:00", limit, &[]);
    assert_eq!(explanation.counted(), limit);
    let steps_a_day_max = 3;
    assert!(explanation.steps.len() <= usize::try_from(EXPLAINED_DAYS_MAX).unwrap() * steps_a_day_max + 1);
    assert!(explanation.steps.iter().any(|step| matches!(step, Step::Summary { special_days: 24.., .. })));
}

fn answered(line: &str) -> Value {
    serde_json::from_str(&deadline_line(&standard(), line)).unwrap()
}

#[test]
fn a_batch_line_gives_back_its_id_of_any_kind() {
    let line = |id: &str| format!(r#"{{"id":{id},"from":"2026-03-02T08:30:00+08:00","limit":"90m"}}"#);
    assert_eq!(answered(&line("\"a\"")), json!({"id": "a", "due": "2026-03-02T02:00:00Z"}));
    assert_eq!(answered(&line("[1,{\"b\":null}]"))["id"], json!([1, {"b": null}]));
    assert_eq!(answered(&line("null")), json!({"id": null, "due": "2026-03-02T02:00:00Z"}));
    assert_eq!(
        answered(r#"{"from":"2026-03-02T00:30:00Z","limit":"90m"}"#),
        json!({"due": "2026-03-02T02:00:00Z"})
    );
}

#[test]
fn a_batch_line_writes_fractions_only_where_there_are_some() {
    let line = r#"{"from":"2026-03-02T00:30:00.25Z","limit":"1h"}"#;
    assert_eq!(answered(line), json!({"due": "2026-03-02T01:30:00.250Z"}));
    let line = r#"{"from":"2026-03-02T08:30:00+08:00","limit":"1h 500ms",
        "pauses":[["2026-03-02T09:00:00+08:00",null]],"warn":"1m"}"#;
    let expected = json!({"due": null, "warn_at": null, "remaining": "30m 500ms", "remaining_s": 1800.5});
    assert_eq!(answered(line), expected);
}

#[test]
fn a_batch_line_that_cannot_be_answered_says_why() {
    for (line, code) in [
        ("", "json_malformed"),
        ("{", "json_malformed"),
        ("[1]", "json_malformed"),
        (r#"{"limit":"6h"}"#, "field_missing"),
        (r#"{"from":"2026-03-02T00:00:00Z"}"#, "field_missing"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","until":"x"}"#, "field_unknown"),
        (r#"{"from":"2026-03-02T00:00:00","limit":"6h"}"#, "time_without_zone"),
        (r#"{"from":"2026-03-02","limit":"6h"}"#, "time_malformed"),
        (r#"{"from":1772409600,"limit":"6h"}"#, "field_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":6}"#, "field_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"-6h"}"#, "duration_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6"}"#, "duration_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"99999999999y"}"#, "out_of_range"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"9000y"}"#, "out_of_range"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"99999999999999999999h"}"#, "out_of_range"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","wall":"yes"}"#, "field_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","warn":"soon"}"#, "duration_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","pauses":["x"]}"#, "field_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","pauses":[["x"]]}"#, "field_malformed"),
        (r#"{"from":"2026-03-02T00:00:00Z","limit":"6h","pauses":[[null,null]]}"#, "field_malformed"),
        (
            r#"{"from":"2026-03-02T00:00:00Z","limit":"6h",
                "pauses":[["2026-03-03T00:00:00Z","2026-03-02T00:00:00Z"]]}"#,
            "pause_order",
        ),
    ] {
        let answer = answered(line);
        assert_eq!(answer["error"]["code"], code, "{line}: {answer}");
        assert!(answer["error"]["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    let refused = answered(r#"{"id":7,"limit":"6h"}"#);
    assert_eq!(refused["id"], 7);
    assert!(!deadline_line(&standard(), "{\n\"id\":\"a\\nb\"}").contains('\n'));
}

#[test]
fn r52_every_line_is_refused_for_a_calendar_that_was() {
    let folder = Path::new(cases::CASES).join("calendars");
    let refused = cases::calendar(&folder, "empty.toml").unwrap_err();
    let line = error_line(r#"{"id":"a","from":"x"}"#, refused.code(), &refused.to_string());
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("a"), &json!("calendar_empty")));
}

#[test]
fn the_end_of_a_limit_never_moves_back_when_a_day_is_closed() {
    let open = from_toml("[weekly]\nmon = [\"09:00-17:00\"]").unwrap();
    let closed =
        from_toml("[weekly]\nmon = [\"09:00-17:00\"]\n[[days]]\ndate = \"2026-03-09\"\nopen = false")
            .unwrap();
    let from = at("2026-03-02T12:00:00+08:00");
    for hours in 0..40 {
        let (one, other) = (open.add(from, HOUR * hours).unwrap(), closed.add(from, HOUR * hours).unwrap());
        assert!(one <= other);
        assert_eq!(other - one, TimeDelta::days(if hours > 5 { 7 } else { 0 }));
    }
}
