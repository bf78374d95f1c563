//! The ways in which a calendar, or a question put to one, is refused.

use chrono::{DateTime, NaiveDate, Utc};

use super::hours::Hours;

/// Why a calendar was refused or a question could not be answered. The text says what to do; [`code`] is stable.
///
/// [`code`]: WorkingTimeError::code
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkingTimeError {
    /// Hours that are not of the form `08:30-12:00`.
    #[error("hours `{text}` are not understood: {advice}")]
    HoursMalformed {
        /// What was written.
        text: String,
        /// What to write instead.
        advice: &'static str,
    },
    /// Two stretches of one day share time.
    #[error("the hours {first} and {second} of {day} overlap: write them as one, or move one")]
    HoursOverlap {
        /// The weekday (`mon`) or the date.
        day: String,
        /// The stretch that begins first.
        first: Hours,
        /// The one that begins before the first has ended.
        second: Hours,
    },
    /// A closed day that lists hours.
    #[error("{date} is closed (`open = false`) but has hours: remove one of the two")]
    ClosedWithHours {
        /// The day.
        date: NaiveDate,
    },
    /// A special day that says neither whether it is open nor which hours it has.
    #[error("{date} says neither `open` nor `hours`: write `open = false`, `open = true`, or its hours")]
    NeitherOpenNorHours {
        /// The day.
        date: NaiveDate,
    },
    /// An open day with an empty list of hours.
    #[error(
        "{date} has an empty list of hours: write `open = false` to close it, or leave `hours` out for Monday's"
    )]
    HoursEmpty {
        /// The day.
        date: NaiveDate,
    },
    /// A special day outside the years 1 to 9999.
    #[error("{date} lies outside the years 1 to 9999: correct the date")]
    DateOutOfRange {
        /// The day.
        date: NaiveDate,
    },
    /// More special days than a calendar may have.
    #[error("{count} special days are more than the {max} a calendar may have: drop past years")]
    TooManyDays {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A calendar in which nobody ever works (R52).
    #[error("the calendar has no working time at all: give at least one day hours")]
    CalendarEmpty,
    /// A calendar file that is not the TOML described.
    #[error("the calendar file is not understood: {reason}")]
    CalendarMalformed {
        /// What the parser says, with the line.
        reason: String,
    },
    /// An included file could not be read.
    #[error("the included file `{name}` could not be read: {reason}")]
    IncludeUnreadable {
        /// Its name as written in `include`.
        name: String,
        /// What the reader says.
        reason: String,
    },
    /// An included file whose form is unknown.
    #[error("the included file `{name}` is neither .json (holiday-cn) nor .ics: convert it to one of them")]
    IncludeUnknownFormat {
        /// Its name as written in `include`.
        name: String,
    },
    /// Official days that are not in the form announced.
    #[error("the official days in `{name}` are not understood: {reason}")]
    OfficialDaysMalformed {
        /// Where they come from.
        name: String,
        /// What the parser says.
        reason: String,
    },
    /// An instant, a limit or an answer outside the years 1 to 9999.
    #[error("the instant lies outside the years 1 to 9999: check the start and the limit")]
    OutOfRange,
    /// The weekly pattern is empty and the special days are used up.
    #[error("the calendar has no working time beyond {date}: give it a weekly pattern or further days")]
    Exhausted {
        /// The last (counting backwards: the first) day that has working time.
        date: NaiveDate,
    },
    /// A pause that ends before it begins.
    #[error("the pause beginning {from} ends at {until}, before it begins: exchange the two")]
    PauseOrder {
        /// Its beginning.
        from: DateTime<Utc>,
        /// Its end.
        until: DateTime<Utc>,
    },
}

impl WorkingTimeError {
    /// The stable name of this refusal, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::HoursMalformed { .. } => "hours_malformed",
            Self::HoursOverlap { .. } => "hours_overlap",
            Self::ClosedWithHours { .. } => "closed_with_hours",
            Self::NeitherOpenNorHours { .. } => "neither_open_nor_hours",
            Self::HoursEmpty { .. } => "hours_empty",
            Self::DateOutOfRange { .. } => "date_out_of_range",
            Self::TooManyDays { .. } => "too_many_days",
            Self::CalendarEmpty => "calendar_empty",
            Self::CalendarMalformed { .. } => "calendar_malformed",
            Self::IncludeUnreadable { .. } => "include_unreadable",
            Self::IncludeUnknownFormat { .. } => "include_unknown_format",
            Self::OfficialDaysMalformed { .. } => "official_days_malformed",
            Self::OutOfRange => "out_of_range",
            Self::Exhausted { .. } => "calendar_exhausted",
            Self::PauseOrder { .. } => "pause_order",
        }
    }
}
