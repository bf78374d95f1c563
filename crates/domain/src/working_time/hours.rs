//! One stretch of a day's hours, as written on the door: `08:30-12:00`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::WorkingTimeError;

const MINUTES_A_DAY: u16 = 24 * 60;

/// A half-open stretch of local time (一段上班时间), to the minute.
///
/// `22:00-06:00` ends on the following day; `00:00-24:00` is a whole day; otherwise the two ends differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hours {
    start_minute: u16,
    /// Counted from the midnight that begins the day; above 1440 when the stretch crosses the next one.
    end_minute: u16,
}

impl Hours {
    /// Minutes from the day's midnight to the beginning, 0 to 1439.
    pub fn start_minute(self) -> u16 {
        self.start_minute
    }

    /// Minutes from the day's midnight to the end: 1 to 1440, or more when it lies on the following day.
    pub fn end_minute(self) -> u16 {
        self.end_minute
    }
}

impl FromStr for Hours {
    type Err = WorkingTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |advice| WorkingTimeError::HoursMalformed { text: text.to_owned(), advice };
        let form = "write two times of day with a hyphen, like 08:30-12:00";
        let (start, end) = text.split_once('-').ok_or_else(|| refused(form))?;
        let start_minute = minute_of_day(start.trim()).ok_or_else(|| refused(form))?;
        let end_of_clock = minute_of_day(end.trim()).ok_or_else(|| refused(form))?;
        if start_minute == MINUTES_A_DAY {
            return Err(refused("a stretch cannot begin at 24:00; write 00:00 on the next day"));
        }
        if start_minute == end_of_clock {
            return Err(refused("both ends are the same; a whole day is written 00:00-24:00"));
        }
        let end_minute =
            if end_of_clock < start_minute { end_of_clock + MINUTES_A_DAY } else { end_of_clock };
        Ok(Self { start_minute, end_minute })
    }
}

/// `08:30` → 510; `24:00` → 1440.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| -> Option<u16> {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= MINUTES_A_DAY).then_some(total)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end_minute {
            end if end > MINUTES_A_DAY => end - MINUTES_A_DAY,
            end => end,
        };
        let start = self.start_minute;
        write!(f, "{:02}:{:02}-{:02}:{:02}", start / 60, start % 60, end / 60, end % 60)
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Hours {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(r"^ *([01][0-9]|2[0-3]):[0-5][0-9] *- *(([01][0-9]|2[0-3]):[0-5][0-9]|24:00) *$"))
            .examples(["08:30-12:00"])
            .into()
    }
}

impl utoipa::ToSchema for Hours {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_and_written_alike() {
        for text in ["08:30-12:00", "22:00-06:00", "00:00-24:00", "13:00-24:00", "23:59-23:58"] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_end_at_midnight_is_the_end_of_the_day() {
        let written_as_zero = "22:00-00:00".parse::<Hours>().unwrap();
        assert_eq!(written_as_zero, "22:00-24:00".parse().unwrap());
        let end_minute = |text: &str| text.parse::<Hours>().unwrap().end_minute();
        assert_eq!((end_minute("22:00-24:00"), end_minute("22:00-00:01")), (1440, 1441));
    }

    #[test]
    fn refuses_hours_that_are_no_stretch() {
        for text in [
            "",
            "08:30",
            "8:30-12:00",
            "08:60-12:00",
            "08:30-24:01",
            "08:30-25:00",
            "08:3x-12:00",
            "08:030-12:00",
            "24:00-08:00",
            "08:00-08:00",
            "00:00-00:00",
            "+8:30-12:00",
            "08:30–12:00",
            "08:30-12:00-13:00",
        ] {
            let refusal = text.parse::<Hours>().unwrap_err();
            assert_eq!(refusal.code(), "hours_malformed", "{text}");
        }
    }
}
