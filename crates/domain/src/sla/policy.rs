//! The limits policy: which case gets which limit (R35), and what follows when it is broken (R62).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::people::Department;
use crate::rejection::Rejection;
use crate::sla::{ClockKind, Limit, Measure, Rung, Span};
use crate::ticket::{Area, CustomerLevel, TicketKind, Urgency};

/// One line of a policy. A condition that is not given fits every case; the last rule that fits wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    /// The clock whose limit this is.
    pub clock: ClockKind,
    /// How long it may run.
    pub limit: Limit,
    /// Only for this kind of ticket.
    #[serde(default)]
    pub kind: Option<TicketKind>,
    /// Only for this urgency.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// Only for customers of this level.
    #[serde(default)]
    pub customer_level: Option<CustomerLevel>,
    /// Only for this area.
    #[serde(default)]
    pub area: Option<Area>,
}

/// What of a case decides its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseFacts {
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// How urgent.
    pub urgency: Urgency,
    /// How important the customer.
    pub customer_level: CustomerLevel,
    /// Urban or suburban.
    pub area: Area,
}

/// One step of the escalation ladder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LadderStep {
    /// Which rung.
    pub rung: Rung,
    /// How often it is repeated after the first notice.
    #[serde(default)]
    pub repetitions: u32,
}

/// Limits and what follows from breaking them. A branch's policy is laid over the company's (R35).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The limits; the last rule that fits a case wins.
    #[serde(default)]
    pub limits: Vec<LimitRule>,
    /// The clocks that start again when a ticket is reopened (R39).
    #[serde(default = "Policy::default_restart")]
    pub restart_on_reopen: Vec<ClockKind>,
    /// The escalation ladder.
    #[serde(default = "Policy::default_ladder")]
    pub ladder: Vec<LadderStep>,
    /// A notice recorded later than this after its due instant is marked `late` (R64).
    #[serde(default = "Policy::default_late_after")]
    pub late_after: Span,
    /// Calls of one customer about one product within this time may be duplicates (R5).
    #[serde(default = "Policy::default_duplicate_window")]
    pub duplicate_window: Span,
    /// Who hears of an emergency or a 催办 where a branch has neither supervisor nor manager; the customer department
    /// (客户部) if left out.
    #[serde(default = "Policy::default_informed_departments")]
    pub informed_departments: Vec<Department>,
}

impl Default for Policy {
    /// 24 hours of the wall clock to respond (R30), 6 or 7 working hours to arrive (R31).
    fn default() -> Self {
        let rule = |clock, hours, measure, area| LimitRule {
            clock,
            limit: Limit { span: Span::hours(hours), measure },
            kind: None,
            urgency: None,
            customer_level: None,
            area,
        };
        Self {
            limits: vec![
                rule(ClockKind::Response, 24, Measure::Wall, None),
                rule(ClockKind::Dispatch, 6, Measure::Working, Some(Area::Urban)),
                rule(ClockKind::Dispatch, 7, Measure::Working, Some(Area::Suburban)),
            ],
            restart_on_reopen: Self::default_restart(),
            ladder: Self::default_ladder(),
            late_after: Self::default_late_after(),
            duplicate_window: Self::default_duplicate_window(),
            informed_departments: Self::default_informed_departments(),
        }
    }
}

impl Policy {
    /// The most rules one policy may have.
    pub const LIMITS_MAX: usize = 500;

    fn default_restart() -> Vec<ClockKind> {
        vec![ClockKind::Dispatch]
    }

    fn default_ladder() -> Vec<LadderStep> {
        vec![LadderStep { rung: Rung::Breach, repetitions: 0 }]
    }

    fn default_late_after() -> Span {
        Span::minutes(1)
    }

    fn default_duplicate_window() -> Span {
        Span::hours(72)
    }

    fn default_informed_departments() -> Vec<Department> {
        vec![Department::Customer]
    }

    /// Who is the last in the chain: never nobody, whatever was recorded before departments could be named (R60).
    pub fn last_informed(&self) -> Vec<Department> {
        match self.informed_departments.as_slice() {
            [] => Self::default_informed_departments(),
            named => named.to_vec(),
        }
    }

    /// The limit of a clock for a case; `None` where no rule fits: then the clock does not run.
    pub fn limit(&self, clock: ClockKind, case: CaseFacts) -> Option<Limit> {
        let fits = |rule: &&LimitRule| {
            rule.clock == clock
                && rule.kind.is_none_or(|kind| kind == case.kind)
                && rule.urgency.is_none_or(|urgency| urgency == case.urgency)
                && rule.customer_level.is_none_or(|level| level == case.customer_level)
                && rule.area.is_none_or(|area| area == case.area)
        };
        self.limits.iter().rev().find(fits).map(|rule| rule.limit)
    }

    /// This policy with a branch's limits laid over it.
    pub fn overlaid(&self, branch_limits: &[LimitRule]) -> Self {
        let mut policy = self.clone();
        policy.limits.extend_from_slice(branch_limits);
        policy
    }

