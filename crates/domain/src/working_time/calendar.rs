//! The calendar as people write it, checked when it is made.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::WorkingTimeError;
use super::hours::Hours;

/// Most special days one calendar may have, over all its layers.
pub const SPECIAL_DAYS_MAX: usize = 20_000;

/// Working calendar of a branch (上班时间): zone, weekly pattern, and layers of special days (R50).
///
/// A value of this type is sound: its hours do not overlap within a day, and somebody works at some time (R52).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "CalendarForm", deny_unknown_fields)]
pub struct Calendar {
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_+/-]+$", example = "Asia/Shanghai", required = false)]
    zone: Tz,
    #[schema(required = false)]
    weekly: Weekly,
    #[schema(required = false)]
    layers: Vec<Layer>,
}

/// What arrives before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalendarForm {
    #[serde(default = "default_zone")]
    zone: Tz,
    #[serde(default)]
    weekly: Weekly,
    #[serde(default)]
    layers: Vec<Layer>,
}

/// The weekly pattern: each day's hours. A day without any is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the seven days of the week")]
pub struct Weekly {
    #[schema(example = json!(["08:30-12:00", "13:00-17:30"]))]
    pub mon: Vec<Hours>,
    pub tue: Vec<Hours>,
    pub wed: Vec<Hours>,
    pub thu: Vec<Hours>,
    pub fri: Vec<Hours>,
    pub sat: Vec<Hours>,
    pub sun: Vec<Hours>,
}

/// One layer of special days: national, province, branch. Later layers win over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What people call it; an explanation names it.
    pub name: String,
    /// The years for which this layer carries the official notice (R53); empty for a layer of one's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published_years: Vec<i32>,
    /// Its days; a later entry for the same date wins.
    #[serde(default)]
    pub days: Vec<SpecialDay>,
}

/// A day that departs from the weekly pattern: closed, a make-up workday (调休), or with hours of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecialDay {
    /// The local date.
    #[schema(example = "2026-02-14")]
    pub date: NaiveDate,
    /// Worked or not. May be left out when `hours` are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Its hours; an open day without any has Monday's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["08:30-12:00"]))]
    pub hours: Option<Vec<Hours>>,
    /// What the day is called.
    #[serde(default)]
    pub name: String,
    /// Where it is published.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// Something in a sound calendar that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A make-up workday has Monday's hours, but Monday is closed: nobody works on it.
    MakeUpDayWithoutHours {
        /// The day.
        date: NaiveDate,
        /// Its name.
        name: String,
        /// The layer that opens it.
        layer: String,
    },
}

/// China's zone, where none is given.
pub(super) fn default_zone() -> Tz {
    Tz::Asia__Shanghai
}

impl Calendar {
    /// A calendar of these parts, or the first thing wrong with them.
    pub fn new(zone: Tz, weekly: Weekly, layers: Vec<Layer>) -> Result<Self, WorkingTimeError> {
        Self::recorded(zone, weekly, layers)
    }

    /// A calendar as it was recorded: sound by the rules of the first release, without which nothing can be computed by it.
    /// A rule that is tightened belongs into [`Calendar::new`]: what is in force stays in force.
    pub fn recorded(zone: Tz, weekly: Weekly, layers: Vec<Layer>) -> Result<Self, WorkingTimeError> {
        let count = layers.iter().map(|layer| layer.days.len()).sum();
        if count > SPECIAL_DAYS_MAX {
            return Err(WorkingTimeError::TooManyDays { count, max: SPECIAL_DAYS_MAX });
        }
        for weekday in Weekly::DAYS {
            refuse_overlap(weekly.hours_on(weekday), || weekday.to_string().to_lowercase())?;
        }
        for day in layers.iter().flat_map(|layer| &layer.days) {
            day.check()?;
        }
        let calendar = Self { zone, weekly, layers };
        if calendar.weekly.is_closed() && !calendar.winning_days().any(|(_, day)| day.has_own_hours()) {
            return Err(WorkingTimeError::CalendarEmpty);
        }
        Ok(calendar)
    }

    /// The zone in which its times of day are read.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The weekly pattern.
    pub fn weekly(&self) -> &Weekly {
        &self.weekly
    }

