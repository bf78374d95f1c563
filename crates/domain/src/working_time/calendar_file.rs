//! The calendar file: TOML for people, with official days included by name.

use std::fmt::Display;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{Calendar, Layer, SpecialDay, Weekly, default_zone};
use super::error::WorkingTimeError;
use super::official_days::{NotApplied, OfficialDays};

/// A calendar file as parsed, before the files it includes are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarFile {
    /// The zone; China's when left out.
    #[serde(default = "default_zone")]
    pub zone: Tz,
    /// Names of files with official days, relative to this one: `.json` (holiday-cn) or `.ics`. Later ones win.
    #[serde(default)]
    pub include: Vec<String>,
    /// The weekly pattern.
    #[serde(default)]
    pub weekly: Weekly,
    /// Days of one's own. They win over the included ones.
    #[serde(default)]
    pub days: Vec<SpecialDay>,
}

/// A calendar file with everything it includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedCalendar {
    /// The calendar.
    pub calendar: Calendar,
    /// What the included files list without its being a day off or a worked day (R53).
    pub not_applied: Vec<NotApplied>,
}

impl CalendarFile {
    /// Reads the TOML text; the refusal names the line.
    pub fn parse(toml_text: &str) -> Result<Self, WorkingTimeError> {
        toml::from_str(toml_text)
            .map_err(|error| WorkingTimeError::CalendarMalformed { reason: error.to_string() })
    }

    /// Makes the calendar. `read` gives the text of an included file by the name written in `include`.
    ///
    /// Each included file becomes a layer of its name; the file's own days are the last layer, `days`.
    pub fn resolve<E: Display>(
        self,
        mut read: impl FnMut(&str) -> Result<String, E>,
    ) -> Result<ResolvedCalendar, WorkingTimeError> {
        let mut layers = Vec::with_capacity(self.include.len() + 1);
        let mut not_applied = Vec::new();
        for name in &self.include {
            let parse = parser_of(name)?;
            let text = read(name).map_err(|error| WorkingTimeError::IncludeUnreadable {
                name: name.clone(),
                reason: error.to_string(),
            })?;
            let mut official = parse(name, &text)?;
            not_applied.append(&mut official.not_applied);
            layers.push(official.into_layer(name));
        }
        if !self.days.is_empty() {
            layers.push(Layer { name: "days".to_owned(), published_years: Vec::new(), days: self.days });
        }
        let calendar = Calendar::new(self.zone, self.weekly, layers)?;
        Ok(ResolvedCalendar { calendar, not_applied })
    }
}

type Parser = fn(&str, &str) -> Result<OfficialDays, WorkingTimeError>;

/// The parser for an included file, by its suffix.
fn parser_of(name: &str) -> Result<Parser, WorkingTimeError> {
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase());
    match suffix.as_deref() {
        Some("json") => Ok(OfficialDays::from_holiday_cn),
        Some("ics") => Ok(OfficialDays::from_icalendar),
        _ => Err(WorkingTimeError::IncludeUnknownFormat { name: name.to_owned() }),
    }
}
