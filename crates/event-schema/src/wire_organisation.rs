//! The composed values of the company's and the branches' events.

use cuiban_domain::organisation::{BranchHours, District, StaffMember};
use cuiban_domain::sla::{LadderStep, LimitRule, Policy};
use cuiban_domain::working_time::{Calendar, Hours, Layer, SpecialDay, Weekly};

use crate::proto;
use crate::wire::{Field, Value, WireError, field, in_field, invalid, message};

message! {
    Weekly { mon, tue, wed, thu, fri, sat, sun }
    Layer { name, published_years, days }
    BranchHours { zone, weekly, days }
    LimitRule { clock, limit, kind, urgency, customer_level, area }
    LadderStep { rung, repetitions }
    Policy { limits, restart_on_reopen, ladder, late_after, duplicate_window, informed_departments }
    District { name, area }
    StaffMember { id, name, role, skills, areas }
}

impl Value for SpecialDay {
    type Present = proto::SpecialDay;
    fn to_present(&self) -> proto::SpecialDay {
        proto::SpecialDay {
            date: self.date.to_wire(),
            open: self.open,
            hours: self.hours.as_ref().map(|hours| proto::DayHours { hours: hours.to_wire() }),
            name: self.name.clone(),
            source: self.source.clone(),
        }
    }
    fn from_present(present: proto::SpecialDay) -> Result<Self, WireError> {
        let hours = present.hours.map(|day| in_field::<Vec<Hours>>("hours", day.hours)).transpose()?;
        let date = in_field("date", present.date)?;
        Ok(Self { date, open: present.open, hours, name: present.name, source: present.source })
    }
}

impl Value for Calendar {
    type Present = proto::Calendar;
    fn to_present(&self) -> proto::Calendar {
        proto::Calendar {
            zone: self.zone().to_wire(),
            weekly: self.weekly().to_wire(),
            layers: self.layers().iter().map(Value::to_present).collect(),
        }
    }
    fn from_present(present: proto::Calendar) -> Result<Self, WireError> {
        let (zone, weekly) = (in_field("zone", present.zone)?, in_field("weekly", present.weekly)?);
        Self::recorded(zone, weekly, in_field("layers", present.layers)?).map_err(invalid)
    }
}

field!(message SpecialDay, Calendar);
