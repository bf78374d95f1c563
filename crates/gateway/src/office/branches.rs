//! Branches: their people, hours and districts, their register, board and proposals.

use axum::Json;
use axum::extract::State;
use chrono::NaiveDate;
use cuiban_domain::Rejection;
use cuiban_domain::ids::{BranchId, StaffId, TicketId};
use cuiban_domain::organisation::{BranchHours, BranchView, District, StaffMember};
use cuiban_domain::sla::LimitRule;
use cuiban_projector::{DispatchBoard, OverdueRow, Proposal, RepairRegister, TechnicianLoad};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{Page, PageQuery};
use crate::api::{self, Api, Operation};
use crate::extract::{Params, Segment};
use crate::front::Office;
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    let query = |summary| Operation::new(api::BRANCHES, summary).of_a_query();
    api.get(
        "/v1/branches",
        list,
        query("全部服务中心 / All branches").answer::<Page<BranchRow>>(
            status::DONE,
            "服务中心 / branches",
            &[],
        ),
    )
    .get(
        "/v1/branches/{branch}",
        one,
        query("一个服务中心 / A branch with staff, districts, hours").answer::<BranchRow>(
            status::DONE,
            "服务中心 / the branch",
            &[],
        ),
    )
    .get(
        "/v1/branches/{branch}/register",
        register,
        query("叫修登记簿 / The repair register of a day (R11)")
            .query::<RegisterQuery>()
            .answer::<RepairRegister>(status::DONE, "登记簿 / the register", &[]),
    )
    .get(
        "/v1/branches/{branch}/board",
        board,
        query("派工板 / The dispatch board: emergencies, carried over (R20), then by remaining time")
            .answer::<DispatchBoard>(status::DONE, "派工板 / the board", &[]),
    )
    .get(
        "/v1/branches/{branch}/load",
        load,
        query("技术员任务 / Open visits by technician (R11)").answer::<Page<TechnicianLoad>>(
            status::DONE,
            "任务 / the load",
            &[],
        ),
    )
    .get(
        "/v1/branches/{branch}/proposals",
        proposals,
        query("派工建议 / Who could go, the best first (R11)")
            .query::<ProposalsQuery>()
            .answer::<Page<Proposal>>(status::DONE, "建议 / proposals", &[]),
    )
    .get(
        "/v1/overdue",
        overdue,
        Operation::new(api::EXPEDITING, "逾期未了 / Broken limits whose debt is open")
            .query::<OverdueQuery>()
            .answer::<Page<OverdueRow>>(status::DONE, "逾期 / overdue", &[])
            .of_a_query(),
    )
}

/// 服务中心: a branch as decisions see it.
#[derive(Debug, Serialize, ToSchema)]
struct BranchRow {
    /// Its id.
    branch: BranchId,
    /// Its name.
    name: String,
    /// Its province.
    province: Option<String>,
    /// The zone of its days.
    #[schema(example = "Asia/Shanghai")]
    zone: String,
    /// Hours and days of its own.
    hours: BranchHours,
    /// Limits of its own.
    limits: Vec<LimitRule>,
    /// Its districts; empty: none are known by name.
    districts: Vec<District>,
    /// Everyone who is or was on the staff.
    staff: Vec<StaffRow>,
    /// Revisions of the company's and the branch's policy.
    #[schema(example = "c3.b1")]
    policy_version: String,
    /// Revisions of the company's and the branch's calendar.
    #[schema(example = "c3.b1")]
    calendar_version: String,
}

/// A person of the staff, perhaps of former times.
#[derive(Debug, Serialize, ToSchema)]
struct StaffRow {
    /// Who.
    member: StaffMember,
    /// Who took over, where the person has left (R6).
    left_to: Option<StaffId>,
}

impl BranchRow {
    fn of(id: &BranchId, view: &BranchView<'_>) -> Self {
        let branch = view.branch;
        let district = |(name, area): (&_, &_)| District { name: Clone::clone(name), area: *area };
        let staff_row = |member: &StaffMember| StaffRow {
            member: member.clone(),
            left_to: branch.left.get(&member.id).cloned(),
        };
        Self {
            branch: id.clone(),
            name: branch.name.as_ref().map_or_else(|| id.to_string(), ToString::to_string),
            province: branch.province.as_ref().map(ToString::to_string),
            zone: view.calendar.calendar().zone().name().to_owned(),
            hours: branch.hours.clone(),
            limits: branch.limits.clone(),
            districts: branch.districts.iter().map(district).collect(),
            staff: branch.staff.values().map(staff_row).collect(),
            policy_version: view.basis.policy_version.clone(),
            calendar_version: view.basis.calendar_version.clone(),
        }
    }
}

