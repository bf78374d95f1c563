//! A calendar file and what it includes: read, compiled, reckoned with, explained, kept.
#![no_main]

use std::time::Duration;

use cuiban_domain::working_time::{CalendarFile, Measure, Pause, WorkingCalendar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((text, included)) = cuiban_fuzz::texts(data) else { return };
    let Ok(file) = CalendarFile::parse(text) else { return };
    let mut included = included.into_iter();
    let Ok(resolved) = file.resolve(|_| included.next().map(str::to_owned).ok_or("no such file")) else {
        return;
    };
    let _ = (resolved.calendar.findings(), resolved.calendar.provisional_years(2025..=2027));
    let calendar = WorkingCalendar::new(resolved.calendar);
    let limit = Duration::from_secs(6 * 3600);
    for from in
        ["2026-02-14T15:00:00Z", "2026-11-01T05:30:00Z", "0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"]
    {
        let from = from.parse().expect("a time");
        let pauses = [Pause {
            from: from + chrono::TimeDelta::hours(1),
            until: Some(from + chrono::TimeDelta::days(3)),
        }];
        let explained = calendar.explain(from, limit, &pauses, Measure::Working);
        let Ok(due_at) = calendar.add(from, limit) else { continue };
        assert_eq!(calendar.between(from, due_at), limit, "the limit is used up at {due_at}");
        assert_eq!(
            calendar.sub(due_at, limit).map(|start| calendar.between(start, due_at)).unwrap_or(limit),
            limit
        );
        let deadline = calendar.deadline(from, limit, &pauses, Measure::Working);
        assert_eq!(
            deadline.ok().and_then(|deadline| deadline.due_at()),
            explained.ok().and_then(|said| said.due_at)
        );
    }
});
