//! Official days as published, in both forms (R53).

use std::{fs, path::Path};

use chrono::NaiveDate;
use cuiban_domain::working_time::{CalendarFile, NotAppliedReason, OfficialDays, WorkingCalendar};

use crate::cases::CASES;

fn json(year: i32) -> OfficialDays {
    let name = format!("cn-{year}.json");
    let text = fs::read_to_string(Path::new(CASES).join("calendars").join(&name)).unwrap();
    OfficialDays::from_holiday_cn(&name, &text).unwrap()
}

fn ics(events: &[&str]) -> String {
    let events: String =
        events.iter().map(|event| format!("BEGIN:VEVENT\r\n{event}\r\nEND:VEVENT\r\n")).collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-WR-CALNAME:节假日\r\n{events}END:VCALENDAR\r\n")
}

fn read(events: &[&str]) -> OfficialDays {
    OfficialDays::from_icalendar("days.ics", &ics(events)).unwrap()
}

fn dates(official: &OfficialDays, open: bool) -> Vec<String> {
    official.days.iter().filter(|day| day.is_open() == open).map(|day| day.date.to_string()).collect()
}

#[test]
fn r53_the_notices_of_2025_and_2026_are_as_the_handbook_says() {
    let worked_2025 = ["2025-01-26", "2025-02-08", "2025-04-27", "2025-09-28", "2025-10-11"];
    assert_eq!(dates(&json(2025), true), worked_2025);
    assert_eq!(dates(&json(2025), false).len(), 1 + 8 + 3 + 5 + 3 + 8);
    let worked_2026 = ["2026-01-04", "2026-02-14", "2026-02-28", "2026-05-09", "2026-09-20", "2026-10-10"];
    assert_eq!(dates(&json(2026), true), worked_2026);
    assert_eq!(dates(&json(2026), false).len(), 3 + 9 + 3 + 5 + 3 + 3 + 7);
    assert_eq!(json(2026).years, [2026]);
}

#[test]
fn r53_holiday_cn_may_carry_more_keys_and_an_empty_year_publishes_nothing() {
    let text = r#"{"$schema":"x","$id":"y","year":2027,"papers":["z"],"days":[]}"#;
    let official = OfficialDays::from_holiday_cn("cn-2027.json", text).unwrap();
    assert_eq!((official.days.len(), official.years.len()), (0, 0));
    // The notice of 2024 begins its holiday in 2023, which does not make it the notice of 2023.
    let text = r#"{"days":[{"name":"元旦","date":"2023-12-30","isOffDay":true},
        {"name":"春节","date":"2024-02-10","isOffDay":true}]}"#;
    assert_eq!(OfficialDays::from_holiday_cn("cn.json", text).unwrap().years, [2024]);
    let refused = OfficialDays::from_holiday_cn("cn.json", r#"{"days":[{"date":"2024-02-30"}]}"#);
    assert_eq!(refused.unwrap_err().code(), "official_days_malformed");
}

#[test]
fn r53_both_forms_of_a_notice_give_the_same_days() {
    let official = json(2026);
    let events: Vec<String> = official
        .days
        .iter()
        .map(|day| {
            let mark = if day.is_open() { "班" } else { "休" };
            let (start, end) = (day.date.format("%Y%m%d"), day.date.succ_opt().unwrap().format("%Y%m%d"));
            format!(
                "DTSTART;VALUE=DATE:{start}\r\nDTEND;VALUE=DATE:{end}\r\nSUMMARY;LANGUAGE=zh_CN:{}（{mark}）",
                day.name
            )
        })
        .collect();
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let read = read(&events);
    assert_eq!((dates(&read, true), dates(&read, false)), (dates(&official, true), dates(&official, false)));
    assert_eq!(read.years, [2026]);
    assert!(read.not_applied.is_empty());
}

#[test]
fn r53_an_event_of_several_days_ends_before_its_dtend() {
    let official = read(&[
        "SUMMARY:春节假期\r\nDTSTART;VALUE=DATE:20250128\r\nDTEND;VALUE=DATE:20250205",
        "SUMMARY:上班(补春节假期)\r\nDTSTART;VALUE=DATE:20250126\r\nDTEND;VALUE=DATE:20250127",
        "SUMMARY:元旦(休)\r\nDTSTART;VALUE=DATE:20250101\r\nDTEND;VALUE=DATE:20250101",
    ]);
    assert_eq!(dates(&official, true), ["2025-01-26"]);
    let off = dates(&official, false);
    assert_eq!((off.len(), off[0].as_str(), off[8].as_str()), (9, "2025-01-01", "2025-02-04"));
}

#[test]
fn r53_apples_marks_are_understood_and_folded_lines_are_unfolded() {
    let official = read(&[
        "DTSTART;VALUE=DATE:20261001\r\nDTEND;VALUE=DATE:20261008\r\nSUMMARY;LANGUAGE=zh_\r\n CN:国庆节\r\n X-APPLE-SPECIAL-DAY:WORK-HOLIDAY",
        "DTSTART;VALUE=DATE:20261010\r\nSUMMARY:国庆节\r\nX-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY",
    ]);
    assert_eq!(dates(&official, true), ["2026-10-10"]);
}