impl Office {
    /// Refuses the id of a branch that was never opened.
    pub(crate) fn known_branch(&self, branch: &BranchId) -> Result<(), Refusal> {
        let known = self.front.organisation().branch(branch).is_ok();
        if known { Ok(()) } else { Err(Refusal::BranchNotFound { branch: branch.clone() }) }
    }
}

async fn list(State(office): State<Office>) -> Json<Page<BranchRow>> {
    let organisation = office.front.organisation();
    let row = |id: &BranchId| organisation.branch(id).ok().map(|view| BranchRow::of(id, &view));
    Json(Page::whole(organisation.branches().filter_map(|(id, _)| row(id)).collect()))
}

async fn one(
    State(office): State<Office>,
    Segment(branch): Segment<BranchId>,
) -> Result<Json<BranchRow>, Refusal> {
    let organisation = office.front.organisation();
    let view =
        organisation.branch(&branch).map_err(|_| Refusal::BranchNotFound { branch: branch.clone() })?;
    Ok(Json(BranchRow::of(&branch, &view)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct RegisterQuery {
    /// 哪一天（服务中心时区）；缺省为今天 / the day in the branch's zone; today if left out.
    day: Option<NaiveDate>,
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many lines.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

async fn register(
    State(office): State<Office>,
    Segment(branch): Segment<BranchId>,
    Params(query): Params<RegisterQuery>,
) -> Result<Json<RepairRegister>, Refusal> {
    office.known_branch(&branch)?;
    let page = PageQuery::new(query.cursor, query.limit).into_page(&office.front.config)?;
    let day = match query.day {
        Some(day) => day,
        None => office.front.organisation().branch(&branch)?.calendar.local_date(office.front.now()),
    };
    Ok(Json(office.ask(move |models| models.repair_register(&branch, day, &page)).await?))
}

async fn board(
    State(office): State<Office>,
    Segment(branch): Segment<BranchId>,
) -> Result<Json<DispatchBoard>, Refusal> {
    Ok(Json(office.board(branch).await?))
}

impl Office {
    /// The dispatch board of a branch, now.
    pub(crate) async fn board(&self, branch: BranchId) -> Result<DispatchBoard, Refusal> {
        self.known_branch(&branch)?;
        let (now, organisation) = (self.front.now(), self.front.organisation());
        self.ask(move |models| models.board(&branch, now, &organisation)).await
    }
}

async fn load(
    State(office): State<Office>,
    Segment(branch): Segment<BranchId>,
) -> Result<Json<Page<TechnicianLoad>>, Refusal> {
    office.known_branch(&branch)?;
    Ok(Json(Page::whole(office.ask(move |models| models.technician_load(&branch)).await?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ProposalsQuery {
    /// 工单 / the ticket that somebody is to go to.
    #[param(value_type = String, format = Uuid)]
    ticket: TicketId,
}

async fn proposals(
    State(office): State<Office>,
    Segment(branch): Segment<BranchId>,
    Params(query): Params<ProposalsQuery>,
) -> Result<Json<Page<Proposal>>, Refusal> {
    office.known_branch(&branch)?;
    let organisation = office.front.organisation();
    let proposals = office.ask(move |models| {
        let row = models.ticket(query.ticket)?.filter(|row| row.branch == branch);
        row.map(|row| models.dispatch_proposals(row.ticket, &organisation)).transpose()
    });
    Ok(Json(Page::whole(proposals.await?.ok_or(Rejection::TicketNotFound)?)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct OverdueQuery {
    /// 服务中心 / of this branch.
    #[param(inline)]
    branch: Option<BranchId>,
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many rows.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

async fn overdue(
    State(office): State<Office>,
    Params(query): Params<OverdueQuery>,
) -> Result<Json<Page<OverdueRow>>, Refusal> {
    let page = PageQuery::new(query.cursor, query.limit).into_page(&office.front.config)?;
    Ok(Json(office.ask(move |models| models.overdue(query.branch.as_ref(), &page)).await?.into()))
}
