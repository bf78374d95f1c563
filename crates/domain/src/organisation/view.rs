//! Company and branches folded together, with each branch's calendar compiled and its policy laid out.

use std::collections::BTreeMap;

use crate::aggregate::{Aggregate, Happened};
use crate::ids::{BranchId, StaffId};
use crate::organisation::{Branch, BranchEvent, Company, CompanyEvent, StaffMember};
use crate::people::{Department, Role};
use crate::rejection::Rejection;
use crate::sla::Policy;
use crate::text::Name;
use crate::ticket::{Area, ClockBasis};
use crate::working_time::{Calendar, Layer, SpecialDay, Weekly, WorkingCalendar, WorkingTimeError};

/// Everything that decisions look up: calendars, policies, districts, staff, products.
#[derive(Clone, Debug, Default)]
pub struct Organisation {
    company: Company,
    company_versions: Versions,
    branches: BTreeMap<BranchId, Entry>,
}

/// The revisions at which calendar and policy last changed.
#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    calendar: u64,
    policy: u64,
    /// A later commit of the stream cannot be read: what holds may not be what was decided last.
    unreadable: bool,
}

impl Versions {
    /// Appended to a version that may not be the last one decided.
    fn mark(self) -> &'static str {
        if self.unreadable { "!" } else { "" }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    branch: Branch,
    versions: Versions,
    calendar: WorkingCalendar,
    policy: Policy,
    basis: ClockBasis,
}

/// One branch as decisions see it.
#[derive(Clone, Copy, Debug)]
pub struct BranchView<'a> {
    /// Its districts and staff.
    pub branch: &'a Branch,
    /// Its working time: the company's, its province's and its own layers.
    pub calendar: &'a WorkingCalendar,
    /// The company's policy with the branch's limits laid over it.
    pub policy: &'a Policy,
    /// The versions of both, to be recorded with what they give (R35).
    pub basis: &'a ClockBasis,
}

/// Who hears of what is owed: persons, or departments where there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Informed {
    /// Supervisors, or else managers.
    pub staff: Vec<StaffId>,
    /// Where the branch has neither.
    pub departments: Vec<Department>,
}

