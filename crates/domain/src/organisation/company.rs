//! The company (总公司): its calendar, policy and products.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class, Context, Happened};
use crate::ids::BranchId;
use crate::rejection::Rejection;
use crate::sla::Policy;
use crate::text::Name;
use crate::working_time::{Calendar, SpecialDay, Weekly};

/// One thing that happened to the company.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are named by the trade's words; the variants say the rest")]
pub enum CompanyEvent {
    /// The calendar of all branches that have none of their own: weekly hours and national days (R50).
    CompanyCalendarSet { calendar: Calendar },
    /// Days of one province, laid over the national ones (R50).
    ProvinceDaysSet { province: Name, days: Vec<SpecialDay> },
    /// The limits and the ladder of all branches (R35).
    PolicySet { policy: Policy },
    /// What the company makes; registrations name one of these.
    ProductsListed { products: Vec<Name> },
}

/// Set the company's calendar (R50).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCompanyCalendar {
    /// Zone, weekly hours, national days.
    pub calendar: Calendar,
}

/// Set the days of one province (R50).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetProvinceDays {
    /// The province, as branches name it.
    pub province: Name,
    /// Its days.
    pub days: Vec<SpecialDay>,
}

/// Set the company's policy (R35).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    /// Limits, ladder and windows.
    pub policy: Policy,
}

/// List what the company makes. An empty list lifts the check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListProducts {
    /// The product models.
    pub products: Vec<Name>,
}

macro_rules! commands {
    ($name:ident { $($command:ident),+ $(,)? }) => {
        /// One command: each variant is documented at its type.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each variant is documented at its type")]
        pub enum $name { $($command($command)),+ }

        $(impl From<$command> for $name {
            fn from(command: $command) -> Self {
                Self::$command(command)
            }
        })+
    };
}
pub(super) use commands;

commands!(CompanyCommand { SetCompanyCalendar, SetProvinceDays, SetPolicy, ListProducts });

/// The company (总公司) as its events left it.
#[derive(Clone, Debug, Default)]
pub struct Company {
    /// Weekly hours and national days; [`Company::calendar`] where none was set.
    pub own_calendar: Option<Calendar>,
    /// Days by province.
    pub provinces: BTreeMap<Name, Vec<SpecialDay>>,
    /// Limits and ladder.
    pub policy: Policy,
    /// Product models; empty: anything goes.
    pub products: Vec<Name>,
}

impl Company {
    /// The calendar in force: until one is set, Monday to Friday 08:30–12:00 and 13:00–17:30 in Asia/Shanghai.
    pub fn calendar(&self) -> Calendar {
        self.own_calendar.clone().unwrap_or_else(default_calendar)
    }
}

#[expect(clippy::expect_used, reason = "constants that a test compiles")]
fn default_calendar() -> Calendar {
    let hours = || ["08:30-12:00", "13:00-17:30"].map(|text| text.parse().expect("well-formed")).to_vec();
    let weekly =
        Weekly { mon: hours(), tue: hours(), wed: hours(), thu: hours(), fri: hours(), ..Weekly::default() };
    Calendar::new(chrono_tz::Asia::Shanghai, weekly, Vec::new()).expect("sound")
}

impl Aggregate for Company {
    type Command = CompanyCommand;
    type Event = CompanyEvent;
    const KIND: &'static str = "company";

    fn decide(
        &self,
        command: &CompanyCommand,
        context: &Context<'_>,
    ) -> Result<Vec<CompanyEvent>, Rejection> {
        context.check_not_in_future(context.occurred_at)?;
        let event = match command.clone() {
            CompanyCommand::SetCompanyCalendar(set) => {
                CompanyEvent::CompanyCalendarSet { calendar: set.calendar }
            }
            CompanyCommand::SetProvinceDays(set) => {
                CompanyEvent::ProvinceDaysSet { province: set.province, days: set.days }
            }
            CompanyCommand::SetPolicy(set) => {
                set.policy.check()?;
                CompanyEvent::PolicySet { policy: set.policy }
            }
            CompanyCommand::ListProducts(list) => CompanyEvent::ProductsListed { products: list.products },
        };
        context.organisation.check_company(&event)?;
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &CompanyEvent, _: Happened) {
        match event.clone() {
            CompanyEvent::CompanyCalendarSet { calendar } => self.own_calendar = Some(calendar),
            CompanyEvent::ProvinceDaysSet { province, days } => {
                self.provinces.insert(province, days);
            }
            CompanyEvent::PolicySet { policy } => self.policy = policy,
            CompanyEvent::ProductsListed { products } => self.products = products,
        }
    }

    fn branch(&self, _: &[CompanyEvent]) -> Option<BranchId> {
        None
    }

    fn class(_: &[CompanyEvent]) -> Class {
        Class::Policy
    }
}
