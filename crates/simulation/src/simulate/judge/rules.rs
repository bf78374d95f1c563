//! The rules of company and branches as the log gives them, each version by the name under which clocks refer to it.

use std::collections::BTreeMap;

use cuiban_domain::organisation::{BranchEvent, BranchHours, Company};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Policy};
use cuiban_domain::ticket::{Area, TicketKind, Urgency};

use super::working_time::WorkingIntervals;

/// What of a case decides its limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: TicketKind,
    pub(super) urgency: Urgency,
    pub(super) area: Area,
}

/// One branch's rules, now and before.
#[derive(Debug)]
pub(super) struct BranchRules {
    calendars: BTreeMap<String, WorkingIntervals>,
    policies: BTreeMap<String, Vec<LimitRule>>,
    calendar_version: String,
    policy_version: String,
}

impl BranchRules {
    /// A branch that was just opened: the company's rules, and none of its own. No seed changes the company's.
    pub(super) fn opened() -> Self {
        let first = "c0.b0".to_owned();
        let calendar = WorkingIntervals::of(&Company::default().calendar(), &BranchHours::default());
        Self {
            calendars: BTreeMap::from([(first.clone(), calendar)]),
            policies: BTreeMap::from([(first.clone(), Policy::default().limits)]),
            calendar_version: first.clone(),
            policy_version: first,
        }
    }

    pub(super) fn change(&mut self, event: &BranchEvent, revision: u64) {
        let version = format!("c0.b{revision}");
        match event {
            BranchEvent::BranchHoursSet { hours } => {
                let calendar = WorkingIntervals::of(&Company::default().calendar(), hours);
                self.calendars.insert(version.clone(), calendar);
                self.calendar_version = version;
            }
            BranchEvent::BranchLimitsSet { limits } => {
                let all = Policy::default().limits.into_iter().chain(limits.iter().cloned()).collect();
                self.policies.insert(version.clone(), all);
                self.policy_version = version;
            }
            _ => {}
        }
    }

    /// The calendar of a version.
    pub(super) fn calendar(&self, version: &str) -> Option<&WorkingIntervals> {
        self.calendars.get(&unmarked(version))
    }

    /// Every calendar that the branch has had.
    pub(super) fn calendars(&self) -> impl Iterator<Item = &WorkingIntervals> {
        self.calendars.values()
    }

    /// The calendar that holds now.
    pub(super) fn calendar_now(&self) -> Option<&WorkingIntervals> {
        self.calendars.get(&self.calendar_version)
    }

    /// The limit that a version of the policy gives a case; the last rule that fits wins.
    pub(super) fn limit(&self, version: &str, clock: ClockKind, facts: Facts) -> Option<Limit> {
        let fits = |rule: &&LimitRule| {
            rule.clock == clock
                && rule.kind.is_none_or(|kind| kind == facts.kind)
                && rule.urgency.is_none_or(|urgency| urgency == facts.urgency)
                && rule.area.is_none_or(|area| area == facts.area)
        };
        self.policies.get(&unmarked(version))?.iter().rfind(fits).map(|rule| rule.limit)
    }

    /// The limit that holds now.
    pub(super) fn limit_now(&self, clock: ClockKind, facts: Facts) -> Option<Limit> {
        self.limit(&self.policy_version, clock, facts)
    }
}

/// A version without the mark that a later commit of its stream cannot be read.
fn unmarked(version: &str) -> String {
    version.replace('!', "")
}