    /// Refuses what could not be kept: the ladder above the breach is not climbed yet, and too many rules.
    pub fn check(&self) -> Result<(), Rejection> {
        let refused = |detail: &str| Err(Rejection::PolicyRefused { detail: detail.to_owned() });
        if self.limits.len() > Self::LIMITS_MAX {
            return refused("a policy has at most 500 limits");
        }
        if self.ladder != Self::default_ladder() {
            return refused("the ladder has one step for now: rung \"breach\" with 0 repetitions");
        }
        if self.informed_departments.is_empty() {
            return refused(
                "informed_departments names at least one: somebody hears of what nobody else does",
            );
        }
        if self.late_after.duration() > Duration::from_secs(31 * 86_400) {
            return refused("late_after is at most 31 days");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(area: Area) -> CaseFacts {
        CaseFacts {
            kind: TicketKind::Repair,
            urgency: Urgency::Normal,
            customer_level: CustomerLevel::Standard,
            area,
        }
    }

    #[test]
    fn r31_six_hours_in_town_and_seven_in_the_suburbs_by_default() {
        let policy = Policy::default();
        let span = |area| policy.limit(ClockKind::Dispatch, case(area)).unwrap().span.to_string();
        assert_eq!((span(Area::Urban), span(Area::Suburban)), ("6h".into(), "7h".into()));
    }

    #[test]
    fn r35_a_branch_overrides_the_company_and_the_last_rule_wins() {
        let rule = LimitRule {
            clock: ClockKind::Dispatch,
            limit: Limit { span: Span::hours(3), measure: Measure::Working },
            kind: None,
            urgency: None,
            customer_level: None,
            area: Some(Area::Urban),
        };
        let policy = Policy::default().overlaid(&[rule]);
        assert_eq!(policy.limit(ClockKind::Dispatch, case(Area::Urban)).unwrap().span, Span::hours(3));
        assert_eq!(policy.limit(ClockKind::Dispatch, case(Area::Suburban)).unwrap().span, Span::hours(7));
    }

    #[test]
    fn r35_a_rule_fits_where_each_of_its_conditions_does() {
        let rule = LimitRule {
            clock: ClockKind::Dispatch,
            limit: Limit { span: Span::hours(3), measure: Measure::Wall },
            kind: Some(TicketKind::Complaint),
            urgency: Some(Urgency::Urgent),
            customer_level: Some(CustomerLevel::Important),
            area: Some(Area::Suburban),
        };
        let policy = Policy { limits: vec![rule], ..Policy::default() };
        let fitting = CaseFacts {
            kind: TicketKind::Complaint,
            urgency: Urgency::Urgent,
            customer_level: CustomerLevel::Important,
            area: Area::Suburban,
        };
        assert!(policy.limit(ClockKind::Dispatch, fitting).is_some());
        assert_eq!(policy.limit(ClockKind::Response, fitting), None);
        for other in [
            CaseFacts { kind: TicketKind::Repair, ..fitting },
            CaseFacts { urgency: Urgency::Normal, ..fitting },
            CaseFacts { customer_level: CustomerLevel::Standard, ..fitting },
            CaseFacts { area: Area::Urban, ..fitting },
        ] {
            assert_eq!(policy.limit(ClockKind::Dispatch, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_policy_has_bounds() {
        let rule = Policy::default().limits[0].clone();
        let of = |count: usize| Policy { limits: vec![rule.clone(); count], ..Policy::default() };
        assert_eq!(of(Policy::LIMITS_MAX).check(), Ok(()));
        assert!(of(Policy::LIMITS_MAX + 1).check().is_err());
        let late_after = |text: &str| Policy { late_after: text.parse().unwrap(), ..Policy::default() };
        assert_eq!(late_after("31days").check(), Ok(()));
        assert!(late_after("31days 1s").check().is_err());
    }

    #[test]
    fn what_a_policy_leaves_out_is_the_default() {
        let policy: Policy = serde_json::from_str("{}").unwrap();
        assert_eq!(policy, Policy { limits: Vec::new(), ..Policy::default() });
        assert_eq!(policy.restart_on_reopen, [ClockKind::Dispatch]);
        assert_eq!(policy.ladder, [LadderStep { rung: Rung::Breach, repetitions: 0 }]);
        assert_eq!(policy.late_after.to_string(), "1m");
        assert_eq!(policy.duplicate_window.to_string(), "3days");
        assert_eq!(policy.informed_departments, [Department::Customer]);
    }

    #[test]
    fn r60_nobody_to_tell_is_never_nobody() {
        let nobody = Policy { informed_departments: Vec::new(), ..Policy::default() };
        assert!(matches!(nobody.check(), Err(Rejection::PolicyRefused { .. })));
        assert_eq!(nobody.last_informed(), [Department::Customer]);
        let dispatch = Policy { informed_departments: vec![Department::Dispatch], ..Policy::default() };
        assert_eq!((dispatch.check(), dispatch.last_informed()), (Ok(()), vec![Department::Dispatch]));
    }

    #[test]
    fn refuses_a_ladder_that_nobody_would_climb() {
        let mut policy = Policy::default();
        policy.ladder.push(LadderStep { rung: Rung::BranchManager, repetitions: 2 });
        assert!(matches!(policy.check(), Err(Rejection::PolicyRefused { .. })));
    }
}
