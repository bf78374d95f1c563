//! The published cases: each line names its calendar, what goes in and what must come out.

use std::{fs, path::Path};

use cuiban_domain::working_time::{CalendarFile, WorkingCalendar, WorkingTimeError, deadline_line};
use serde_json::Value;

/// Where the project's own copy lies.
pub(crate) const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");

/// Reads a calendar file of the cases.
pub(crate) fn calendar(folder: &Path, name: &str) -> Result<WorkingCalendar, WorkingTimeError> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let resolved = CalendarFile::parse(&text)?.resolve(|name| fs::read_to_string(folder.join(name)))?;
    Ok(WorkingCalendar::new(resolved.calendar))
}

/// Runs every case of a folder and returns how many there were.
fn run(folder: &Path) -> usize {
    let lines = fs::read_to_string(folder.join("deadline.ndjson")).unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in &lines {
        let case: Value = serde_json::from_str(line).unwrap();
        let calendar = calendar(&folder.join("calendars"), case["calendar"].as_str().unwrap()).unwrap();
        let answer: Value = serde_json::from_str(&deadline_line(&calendar, &case["in"].to_string())).unwrap();
        for (field, expected) in case["out"].as_object().unwrap() {
            assert_eq!(&answer[field], expected, "{} of {}: {answer}", field, case["case"]);
        }
    }
    lines.len()
}

#[test]
fn every_published_case_comes_out_as_written() {
    assert!(run(Path::new(CASES)) >= 15);
}

#[test]
fn every_shared_case_comes_out_as_written_where_the_shared_folder_exists() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if shared.exists() {
        assert!(run(&shared) >= 15);
    }
}

#[test]
fn r52_refuses_a_calendar_without_working_time() {
    let refusal = calendar(&Path::new(CASES).join("calendars"), "empty.toml").unwrap_err();
    assert_eq!(refusal.code(), "calendar_empty");
}