    /// The layers, in the order in which they were given.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What a person should look at although the calendar is sound.
    pub fn findings(&self) -> Vec<Finding> {
        self.winning_days()
            .filter(|(_, day)| day.is_open() && day.hours.is_none() && self.weekly.mon.is_empty())
            .map(|(layer, day)| Finding::MakeUpDayWithoutHours {
                date: day.date,
                name: day.name.clone(),
                layer: layer.name.clone(),
            })
            .collect()
    }

    /// Those of `years` for which no layer carries an official notice, in order (R53).
    pub fn provisional_years(&self, years: RangeInclusive<i32>) -> Vec<i32> {
        let published: BTreeSet<i32> =
            self.layers.iter().flat_map(|layer| layer.published_years.iter().copied()).collect();
        years.filter(|year| !published.contains(year)).collect()
    }

    /// Every special date once, with the entry that wins, ordered by date.
    pub(super) fn winning_days(&self) -> impl Iterator<Item = (&Layer, &SpecialDay)> {
        let mut winners = std::collections::BTreeMap::new();
        for layer in &self.layers {
            for day in &layer.days {
                winners.insert(day.date, (layer, day));
            }
        }
        winners.into_values()
    }
}

impl TryFrom<CalendarForm> for Calendar {
    type Error = WorkingTimeError;

    fn try_from(form: CalendarForm) -> Result<Self, Self::Error> {
        Self::new(form.zone, form.weekly, form.layers)
    }
}

impl Weekly {
    const DAYS: [Weekday; 7] =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];

    /// The hours of one weekday, in the order written.
    pub fn hours_on(&self, weekday: Weekday) -> &[Hours] {
        match weekday {
            Weekday::Mon => &self.mon,
            Weekday::Tue => &self.tue,
            Weekday::Wed => &self.wed,
            Weekday::Thu => &self.thu,
            Weekday::Fri => &self.fri,
            Weekday::Sat => &self.sat,
            Weekday::Sun => &self.sun,
        }
    }

    /// Is every day of the week closed?
    pub fn is_closed(&self) -> bool {
        Self::DAYS.iter().all(|weekday| self.hours_on(*weekday).is_empty())
    }
}

impl SpecialDay {
    /// A day off.
    pub fn closed(date: NaiveDate, name: impl Into<String>) -> Self {
        Self { date, open: Some(false), hours: None, name: name.into(), source: String::new() }
    }

    /// A make-up workday (调休), with Monday's hours.
    pub fn make_up(date: NaiveDate, name: impl Into<String>) -> Self {
        Self { open: Some(true), ..Self::closed(date, name) }
    }

    /// A day with hours of its own.
    pub fn with_hours(date: NaiveDate, hours: Vec<Hours>, name: impl Into<String>) -> Self {
        Self { open: Some(true), hours: Some(hours), ..Self::closed(date, name) }
    }

    /// Does the entry open the day? (It may still have no hours, see [`Calendar::findings`].)
    pub fn is_open(&self) -> bool {
        self.open.unwrap_or(self.hours.is_some())
    }

    fn has_own_hours(&self) -> bool {
        self.is_open() && self.hours.as_ref().is_some_and(|hours| !hours.is_empty())
    }

    fn check(&self) -> Result<(), WorkingTimeError> {
        let date = self.date;
        if !(1..=9999).contains(&date.year()) {
            return Err(WorkingTimeError::DateOutOfRange { date });
        }
        match (self.open, self.hours.as_deref()) {
            (None, None) => Err(WorkingTimeError::NeitherOpenNorHours { date }),
            (Some(false), Some(_)) => Err(WorkingTimeError::ClosedWithHours { date }),
            (_, Some([])) => Err(WorkingTimeError::HoursEmpty { date }),
            (_, Some(hours)) => refuse_overlap(hours, || date.to_string()),
            (Some(_), None) => Ok(()),
        }
    }
}

/// Refuses a day two of whose stretches share time. Touching ends are fine.
fn refuse_overlap(hours: &[Hours], day: impl FnOnce() -> String) -> Result<(), WorkingTimeError> {
    let mut sorted = hours.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[1].start_minute() < pair[0].end_minute()) {
        Some(pair) => Err(WorkingTimeError::HoursOverlap { day: day(), first: pair[0], second: pair[1] }),
        None => Ok(()),
    }
}
