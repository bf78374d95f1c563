//! A branch service office (服务中心 / 分公司): its hours, limits, districts and staff.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Class, Context, Happened};
use crate::ids::{BranchId, StaffId};
use crate::organisation::company::commands;
use crate::people::Role;
use crate::rejection::Rejection;
use crate::sla::{LimitRule, Policy};
use crate::text::Name;
use crate::ticket::Area;
use crate::working_time::{SpecialDay, Weekly};

/// One thing that happened to a branch.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are named by the trade's words; the variants say the rest")]
pub enum BranchEvent {
    /// The branch takes tickets from now on.
    BranchOpened { branch: BranchId, name: Name, province: Option<Name> },
    /// Hours and days of its own, laid over the company's (R50).
    BranchHoursSet { hours: BranchHours },
    /// Limits of its own, laid over the company's (R35).
    BranchLimitsSet { limits: Vec<LimitRule> },
    /// Which districts are urban and which suburban (R31).
    DistrictsListed { districts: Vec<District> },
    /// A person joined the staff.
    StaffAdmitted { member: StaffMember },
    /// Name, role or skills changed.
    StaffChanged { member: StaffMember },
    /// A person left; the successor takes over what was open (R6).
    StaffLeft { staff: StaffId, successor: StaffId },
}

/// A branch's own part of the calendar.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchHours {
    /// The branch's IANA zone; the company's if left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9_+/-]+$", example = "Asia/Shanghai")]
    pub zone: Option<chrono_tz::Tz>,
    /// The branch's weekly hours; the company's if left out.
    #[serde(default)]
    pub weekly: Option<Weekly>,
    /// The branch's own days, laid over the province's.
    #[serde(default)]
    pub days: Vec<SpecialDay>,
}

/// A district (区县) and its area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct District {
    /// Its name.
    pub name: Name,
    /// 市区 or 郊区.
    pub area: Area,
}

/// A person of the staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffMember {
    /// The person's id.
    pub id: StaffId,
    /// The person's name.
    pub name: Name,
    /// What the person does.
    pub role: Role,
    /// Product models or kinds of work that the person masters.
    #[serde(default)]
    pub skills: Vec<Name>,
    /// The areas in which the person works; both if empty.
    #[serde(default)]
    pub areas: Vec<Area>,
}

/// Open a branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenBranch {
    /// The branch's id.
    pub branch: BranchId,
    /// Its name.
    pub name: Name,
    /// Its province, whose days it keeps.
    #[serde(default)]
    pub province: Option<Name>,
}

/// Set a branch's own hours (R50).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBranchHours {
    /// Zone, weekly hours, days.
    pub hours: BranchHours,
}

/// Set a branch's own limits (R35).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBranchLimits {
    /// Rules laid over the company's.
    pub limits: Vec<LimitRule>,
}

/// List a branch's districts (R31).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDistricts {
    /// All districts of the branch.
    pub districts: Vec<District>,
}

/// Admit a person to the staff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmitStaff {
    /// Who.
    pub member: StaffMember,
}

/// Change a person's name, role, skills or areas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeStaff {
    /// The person as from now on.
    pub member: StaffMember,
}

/// A person leaves; all open tickets pass to the successor (认养孤儿, R6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveStaff {
    /// Who leaves.
    pub staff: StaffId,
    /// Who takes over.
    pub successor: StaffId,
}

commands!(BranchCommand {
    OpenBranch,
    SetBranchHours,
    SetBranchLimits,
    ListDistricts,
    AdmitStaff,
    ChangeStaff,
    LeaveStaff,
});

/// A branch service office (服务中心 / 分公司) as its events left it.
#[derive(Clone, Debug, Default)]
pub struct Branch {
    /// Its id, once opened.
    pub id: Option<BranchId>,
    /// Its name, once opened.
    pub name: Option<Name>,
    /// Its province.
    pub province: Option<Name>,
    /// Its own hours.
    pub hours: BranchHours,
    /// Its own limits.
    pub limits: Vec<LimitRule>,
    /// Its districts; empty: none are known by name.
    pub districts: BTreeMap<Name, Area>,
    /// Everyone who is or was on the staff.
    pub staff: BTreeMap<StaffId, StaffMember>,
    /// Who left, and who took over.
    pub left: BTreeMap<StaffId, StaffId>,
}