#[test]
fn r53_a_worked_weekend_written_with_office_hours_stands_for_its_day() {
    // As china-holiday-calender publishes it, with an alarm.
    let official = read(&[
        "DTSTART:20260214T090000\r\nDTEND:20260214T180000\r\nSUMMARY:春节 补班 第1天/共2天\r\nBEGIN:VALARM\r\nTRIGGER:-PT60M\r\nACTION:DISPLAY\r\nEND:VALARM",
        "DTSTART;TZID=Asia/Shanghai:20260215T000000\r\nDTEND;TZID=Asia/Shanghai:20260216T000000\r\nSUMMARY:春节假期",
    ]);
    assert_eq!(dates(&official, true), ["2026-02-14"]);
    assert_eq!(dates(&official, false), ["2026-02-15"]);
}

#[test]
fn r53_what_is_not_a_day_is_listed_with_the_reason() {
    let official = read(&[
        "DTSTART;VALUE=DATE:20260204\r\nSUMMARY:立春",
        "DTSTART;VALUE=DATE:20260214\r\nSUMMARY:春节调休",
        "DTSTART:20260214T190000\r\nDTEND:20260214T200000\r\nSUMMARY:补班动员会",
        "DTSTART:20260215T010000Z\r\nDTEND:20260215T100000Z\r\nSUMMARY:春节假期",
        "DTSTART;VALUE=DATE:20260101\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:元旦（休）",
        "DTSTART;VALUE=DATE:20260405\r\nSTATUS:CANCELLED\r\nSUMMARY:清明节（休）",
        "DTSTART;VALUE=DATE:20260701\r\nDTEND;VALUE=DATE:20260901\r\nSUMMARY:放假",
        "DTSTART;VALUE=DATE:20260702\r\nDTEND;VALUE=DATE:20260701\r\nSUMMARY:放假",
        "SUMMARY:放假",
        "DTSTART;VALUE=DATE:20261301\r\nSUMMARY:放假",
    ]);
    assert!(official.days.is_empty());
    let reasons: Vec<NotAppliedReason> = official.not_applied.iter().map(|entry| entry.reason).collect();
    use NotAppliedReason as Why;
    assert_eq!(
        reasons,
        [
            Why::Observance,
            Why::Ambiguous,
            Why::HasTimes,
            Why::HasTimes,
            Why::Recurs,
            Why::Cancelled,
            Why::OddLength,
            Why::OddLength,
            Why::Undated,
            Why::Undated,
        ]
    );
    assert_eq!(official.not_applied[0].date, NaiveDate::from_ymd_opt(2026, 2, 4));
}

#[test]
fn r53_what_is_no_calendar_is_refused() {
    let truncated = ics(&["DTSTART;VALUE=DATE:20260204\r\nSUMMARY:立春"]).replace("END:VCALENDAR\r\n", "");
    for text in ["", "<html>", "{}", truncated.as_str(), "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:2026"] {
        let refused = OfficialDays::from_icalendar("days.ics", text);
        assert_eq!(refused.unwrap_err().code(), "official_days_malformed", "{text}");
    }
}

#[test]
fn r53_a_calendar_file_may_include_icalendar() {
    let text = "include = [\"days.ics\"]\n[weekly]\nmon = [\"09:00-17:00\"]\n";
    let file = CalendarFile::parse(text).unwrap();
    let days = ics(&[
        "DTSTART;VALUE=DATE:20260302\r\nSUMMARY:公司放假",
        "DTSTART;VALUE=DATE:20260308\r\nSUMMARY:妇女节",
    ]);
    let resolved = file.resolve(|name| (name == "days.ics").then(|| days.clone()).ok_or("unknown")).unwrap();
    assert_eq!(resolved.not_applied.len(), 1);
    assert_eq!(resolved.calendar.layers()[0].days[0].source, "days.ics");
    let calendar = WorkingCalendar::new(resolved.calendar);
    let closed_monday = "2026-03-02T02:00:00Z".parse().unwrap();
    let next = calendar.next_working_instant(closed_monday).unwrap();
    assert_eq!(next.to_rfc3339(), "2026-03-09T01:00:00+00:00");
}

#[test]
fn r53_an_event_with_times_stands_for_whole_days_from_midnight_to_midnight_only() {
    let off =
        |start: &str, end: &str| read(&[&format!("DTSTART:{start}\r\nDTEND:{end}\r\nSUMMARY:春节假期")]);
    assert_eq!(dates(&off("20260215T000000", "20260217T000000"), false), ["2026-02-15", "2026-02-16"]);
    for (start, end) in [
        ("20260215T000000", "20260216T180000"),
        ("20260215T080000", "20260217T000000"),
        ("20260215T000000", "20260215T000000"),
        ("20260217T000000", "20260215T000000"),
    ] {
        let official = off(start, end);
        assert!(official.days.is_empty(), "{start} {end}");
        assert_eq!(official.not_applied[0].reason, NotAppliedReason::HasTimes, "{start} {end}");
    }
    // A worked day by daylight: six hours at least.
    let worked = |end: &str| read(&[&format!("DTSTART:20260214T090000\r\nDTEND:{end}\r\nSUMMARY:春节补班")]);
    assert_eq!(dates(&worked("20260214T150000"), true), ["2026-02-14"]);
    assert!(worked("20260214T145959").days.is_empty());
    assert!(worked("20260215T170000").days.is_empty());
}
