//! How long something may take, and by which time that is measured.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::aggregate::Instant;
use crate::text::parsed_or_recorded;
use crate::working_time::{Measure, WorkingCalendar, WorkingTimeError};

/// A length of time from a microsecond up to ten years, written as `6h`, `90m`, `1day 2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(into = "String")]
#[schema(
    value_type = String, example = "6h",
    pattern = r"^ *([0-9]+ *(ns|us|µs|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|M|months?|y|years?) *)+$"
)]
pub struct Span(Duration);

/// A text that is not a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time: write 6h, 90m or 1day 2h; a microsecond at least, at most ten years")]
pub struct InvalidSpan(String);

impl Span {
    /// The longest span.
    pub const MAX: Duration = Duration::from_secs(3653 * 86_400);

    /// Checks the bounds.
    pub fn new(duration: Duration) -> Result<Self, InvalidSpan> {
        // Instants are kept to the microsecond: what is shorter is no time at all.
        if duration < Duration::from_micros(1) {
            return Err(InvalidSpan(humantime::format_duration(duration).to_string()));
        }
        Self::recorded(duration)
    }

    /// A span as it was recorded: within the bounds of the first release, beyond which no due instant can be computed. A
    /// rule that is tightened belongs into [`Span::new`].
    pub fn recorded(duration: Duration) -> Result<Self, InvalidSpan> {
        if duration.is_zero() || duration > Self::MAX {
            return Err(InvalidSpan(humantime::format_duration(duration).to_string()));
        }
        Ok(Self(duration))
    }

    fn read(text: &str, check: fn(Duration) -> Result<Self, InvalidSpan>) -> Result<Self, InvalidSpan> {
        let duration = humantime::parse_duration(text).ok();
        duration.and_then(|duration| check(duration).ok()).ok_or_else(|| InvalidSpan(text.to_owned()))
    }

    /// Whole minutes, for defaults.
    pub(crate) const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes * 60))
    }

    /// Whole hours, for defaults.
    pub(crate) const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// The length.
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// Parsed from what people write, recorded from what we store.
impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = |text: String| Self::read(&text, Self::recorded);
        parsed_or_recorded(deserializer, |text| text.parse(), record)
    }
}

impl std::str::FromStr for Span {
    type Err = InvalidSpan;
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        Self::read(text, Self::new)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// How long something may take (时限): a length of time and the measure by which it is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How much time there is.
    pub span: Span,
    /// Which time counts.
    pub measure: Measure,
}

impl Limit {
    /// The instant at which `left` of this limit, counted from `from`, is used up.
    pub fn due_at(
        self,
        from: Instant,
        left: Duration,
        calendar: &WorkingCalendar,
    ) -> Result<Instant, WorkingTimeError> {
        match self.measure {
            Measure::Wall => Ok(from + left),
            Measure::Working => calendar.add(from, left),
        }
    }

    /// How much of this limit passes from `from` to `until`.
    pub fn consumed(self, from: Instant, until: Instant, calendar: &WorkingCalendar) -> Duration {
        if until <= from {
            return Duration::ZERO;
        }
        match self.measure {
            Measure::Wall => (until - from).to_std().unwrap_or_default(),
            Measure::Working => calendar.between(from, until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_negative_zero_and_absurd_spans() {
        for text in ["-5h", "0s", "11years", "6", "", "six hours"] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
        assert_eq!("90m".parse::<Span>().unwrap().to_string(), "1h 30m");
    }

    #[test]
    fn a_span_is_ten_years_at_most() {
        assert_eq!("3653days".parse::<Span>().unwrap().duration(), Span::MAX);
        assert!("3653days 1ns".parse::<Span>().is_err());
        assert_eq!("1us".parse::<Span>().unwrap().duration(), Duration::from_micros(1));
        assert!("999ns".parse::<Span>().is_err());
        assert_eq!(Span::recorded(Duration::from_nanos(1)).unwrap().duration(), Duration::from_nanos(1));
        assert!(Span::recorded(Duration::ZERO).is_err());
        assert!(Span::new(Duration::ZERO).is_err());
        assert!(Span::new(Span::MAX + Duration::from_nanos(1)).is_err());
    }
}
