//! Lines of `cuiban deadline --batch`: one answer each, without a line break, and JSON.
#![no_main]

use std::sync::LazyLock;

use cuiban_domain::working_time::{CalendarFile, WorkingCalendar, deadline_line, error_line};
use libfuzzer_sys::fuzz_target;

static CALENDAR: LazyLock<WorkingCalendar> = LazyLock::new(|| {
    let text = include_str!("../../crates/domain/tests/cases/calendars/cn-std.toml");
    let days = |name: &str| match name {
        "cn-2025.json" => Ok(include_str!("../../deploy/calendars/cn-2025.json").to_owned()),
        "cn-2026.json" => Ok(include_str!("../../deploy/calendars/cn-2026.json").to_owned()),
        _ => Err("no such file"),
    };
    WorkingCalendar::new(CalendarFile::parse(text).expect("sound").resolve(days).expect("sound").calendar)
});

fuzz_target!(|data: &[u8]| {
    let Ok(line) = std::str::from_utf8(data) else { return };
    for answer in
        [deadline_line(&CALENDAR, line), error_line(line, "calendar_empty", "a calendar without hours")]
    {
        assert!(!answer.contains('\n'));
        serde_json::from_str::<serde_json::Value>(&answer).expect("an answer is JSON");
    }
});
