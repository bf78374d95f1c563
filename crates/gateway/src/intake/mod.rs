//! Intake (受理): every command that people and programs give, one line each.
//!
//! [`parse`] reads the body, [`order`] says who asks and under which id, [`receipt`] is the answer,
//! [`route`] turns a command's type into a route with its description. [`calendar`] previews and imports
//! official days (R53).

mod calendar;
mod order;
mod parse;
mod receipt;
mod route;

use std::sync::Arc;

use cuiban_domain::organisation::{
    AdmitStaff, ChangeStaff, LeaveStaff, ListDistricts, ListProducts, SetBranchHours, SetBranchLimits,
    SetCompanyCalendar, SetPolicy, SetProvinceDays,
};
use cuiban_domain::ticket::{
    ArriveAtCustomer, AssignHandler, CancelTicket, CloseTicket, CorrectServiceBasis, DispatchTechnician,
    FixOnSite, MergeTicket, PauseTicket, ReassignTicket, ReclassifyTicket, ReopenTicket, RespondToCustomer,
    ResumeTicket, TransferTicket,
};

use crate::api::Api;
use crate::front::Front;

pub(crate) use calendar::{CalendarRemarks, ImportOfficialDays, lay_over};
pub(crate) use parse::parse;

/// All commands.
pub(crate) fn routes() -> Api<Arc<Front>> {
    crate::alerts::routes(Api::new())
        .registration("/v1/tickets", "登记 / Register a call (R1)")
        .ticket::<RespondToCustomer>("respond", "首次响应 / First response (R30)")
        .ticket::<DispatchTechnician>("dispatch", "派工 / Dispatch a technician (R11)")
        .ticket::<ArriveAtCustomer>("arrive", "抵达 / Technician arrived (R12)")
        .ticket::<FixOnSite>("fix", "现场修复 / Fixed on the spot (R13)")
        .ticket::<PauseTicket>("pause", "暂停 / Pause, with a reason (R37)")
        .ticket::<ResumeTicket>("resume", "恢复 / Resume (R37)")
        .ticket::<ReclassifyTicket>(
            "reclassify",
            "更正类别、紧急程度、区域 / Correct kind, urgency, area (R36)",
        )
        .ticket::<CorrectServiceBasis>("service-basis", "更正服务性质 / Correct who pays (R10)")
        .ticket::<AssignHandler>("assign", "指定承办人 / Put a person in charge (R71)")
        .ticket::<ReassignTicket>("reassign", "改派 / Pass on what somebody owes (R6)")
        .ticket::<TransferTicket>("transfer", "转派服务中心 / Transfer to another branch")
        .ticket::<MergeTicket>("merge", "合并重复工单 / Merge into another ticket (R5)")
        .ticket::<CancelTicket>("cancel", "取消 / Cancel")
        .ticket::<CloseTicket>("close", "结案 / Close")
        .ticket::<ReopenTicket>("reopen", "重新打开 / Reopen: a new cycle (R39)")
        .opening("/v1/branches", "开设服务中心 / Open a branch")
        .branch::<SetBranchHours>("hours", "上班时间 / Working hours (R50)")
        .branch::<SetBranchLimits>("limits", "时限规则 / Limits of its own (R35)")
        .branch::<ListDistricts>("districts", "区县与市郊 / Districts and their areas (R31)")
        .branch::<AdmitStaff>("staff", "员工入职 / Admit a person")
        .branch::<ChangeStaff>("staff-change", "员工变更 / Change a person's role or skills")
        .branch::<LeaveStaff>("staff-leave", "员工离职与认养孤儿 / A person leaves (R6)")
        .company::<SetCompanyCalendar>("calendar", "公司日历 / Company calendar (R50)")
        .company::<SetProvinceDays>("province-days", "省级特殊日 / Days of a province (R50)")
        .company::<SetPolicy>("policy", "时限规则 / Limits policy (R35)")
        .company::<ListProducts>("products", "产品目录 / Products")
        .official_days()
}