impl Organisation {
    /// The branch's view; [`Rejection::UnknownBranch`] if it was never opened.
    pub fn branch(&self, id: &BranchId) -> Result<BranchView<'_>, Rejection> {
        let entry = self.branches.get(id).ok_or_else(|| Rejection::UnknownBranch { branch: id.clone() })?;
        Ok(BranchView {
            branch: &entry.branch,
            calendar: &entry.calendar,
            policy: &entry.policy,
            basis: &entry.basis,
        })
    }

    /// All open branches, by id.
    pub fn branches(&self) -> impl Iterator<Item = (&BranchId, &Branch)> {
        self.branches.iter().map(|(id, entry)| (id, &entry.branch))
    }

    /// The company.
    pub fn company(&self) -> &Company {
        &self.company
    }

    /// Refuses a product that the company does not list, if it lists any.
    pub fn check_product(&self, product: &Name) -> Result<(), Rejection> {
        let products = &self.company.products;
        if products.is_empty() || products.contains(product) {
            Ok(())
        } else {
            Err(Rejection::UnknownProduct { product: product.to_string() })
        }
    }

    /// Folds one of the company's events, recorded at this revision of its stream.
    pub fn apply_company(&mut self, event: &CompanyEvent, happened: Happened, revision: u64) {
        self.company.evolve(event, happened);
        match event {
            CompanyEvent::CompanyCalendarSet { .. } | CompanyEvent::ProvinceDaysSet { .. } => {
                self.company_versions.calendar = revision;
            }
            CompanyEvent::PolicySet { .. } => self.company_versions.policy = revision,
            CompanyEvent::ProductsListed { .. } => return,
        }
        for entry in self.branches.values_mut() {
            entry.lay_out(&self.company, self.company_versions);
        }
    }

    /// Folds one of a branch's events, recorded at this revision of its stream.
    pub fn apply_branch(&mut self, id: &BranchId, event: &BranchEvent, happened: Happened, revision: u64) {
        let entry = self.branches.entry(id.clone()).or_insert_with(|| Entry::new(&self.company));
        entry.branch.evolve(event, happened);
        match event {
            BranchEvent::BranchOpened { .. } => {}
            BranchEvent::BranchHoursSet { .. } => entry.versions.calendar = revision,
            BranchEvent::BranchLimitsSet { .. } => entry.versions.policy = revision,
            _ => return,
        }
        entry.lay_out(&self.company, self.company_versions);
    }

    /// Says whether the stream of a branch, or the company's, can be read to its end. While it cannot, versions of what
    /// it gave carry the mark `!`, as in `c3!.b1` (R35).
    pub fn set_readable(&mut self, branch: Option<&BranchId>, readable: bool) {
        match branch {
            Some(branch) => {
                if let Some(entry) = self.branches.get_mut(branch)
                    && entry.versions.unreadable == readable
                {
                    entry.versions.unreadable = !readable;
                    entry.lay_out(&self.company, self.company_versions);
                }
            }
            None if self.company_versions.unreadable == readable => {
                self.company_versions.unreadable = !readable;
                for entry in self.branches.values_mut() {
                    entry.lay_out(&self.company, self.company_versions);
                }
            }
            None => {}
        }
    }

    /// Refuses a company event that would leave any branch without a sound calendar (R52).
    pub fn check_company(&self, event: &CompanyEvent) -> Result<(), Rejection> {
        let mut company = self.company.clone();
        company.evolve(
            event,
            Happened { occurred_at: chrono::DateTime::UNIX_EPOCH, recorded_at: chrono::DateTime::UNIX_EPOCH },
        );
        if let CompanyEvent::ProvinceDaysSet { .. } | CompanyEvent::CompanyCalendarSet { .. } = event {
            for entry in self.branches.values() {
                entry.calendar_of(&company)?;
            }
        }
        Ok(())
    }

    /// Refuses a branch event that would leave the branch without a sound calendar (R52).
    pub fn check_branch(&self, id: &BranchId, event: &BranchEvent) -> Result<(), Rejection> {
        let BranchEvent::BranchHoursSet { hours } = event else { return Ok(()) };
        let mut entry = self.branches.get(id).cloned().unwrap_or_else(|| Entry::new(&self.company));
        entry.branch.hours = hours.clone();
        entry.calendar_of(&self.company).map(drop)
    }

    /// The working time of a branch if the company's calendar were this one; for previews (R53).
    pub fn with_company_calendar(&self, calendar: &Calendar) -> Result<Self, Rejection> {
        let mut changed = self.clone();
        let epoch = chrono::DateTime::UNIX_EPOCH;
        let event = CompanyEvent::CompanyCalendarSet { calendar: calendar.clone() };
        changed.check_company(&event)?;
        changed.apply_company(&event, Happened { occurred_at: epoch, recorded_at: epoch }, 0);
        Ok(changed)
    }
}

/// [`Calendar::new`] or [`Calendar::recorded`].
type MakeCalendar = fn(chrono_tz::Tz, Weekly, Vec<Layer>) -> Result<Calendar, WorkingTimeError>;

impl Entry {
    fn new(company: &Company) -> Self {
        let calendar = WorkingCalendar::new(company.calendar());
        let basis = ClockBasis { policy_version: String::new(), calendar_version: String::new() };
        Self {
            branch: Branch::default(),
            versions: Versions::default(),
            calendar,
            policy: company.policy.clone(),
            basis,
        }
    }

    /// Lays the branch's own hours and limits over the company's. A calendar that does not compile was refused
    /// when it was decided; if one is met in a log all the same, the last good one stays in force (R52).
    fn lay_out(&mut self, company: &Company, company_versions: Versions) {
        self.policy = company.policy.overlaid(&self.branch.limits);
        if let Ok(calendar) = self.calendar_by(company, Calendar::recorded) {
            self.calendar = WorkingCalendar::new(calendar);
        }
        let (company_mark, mark) = (company_versions.mark(), self.versions.mark());
        let version = |company: u64, branch: u64| format!("c{company}{company_mark}.b{branch}{mark}");
        self.basis = ClockBasis {
            policy_version: version(company_versions.policy, self.versions.policy),
            calendar_version: version(company_versions.calendar, self.versions.calendar),
        };
    }

