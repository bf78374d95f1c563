//! Values as the pages show them: times in the branch's zone, lengths of time, people without their full data.

use std::time::Duration;

use chrono_tz::Tz;
use cuiban_domain::Instant;

/// An instant in the branch's zone: today by its hour, another day with its date.
pub(super) fn time(at: Instant, now: Instant, zone: Tz) -> String {
    let (local, today) = (at.with_timezone(&zone), now.with_timezone(&zone));
    let form = match () {
        () if local.date_naive() == today.date_naive() => "%H:%M",
        () if chrono::Datelike::year(&local) == chrono::Datelike::year(&today) => "%m-%d %H:%M",
        () => "%Y-%m-%d %H:%M",
    };
    local.format(form).to_string()
}

/// An instant in full, for the timeline.
pub(super) fn full_time(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// An instant for machines.
pub(super) fn machine_time(at: Instant) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A length of time to the minute, `2 小时 05 分`; below a minute to the second.
pub(super) fn length(length: Duration) -> String {
    let (days, rest) = (length.as_secs() / 86_400, length.as_secs() % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest % 3600 / 60, rest % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} 秒"),
        (0, 0, _) => format!("{minutes} 分"),
        (0, _, 0) => format!("{hours} 小时"),
        (0, ..) => format!("{hours} 小时 {minutes:02} 分"),
        (_, 0, _) => format!("{days} 天"),
        _ => format!("{days} 天 {hours} 小时"),
    }
}

/// The beginning of a text, as far as it fits into a line.
pub(super) fn beginning(text: &str, length_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= length_max {
        return line;
    }
    line.chars().take(length_max.saturating_sub(1)).chain(['…']).collect()
}

/// 张*: the family name only (R91).
pub(super) fn masked_name(name: &str) -> String {
    name.chars().take(1).chain(['*']).collect()
}

/// 138****1111: enough to recognise, not enough to dial (R91).
pub(super) fn masked_phone(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().collect();
    if digits.len() < 9 {
        let shown: String = digits.iter().skip(digits.len().saturating_sub(2)).collect();
        return format!("****{shown}");
    }
    let (start, end) = (&digits[..3], &digits[digits.len() - 4..]);
    start.iter().chain(&['*'; 4]).chain(end).collect()
}

/// The share of a limit that is used up, in percent; 100 where nothing is left.
pub(super) fn share_used(limit: Duration, left: Duration) -> u32 {
    if limit.is_zero() {
        return 100;
    }
    let used = limit.saturating_sub(left).as_micros() * 100 / limit.as_micros();
    u32::try_from(used).unwrap_or(100).min(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r91_people_are_masked() {
        assert_eq!(masked_name("张伟"), "张*");
        assert_eq!(masked_name("𠮷野家"), "𠮷*");
        assert_eq!(masked_phone("13811111111"), "138****1111");
        assert_eq!(masked_phone("+8613811111111"), "+86****1111");
        assert_eq!(masked_phone("12345"), "****45");
    }

    #[test]
    fn times_are_the_branchs_and_lengths_are_short() {
        let (now, zone): (Instant, _) = ("2026-11-23T02:00:00Z".parse().unwrap(), chrono_tz::Asia::Shanghai);
        let shown = |text: &str| time(text.parse().unwrap(), now, zone);
        assert_eq!(shown("2026-11-23T09:00:00Z"), "17:00");
        assert_eq!(shown("2026-11-23T16:00:00Z"), "11-24 00:00");
        assert_eq!(shown("2027-01-04T01:00:00Z"), "2027-01-04 09:00");
        assert_eq!(length(Duration::from_secs(7_500)), "2 小时 05 分");
        assert_eq!(length(Duration::from_secs(59)), "59 秒");
        assert_eq!(length(Duration::from_secs(21_600)), "6 小时");
        assert_eq!(length(Duration::from_secs(86_400)), "1 天");
        assert_eq!(length(Duration::from_secs(200_000)), "2 天 7 小时");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(beginning("不制冷\n  漏水", 10), "不制冷 漏水");
        assert_eq!(beginning("𠮷𠮷𠮷𠮷", 3), "𠮷𠮷…");
    }

    #[test]
    fn a_limit_without_anything_left_is_used_up() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(share_used(hours(6), hours(6)), 0);
        assert_eq!(share_used(hours(6), hours(3)), 50);
        assert_eq!(share_used(hours(6), Duration::ZERO), 100);
        assert_eq!(share_used(Duration::ZERO, Duration::ZERO), 100);
    }
}
