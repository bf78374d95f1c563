//! Official days in an iCalendar file, as Chinese publishers really write them.
//!
//! | who | a day off | a worked weekend |
//! |---|---|---|
//! | Apple's holiday feed | `春节（休）` and `X-APPLE-SPECIAL-DAY:WORK-HOLIDAY` | `春节（班）` and `ALTERNATE-WORKDAY` |
//! | holiday-cn | `春节假期` | `上班(补春节假期)` |
//! | china-holiday-calender | `春节 假期 第1天/共9天` | `春节 补班 第1天/共2天`, from 09:00 to 18:00 |
//! | others | `[放假]中秋节`, `休｜春节`, `元旦假期` | `[加班]`, `班｜春节`, `元旦补班` |
//!
//! So a mark for work outranks one for rest, and a long event by daylight marked as work stands for its day.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use icalendar::parser::{Component, Property, read_calendar, unfold};

use super::calendar::SpecialDay;
use super::official_days::{NotApplied, NotAppliedReason};

/// Longest holiday that is believed.
const EVENT_DAYS_MAX: i64 = 31;
/// Shortest event with times that can stand for a worked day.
const TIMED_WORKDAY_MIN: TimeDelta = TimeDelta::hours(6);

/// What an event says about its days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Off,
    Worked,
    Ambiguous,
    Nothing,
}

/// A `DTSTART` or `DTEND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Day(NaiveDate),
    /// Local to the calendar: floating, or with a zone by name.
    Local(NaiveDateTime),
    /// In UTC; which local day it means depends on the reader.
    Utc,
}

/// The special days of an iCalendar text, and what in it was not applied. The error is the parser's.
pub(super) fn read(ics: &str) -> Result<(Vec<SpecialDay>, Vec<NotApplied>), String> {
    let unfolded = unfold(ics.trim_start_matches('\u{feff}'));
    if !unfolded.trim_start().to_ascii_uppercase().starts_with("BEGIN:VCALENDAR") {
        return Err("it does not begin with BEGIN:VCALENDAR".to_owned());
    }
    let calendar = read_calendar(&unfolded)?;
    let (mut days, mut not_applied) = (Vec::new(), Vec::new());
    for event in calendar.components.iter().filter(|component| component.name.as_str() == "VEVENT") {
        let name = text_of(event, "SUMMARY");
        let start = moment_of(event, "DTSTART");
        match days_of_event(event, &name, start) {
            Ok((dates, worked)) => {
                let make = if worked { SpecialDay::make_up } else { SpecialDay::closed };
                days.extend(dates.into_iter().map(|date| make(date, name.as_str())));
            }
            Err(reason) => {
                let date = match start {
                    Some(Moment::Day(date)) => Some(date),
                    Some(Moment::Local(at)) => Some(at.date()),
                    Some(Moment::Utc) | None => None,
                };
                not_applied.push(NotApplied { date, name, reason });
            }
        }
    }
    Ok((days, not_applied))
}

/// The dates of an event and whether they are worked, or why it says nothing.
fn days_of_event(
    event: &Component<'_>,
    name: &str,
    start: Option<Moment>,
) -> Result<(Vec<NaiveDate>, bool), NotAppliedReason> {
    if text_of(event, "STATUS").eq_ignore_ascii_case("CANCELLED") {
        return Err(NotAppliedReason::Cancelled);
    }
    let worked = match mark_of(&text_of(event, "X-APPLE-SPECIAL-DAY"), name) {
        Mark::Off => false,
        Mark::Worked => true,
        Mark::Ambiguous => return Err(NotAppliedReason::Ambiguous),
        Mark::Nothing => return Err(NotAppliedReason::Observance),
    };
    if event.find_prop("RRULE").is_some() || event.find_prop("RDATE").is_some() {
        return Err(NotAppliedReason::Recurs);
    }
    let (first, end) = match (start, moment_of(event, "DTEND")) {
        (None, _) => return Err(NotAppliedReason::Undated),
        (Some(Moment::Day(first)), None) => (first, first),
        (Some(Moment::Day(first)), Some(Moment::Day(end))) => (first, end),
        (Some(Moment::Local(start)), Some(Moment::Local(end))) => {
            days_of_times(start, end, worked).ok_or(NotAppliedReason::HasTimes)?
        }
        _ => return Err(NotAppliedReason::HasTimes),
    };
    // DTEND is exclusive; some publishers write a single day with DTEND equal to DTSTART.
    let length = (end - first).num_days().max(i64::from(end == first));
    if !(1..=EVENT_DAYS_MAX).contains(&length) {
        return Err(NotAppliedReason::OddLength);
    }
    Ok((first.iter_days().take(usize::try_from(length).unwrap_or(0)).collect(), worked))
}