    /// The calendar that a decision would put into force.
    fn calendar_of(&self, company: &Company) -> Result<Calendar, Rejection> {
        self.calendar_by(company, Calendar::new)
    }

    fn calendar_by(&self, company: &Company, make: MakeCalendar) -> Result<Calendar, Rejection> {
        let base = company.calendar();
        let hours = &self.branch.hours;
        let layer = |name: &str, days: &[SpecialDay]| Layer {
            name: name.to_owned(),
            days: days.to_vec(),
            ..Layer::default()
        };
        let mut layers = base.layers().to_vec();
        if let Some((province, days)) =
            self.branch.province.as_ref().and_then(|name| company.provinces.get_key_value(name))
        {
            layers.push(layer(province.as_str(), days));
        }
        if let (Some(name), false) = (&self.branch.name, hours.days.is_empty()) {
            layers.push(layer(name.as_str(), &hours.days));
        }
        let weekly = hours.weekly.clone().unwrap_or_else(|| base.weekly().clone());
        make(hours.zone.unwrap_or(base.zone()), weekly, layers).map_err(refused)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn refused(error: WorkingTimeError) -> Rejection {
    Rejection::CalendarRefused { reason: error.code().to_owned(), detail: error.to_string() }
}

impl BranchView<'_> {
    /// The area given, or else the district's (R31).
    pub fn area_of(&self, area: Option<Area>, district: Option<&Name>) -> Result<Area, Rejection> {
        let listed = match district {
            Some(district) if !self.branch.districts.is_empty() => {
                let found = self.branch.districts.get(district).copied();
                Some(found.ok_or_else(|| self.unknown_district(district))?)
            }
            _ => None,
        };
        area.or(listed).ok_or(Rejection::AreaMissing)
    }

    /// Whether the branch lists this district, and under the other area.
    pub fn is_listed_otherwise(&self, district: Option<&Name>, area: Area) -> bool {
        let listed = district.and_then(|district| self.branch.districts.get(district));
        listed.is_some_and(|listed| *listed != area)
    }

    /// A person of the staff who has not left.
    pub fn active_staff(&self, staff: &StaffId) -> Result<&StaffMember, Rejection> {
        let branch = || self.branch.id.clone();
        match (self.branch.staff.get(staff), self.branch.left.contains_key(staff)) {
            (Some(_), true) => Err(Rejection::StaffHasLeft { staff: staff.clone() }),
            (Some(member), false) => Ok(member),
            (None, _) => match branch() {
                Some(branch) => Err(Rejection::UnknownStaff { branch, staff: staff.clone() }),
                None => Err(Rejection::TicketNotFound),
            },
        }
    }

    /// A technician (技术员) who can be sent.
    pub fn technician(&self, staff: &StaffId) -> Result<&StaffMember, Rejection> {
        let member = self.active_staff(staff)?;
        if member.role == Role::Technician {
            Ok(member)
        } else {
            Err(Rejection::NotATechnician { staff: staff.clone() })
        }
    }

    /// Who hears of every emergency and 催办 (R4, R60): the branch's service supervisors (服务主任), or else its managers
    /// (分公司经理), or else the departments that policy names. Never nobody.
    pub fn informed(&self) -> Informed {
        let active = |member: &&StaffMember| !self.branch.left.contains_key(&member.id);
        let with = |role: Role| {
            let staff = self.branch.staff.values().filter(active).filter(|member| member.role == role);
            staff.map(|member| member.id.clone()).collect::<Vec<_>>()
        };
        let staff = [Role::ServiceSupervisor, Role::BranchManager].map(with);
        match staff.into_iter().find(|staff| !staff.is_empty()) {
            Some(staff) => Informed { staff, departments: Vec::new() },
            None => Informed { staff: Vec::new(), departments: self.policy.last_informed() },
        }
    }

    fn unknown_district(&self, district: &Name) -> Rejection {
        match self.branch.id.clone() {
            Some(branch) => Rejection::UnknownDistrict { branch, district: district.to_string() },
            None => Rejection::AreaMissing,
        }
    }
}
