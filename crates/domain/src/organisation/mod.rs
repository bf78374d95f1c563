//! The company and its branch service offices: areas, staff, calendar, limits policy (R35, R50–R53).
//!
//! [`Company`] and [`Branch`] are aggregates with histories of their own. [`Organisation`] is both of them folded
//! together: what every decision about a ticket looks things up in.

mod branch;
mod company;
mod view;

pub use branch::{
    AdmitStaff, Branch, BranchCommand, BranchEvent, BranchHours, ChangeStaff, District, LeaveStaff,
    ListDistricts, OpenBranch, SetBranchHours, SetBranchLimits, StaffMember,
};
pub use company::{
    Company, CompanyCommand, CompanyEvent, ListProducts, SetCompanyCalendar, SetPolicy, SetProvinceDays,
};
pub use view::{BranchView, Informed, Organisation};
