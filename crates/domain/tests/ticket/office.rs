//! The company of the stories: two branches in two zones, folded from real events.

use std::sync::LazyLock;

use cuiban_domain::ids::{Actor, BranchId, StaffId};
use cuiban_domain::organisation::{
    AdmitStaff, Branch, BranchCommand, BranchEvent, BranchHours, Company, CompanyCommand, District,
    LeaveStaff, ListDistricts, OpenBranch, Organisation, SetBranchHours, SetBranchLimits, SetCompanyCalendar,
    SetPolicy, StaffMember,
};
use cuiban_domain::people::Role;
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Measure, Policy};
use cuiban_domain::ticket::{Area, ClockBasis};
use cuiban_domain::working_time::{Calendar, OfficialDays, Weekly};
use cuiban_domain::{Aggregate, Context, Happened, Instant, Rejection};

use crate::words::{hours, instant, name};

/// The official days of 2026 as published.
const CN_2026: &str = include_str!("../cases/calendars/cn-2026.json");

/// The organisation with the streams behind it.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) organisation: Organisation,
    company: (Company, u64),
    branches: Vec<(BranchId, Branch, u64)>,
}

impl Office {
    /// `B0` in Shanghai (08:30–12:00, 13:00–17:30, official days of 2026) with two technicians, one who left, a
    /// supervisor and an operator; `B1` in Berlin (09:00–17:00) with a technician and a supervisor.
    pub(crate) fn new() -> Self {
        static OFFICE: LazyLock<Office> = LazyLock::new(Office::found);
        OFFICE.clone()
    }

    fn found() -> Self {
        let mut office =
            Self { organisation: Organisation::default(), company: Default::default(), branches: Vec::new() };
        office.company(SetCompanyCalendar { calendar: official_calendar() });
        office.branch("B0", OpenBranch { branch: branch("B0"), name: name("总部服务中心"), province: None });
        let districts = [("城东", Area::Urban), ("远郊", Area::Suburban)];
        let districts = districts.map(|(district, area)| District { name: name(district), area });
        office.branch("B0", ListDistricts { districts: districts.to_vec() });
        office.admit("B0", "T1", Role::Technician);
        office.admit("B0", "T2", Role::Technician);
        office.admit("B0", "T9", Role::Technician);
        office.branch("B0", LeaveStaff { staff: staff("T9"), successor: staff("T2") });
        office.admit("B0", "S1", Role::ServiceSupervisor);
        office.admit("B0", "K1", Role::IntakeOperator);
        office.branch("B1", OpenBranch { branch: branch("B1"), name: name("柏林服务中心"), province: None });
        let day = || vec![hours("09:00-17:00")];
        let weekly =
            Weekly { mon: day(), tue: day(), wed: day(), thu: day(), fri: day(), ..Weekly::default() };
        let hours = BranchHours { zone: Some(chrono_tz::Europe::Berlin), weekly: Some(weekly), days: vec![] };
        office.branch("B1", SetBranchHours { hours });
        office.admit("B1", "T5", Role::Technician);
        office.admit("B1", "S5", Role::ServiceSupervisor);
        office
    }

    /// The company obeys.
    pub(crate) fn company(&mut self, command: impl Into<CompanyCommand>) {
        self.try_company(command).unwrap();
    }

    /// The company obeys or says why not.
    pub(crate) fn try_company(&mut self, command: impl Into<CompanyCommand>) -> Result<(), Rejection> {
        let (company, revision) = &mut self.company;
        let events = company.decide(&command.into(), &context(&self.organisation))?;
        *revision += 1;
        for event in events {
            company.evolve(&event, long_ago());
            self.organisation.apply_company(&event, long_ago(), *revision);
        }
        Ok(())
    }

    /// A branch obeys.
    pub(crate) fn branch(&mut self, id: &str, command: impl Into<BranchCommand>) {
        self.try_branch(id, command).unwrap();
    }

    /// A branch obeys or says why not.
    pub(crate) fn try_branch(
        &mut self,
        id: &str,
        command: impl Into<BranchCommand>,
    ) -> Result<Vec<BranchEvent>, Rejection> {
        let id = branch(id);
        if !self.branches.iter().any(|(known, ..)| *known == id) {
            self.branches.push((id.clone(), Branch::default(), 0));
        }
        let (_, branch, revision) = self.branches.iter_mut().find(|(known, ..)| *known == id).unwrap();
        let events = branch.decide(&command.into(), &context(&self.organisation))?;
        *revision += 1;
        for event in &events {
            branch.evolve(event, long_ago());
            self.organisation.apply_branch(&id, event, long_ago(), *revision);
        }
        Ok(events)
    }

    pub(crate) fn admit(&mut self, branch: &str, id: &str, role: Role) {
        let member = StaffMember { id: staff(id), name: name(id), role, skills: vec![], areas: vec![] };
        self.branch(branch, AdmitStaff { member });
    }

    /// The company's policy becomes the default with these limits laid over it.
    pub(crate) fn limits(&mut self, rules: &[LimitRule]) {
        self.company(SetPolicy { policy: Policy::default().overlaid(rules) });
    }

    /// The branch's limits become these.
    pub(crate) fn branch_limits(&mut self, id: &str, rules: &[LimitRule]) {
        self.branch(id, SetBranchLimits { limits: rules.to_vec() });
    }

    /// The versions that a due instant of this branch is recorded with.
    pub(crate) fn basis(&self, id: &str) -> ClockBasis {
        self.organisation.branch(&branch(id)).unwrap().basis.clone()
    }
}

/// The company's calendar: the handbook's hours and official days.
pub(crate) fn official_calendar() -> Calendar {
    let day = || vec![hours("08:30-12:00"), hours("13:00-17:30")];
    let weekly = Weekly { mon: day(), tue: day(), wed: day(), thu: day(), fri: day(), ..Weekly::default() };
    let national = OfficialDays::from_holiday_cn("cn-2026.json", CN_2026).unwrap().into_layer("全国");
    Calendar::new(chrono_tz::Asia::Shanghai, weekly, vec![national]).unwrap()
}

/// A limit for every case: `rule(Dispatch, "3h", Working)`.
pub(crate) fn rule(clock: ClockKind, span: &str, measure: Measure) -> LimitRule {
    let limit = Limit { span: span.parse().unwrap(), measure };
    LimitRule { clock, limit, kind: None, urgency: None, customer_level: None, area: None }
}

pub(crate) fn branch(id: &str) -> BranchId {
    BranchId::new(id).unwrap()
}

pub(crate) fn staff(id: &str) -> StaffId {
    StaffId::new(id).unwrap()
}

fn long_ago() -> Happened {
    Happened { occurred_at: instant("01-01 00:00"), recorded_at: instant("01-01 00:00") }
}

fn context(organisation: &Organisation) -> Context<'_> {
    static OFFICE: LazyLock<Actor> = LazyLock::new(|| Actor::new("office").unwrap());
    let now: Instant = long_ago().recorded_at;
    Context { now, occurred_at: now, actor: &OFFICE, organisation, related: None }
}
