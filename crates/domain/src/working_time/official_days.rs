//! Official days (R53): what a State Council notice closes and opens, read from published data.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calendar::{Layer, SpecialDay};
use super::error::WorkingTimeError;
use super::icalendar_days;

/// Official days of one or more years (法定节假日及调休): days off, and weekends that are worked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfficialDays {
    /// The days, ordered by date.
    pub days: Vec<SpecialDay>,
    /// What was listed but is neither a day off nor a worked day.
    pub not_applied: Vec<NotApplied>,
    /// The years whose notice this is, in order.
    pub years: Vec<i32>,
}

/// An entry that changes nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotApplied {
    /// Its date, where it has one.
    pub date: Option<NaiveDate>,
    /// What it is called.
    pub name: String,
    /// Why it was not applied.
    pub reason: NotAppliedReason,
}

/// Why an entry of a published calendar was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotAppliedReason {
    /// An observance (节日、节气): nothing says that the day is off or worked.
    Observance,
    /// It says 调休 without saying whether the day is off or worked.
    Ambiguous,
    /// It has times of day, so it is an appointment and not a day.
    HasTimes,
    /// It recurs by a rule; official days are published year by year.
    Recurs,
    /// It is marked as cancelled.
    Cancelled,
    /// It has no date, one that cannot be read, or one outside the years 1 to 9999.
    Undated,
    /// It is longer than any notice's holiday, or ends before it begins.
    OddLength,
}

/// The holiday-cn file. Other keys (`$schema`, `papers`) are not ours to judge.
#[derive(Deserialize)]
struct HolidayCn {
    year: Option<i32>,
    days: Vec<HolidayCnDay>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HolidayCnDay {
    name: String,
    date: NaiveDate,
    is_off_day: bool,
}

impl OfficialDays {
    /// Reads a year as published by holiday-cn. `name` says where it comes from and becomes each day's source.
    ///
    /// A file without days publishes nothing: its year stays provisional.
    pub fn from_holiday_cn(name: &str, json: &str) -> Result<Self, WorkingTimeError> {
        let json = json.trim_start_matches('\u{feff}');
        let file: HolidayCn = serde_json::from_str(json).map_err(|error| {
            WorkingTimeError::OfficialDaysMalformed { name: name.to_owned(), reason: error.to_string() }
        })?;
        let days = file
            .days
            .into_iter()
            .map(|day| {
                let make = if day.is_off_day { SpecialDay::closed } else { SpecialDay::make_up };
                make(day.date, day.name)
            })
            .collect();
        let mut official = Self::of(name, days, Vec::new());
        if let (Some(year), false) = (file.year, official.days.is_empty()) {
            official.years = vec![year];
        }
        Ok(official)
    }

    /// Reads an iCalendar file. `name` says where it comes from and becomes each day's source.
    ///
    /// A day is closed or worked when `X-APPLE-SPECIAL-DAY` or a marker in its summary (休, 放假, 假期; 班, 补班,
    /// 上班) says so; everything else is listed in `not_applied`.
    pub fn from_icalendar(name: &str, ics: &str) -> Result<Self, WorkingTimeError> {
        let (days, not_applied) = icalendar_days::read(ics)
            .map_err(|reason| WorkingTimeError::OfficialDaysMalformed { name: name.to_owned(), reason })?;
        Ok(Self::of(name, days, not_applied))
    }

    /// These days as a layer of that name, with the years they publish.
    pub fn into_layer(self, name: impl Into<String>) -> Layer {
        Layer { name: name.into(), published_years: self.years, days: self.days }
    }

    fn of(source: &str, mut days: Vec<SpecialDay>, not_applied: Vec<NotApplied>) -> Self {
        days.sort_by_key(|day| day.date);
        for day in &mut days {
            source.clone_into(&mut day.source);
        }
        let years = published_years(&days);
        Self { days, not_applied, years }
    }
}

/// The years with a day that only their own notice can contain.
///
/// The holiday of 1 January may begin in December or reach into a second week, so a notice lists days of a
/// neighbouring year; such a day alone does not make that year published.
fn published_years(days: &[SpecialDay]) -> Vec<i32> {
    let at_the_turn_of_the_year =
        |date: NaiveDate| matches!((date.month(), date.day()), (12, 25..) | (1, ..=7));
    let years: BTreeSet<i32> =
        days.iter().filter(|day| !at_the_turn_of_the_year(day.date)).map(|day| day.date.year()).collect();
    years.into_iter().collect()
}