/// The days that an event with local times stands for: whole ones, or one by daylight marked as worked.
fn days_of_times(start: NaiveDateTime, end: NaiveDateTime, worked: bool) -> Option<(NaiveDate, NaiveDate)> {
    if start.time() == NaiveTime::MIN && end.time() == NaiveTime::MIN && start < end {
        return Some((start.date(), end.date()));
    }
    let is_workday = worked && start.date() == end.date() && end - start >= TIMED_WORKDAY_MIN;
    is_workday.then(|| Some((start.date(), start.date().checked_add_days(Days::new(1))?)))?
}

/// What Apple's property, or else the summary, says.
fn mark_of(apple: &str, summary: &str) -> Mark {
    match apple {
        "WORK-HOLIDAY" => return Mark::Off,
        "ALTERNATE-WORKDAY" => return Mark::Worked,
        _ => {}
    }
    let off = |text: &str| {
        ["放假", "假期", "休假", "假日", "公休", "补休", "补假"].iter().any(|mark| text.contains(mark))
    };
    let worked = |text: &str| ["补班", "上班", "加班"].iter().any(|mark| text.contains(mark));
    let mut text = summary.to_owned();
    for denied in ["不上班", "无需上班", "不用上班"] {
        text = text.replace(denied, "放假");
    }
    for not_ours in ["不放假", "不休", "寒假", "暑假"] {
        text = text.replace(not_ours, " ");
    }
    let tokens = || text.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty());
    let alone = |mark: &str| {
        tokens().any(|token| {
            token.strip_suffix(mark).is_some_and(|name| name.is_empty() || name.ends_with(['节', '旦']))
        })
    };
    match () {
        () if worked(&text) || alone("班") => Mark::Worked,
        () if off(&text) || alone("休") || alone("假") => Mark::Off,
        () if text.contains("调休") => Mark::Ambiguous,
        () => Mark::Nothing,
    }
}

fn text_of(event: &Component<'_>, name: &str) -> String {
    event.find_prop(name).map_or_else(String::new, |property| {
        property.val.as_str().trim().replace("\\,", ",").replace("\\;", ";").replace("\\n", " ")
    })
}

fn moment_of(event: &Component<'_>, name: &str) -> Option<Moment> {
    let property: &Property<'_> = event.find_prop(name)?;
    let value = property.val.as_str().trim();
    let in_range = |date: NaiveDate| (1..=9999).contains(&chrono::Datelike::year(&date));
    if value.ends_with('Z') {
        return Some(Moment::Utc);
    }
    if let Ok(at) = NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%S") {
        return in_range(at.date()).then_some(Moment::Local(at));
    }
    NaiveDate::parse_from_str(value, "%Y%m%d").ok().filter(|date| in_range(*date)).map(Moment::Day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_real_feeds_are_understood() {
        for (summary, expected) in [
            ("春节（休）", Mark::Off),
            ("春节(休)", Mark::Off),
            ("休｜春节", Mark::Off),
            ("春节假期", Mark::Off),
            ("春节 假期 第1天/共9天", Mark::Off),
            ("[放假]中秋节", Mark::Off),
            ("国庆节休", Mark::Off),
            ("春节放假调休", Mark::Off),
            ("春节（班）", Mark::Worked),
            ("班｜春节", Mark::Worked),
            ("上班(补春节假期)", Mark::Worked),
            ("春节 补班 第1天/共2天", Mark::Worked),
            ("[加班]", Mark::Worked),
            ("调休上班", Mark::Worked),
            ("元旦补班", Mark::Worked),
            ("春节调休", Mark::Ambiguous),
            ("春节", Mark::Nothing),
            ("元宵节（不放假）", Mark::Nothing),
            ("立春", Mark::Nothing),
            ("退休座谈", Mark::Nothing),
            ("值班", Mark::Nothing),
            ("班会", Mark::Nothing),
            ("学生暑假", Mark::Nothing),
        ] {
            assert_eq!(mark_of("", summary), expected, "{summary}");
        }
    }

    #[test]
    fn apples_property_outranks_the_summary() {
        assert_eq!(mark_of("ALTERNATE-WORKDAY", "春节假期"), Mark::Worked);
        assert_eq!(mark_of("WORK-HOLIDAY", "春节"), Mark::Off);
    }
}