impl Branch {
    fn opened(&self) -> Result<&BranchId, Rejection> {
        self.id.as_ref().ok_or_else(|| Rejection::UnknownBranch { branch: unopened() })
    }

    fn known(&self, branch: &BranchId, staff: &StaffId) -> Result<(), Rejection> {
        if !self.staff.contains_key(staff) {
            return Err(Rejection::UnknownStaff { branch: branch.clone(), staff: staff.clone() });
        }
        if self.left.contains_key(staff) {
            return Err(Rejection::StaffHasLeft { staff: staff.clone() });
        }
        Ok(())
    }
}

fn unopened() -> BranchId {
    #[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
    BranchId::new("unopened").expect("fits the alphabet")
}

impl Aggregate for Branch {
    type Command = BranchCommand;
    type Event = BranchEvent;
    const KIND: &'static str = "branch";

    fn decide(&self, command: &BranchCommand, context: &Context<'_>) -> Result<Vec<BranchEvent>, Rejection> {
        context.check_not_in_future(context.occurred_at)?;
        if let BranchCommand::OpenBranch(OpenBranch { branch, name, province }) = command.clone() {
            return match self.id {
                Some(_) => Err(Rejection::BranchAlreadyOpen),
                None => Ok(vec![BranchEvent::BranchOpened { branch, name, province }]),
            };
        }
        let branch = self.opened()?;
        let event = match command.clone() {
            BranchCommand::OpenBranch(_) => return Err(Rejection::BranchAlreadyOpen),
            BranchCommand::SetBranchHours(set) => BranchEvent::BranchHoursSet { hours: set.hours },
            BranchCommand::SetBranchLimits(set) => {
                Policy::default().overlaid(&set.limits).check()?;
                BranchEvent::BranchLimitsSet { limits: set.limits }
            }
            BranchCommand::ListDistricts(list) => BranchEvent::DistrictsListed { districts: list.districts },
            BranchCommand::AdmitStaff(AdmitStaff { member }) => {
                if self.staff.contains_key(&member.id) && !self.left.contains_key(&member.id) {
                    return Err(Rejection::StaffAlreadyKnown { staff: member.id });
                }
                BranchEvent::StaffAdmitted { member }
            }
            BranchCommand::ChangeStaff(ChangeStaff { member }) => {
                self.known(branch, &member.id)?;
                BranchEvent::StaffChanged { member }
            }
            BranchCommand::LeaveStaff(LeaveStaff { staff, successor }) => {
                self.known(branch, &staff)?;
                self.known(branch, &successor)?;
                if staff == successor {
                    return Err(Rejection::NothingToChange);
                }
                let role = |id: &StaffId| self.staff.get(id).map(|member| member.role);
                if role(&staff) == Some(Role::Technician) && role(&successor) != Some(Role::Technician) {
                    return Err(Rejection::NotATechnician { staff: successor });
                }
                BranchEvent::StaffLeft { staff, successor }
            }
        };
        context.organisation.check_branch(branch, &event)?;
        Ok(vec![event])
    }

    fn evolve(&mut self, event: &BranchEvent, _: Happened) {
        match event.clone() {
            BranchEvent::BranchOpened { branch, name, province } => {
                (self.id, self.name, self.province) = (Some(branch), Some(name), province);
            }
            BranchEvent::BranchHoursSet { hours } => self.hours = hours,
            BranchEvent::BranchLimitsSet { limits } => self.limits = limits,
            BranchEvent::DistrictsListed { districts } => {
                self.districts =
                    districts.into_iter().map(|district| (district.name, district.area)).collect();
            }
            BranchEvent::StaffAdmitted { member } | BranchEvent::StaffChanged { member } => {
                self.left.remove(&member.id);
                self.staff.insert(member.id.clone(), member);
            }
            BranchEvent::StaffLeft { staff, successor } => {
                self.left.insert(staff, successor);
            }
        }
    }

    fn branch(&self, events: &[BranchEvent]) -> Option<BranchId> {
        match (&self.id, events.first()) {
            (Some(id), _) => Some(id.clone()),
            (None, Some(BranchEvent::BranchOpened { branch, .. })) => Some(branch.clone()),
            _ => None,
        }
    }

    fn class(_: &[BranchEvent]) -> Class {
        Class::Policy
    }
}
