//! A year of official days as holiday-cn publishes it.
#![no_main]

use cuiban_domain::working_time::{Calendar, OfficialDays, Weekly, WorkingCalendar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(official) = OfficialDays::from_holiday_cn("days.json", text) else { return };
    let weekly = Weekly { mon: vec!["08:30-12:00".parse().expect("hours")], ..Weekly::default() };
    let layers = vec![official.into_layer("official")];
    if let Ok(calendar) = Calendar::new(chrono_tz::Asia::Shanghai, weekly, layers) {
        let _ = calendar.findings();
        let calendar = WorkingCalendar::new(calendar);
        let from = "2026-02-14T15:00:00Z".parse().expect("a time");
        let _ = calendar.add(from, std::time::Duration::from_secs(400 * 86_400));
    }
});
