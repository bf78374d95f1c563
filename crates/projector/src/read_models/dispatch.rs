//! Questions of the dispatcher (派工).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, StaffId, TicketId};
use cuiban_domain::organisation::{BranchView, Organisation, StaffMember};
use cuiban_domain::people::Role;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;

use super::paging::Wanted;
use super::tickets::branches;
use super::{ReadError, ReadModels};
use crate::projections::tickets::{Index, OpenByBranch, Overdue, branch_prefix, ticket_key};
use crate::rows::{
    BoardRow, ClockStanding, DispatchBoard, OverdueRow, Page, Paged, Proposal, ProposalReason,
    TechnicianLoad, TicketRow, WorkStage,
};

impl ReadModels {
    /// The dispatch board (派工板): the open tickets that wait for a visit, or for which a technician is out.
    ///
    /// Emergencies first (R4), then work carried over (R20), then by remaining time; of two with the same time left the
    /// one of higher priority. What is paused comes last.
    pub fn board(
        &self,
        branch: &BranchId,
        now: Instant,
        organisation: &Organisation,
    ) -> Result<DispatchBoard, ReadError> {
        let view = organisation.branch(branch).map_err(|_| ReadError::UnknownBranch(branch.clone()))?;
        let rows_max = self.shared.config.list_rows_max.max(1);
        let (mut board, mut left_out) = (Vec::new(), 0);
        let mut keep_first = |board: &mut Vec<BoardRow>| {
            board.sort_by_cached_key(pressing);
            left_out += board.len().saturating_sub(rows_max);
            board.truncate(rows_max);
        };
        self.each_open_ticket(branch, |row| {
            if row.needs_visit && row.stage != WorkStage::Fixed {
                board.push(board_row(&row, now, &view));
            }
            if board.len() >= rows_max.saturating_mul(2) {
                keep_first(&mut board);
            }
        })?;
        keep_first(&mut board);
        Ok(DispatchBoard { data: board, left_out })
    }

    /// Broken limits whose debt is open, the oldest due instant first; of one branch or of all.
    pub fn overdue(&self, branch: Option<&BranchId>, page: &Page) -> Result<Paged<OverdueRow>, ReadError> {
        let wanted = Wanted::of(page, &self.shared.config)?;
        self.shared.tickets.query(|rows| {
            let prefixes = branches(rows, branch)?;
            let lists = prefixes.iter().map(|prefix| wanted.under::<Overdue>(rows, prefix));
            wanted.page(lists.collect(), |entry| {
                Ok(rows.get::<TicketRow>(&ticket_key(entry.ticket))?.and_then(|row| overdue_row(row, entry)))
            })
        })
    }

    /// How many broken limits' debts are open; counted up to [`crate::Config::list_rows_max`].
    pub fn overdue_count(&self) -> Result<usize, ReadError> {
        let rows_max = self.shared.config.list_rows_max.max(1);
        self.shared.tickets.query(|rows| {
            let counted = rows.walk::<Overdue>(&crate::Key::new()).take(rows_max);
            counted.map(|row| row.map(|_| 1)).sum()
        })
    }

    /// The open visits of a branch by technician (R11); technicians without any are not listed.
    pub fn technician_load(&self, branch: &BranchId) -> Result<Vec<TechnicianLoad>, ReadError> {
        let mut loads = BTreeMap::new();
        self.each_open_ticket(branch, |row| {
            let is_out = matches!(row.stage, WorkStage::Dispatched | WorkStage::Arrived);
            let Some(technician) = row.technician.filter(|_| is_out) else { return };
            let load: &mut TechnicianLoad = loads
                .entry(technician.clone())
                .or_insert_with(|| TechnicianLoad { technician, open_visits: 0, visits: Vec::new() });
            load.open_visits += 1;
            load.visits.extend(row.visit);
        })?;
        let mut loads: Vec<_> = loads.into_values().collect();
        loads.iter_mut().for_each(|load| load.visits.sort_by_key(|visit| (visit.from, visit.until)));
        Ok(loads)
    }

    /// Who could go to a ticket, the best first, with reasons (R11): by skill, area and present load. Empty for a
    /// ticket that is unknown or at a branch that the organisation does not know.
    pub fn dispatch_proposals(
        &self,
        ticket: TicketId,
        organisation: &Organisation,
    ) -> Result<Vec<Proposal>, ReadError> {
        let Some(row) = self.ticket(ticket)? else { return Ok(Vec::new()) };
        let Ok(view) = organisation.branch(&row.branch) else { return Ok(Vec::new()) };
        let loads = self.technician_load(&row.branch)?;
        let loads: BTreeMap<_, _> =
            loads.into_iter().map(|load| (load.technician, load.open_visits)).collect();
        let load_of = |staff: &StaffId| loads.get(staff).copied().unwrap_or_default();
        let can_go =
            |member: &&StaffMember| member.role == Role::Technician && view.active_staff(&member.id).is_ok();
        let technicians: Vec<_> = view.branch.staff.values().filter(can_go).collect();
        let busy = technicians.iter().map(|member| load_of(&member.id)).filter(|load| *load > 0);
        let lightest = busy.min();
        let mut proposals: Vec<_> = technicians
            .iter()
            .map(|member| {
                let open_visits = load_of(&member.id);
                let mut reasons = vec![skill(member, &row), area(member, &row)];
                reasons.extend((open_visits == 0).then_some(ProposalReason::Free));
                reasons.extend((Some(open_visits) == lightest).then_some(ProposalReason::LightestLoad));
                let (technician, name) = (member.id.clone(), member.name.clone());
                Proposal { technician, name, open_visits, reasons }
            })
            .collect();
        proposals.sort_by(|one, other| rank(one).cmp(&rank(other)));
        Ok(proposals)
    }

    /// Shows every open ticket of a branch to `see`, the latest call first.
    fn each_open_ticket(&self, branch: &BranchId, mut see: impl FnMut(TicketRow)) -> Result<(), ReadError> {
        self.shared.tickets.query(|rows| {
            for entry in rows.walk::<OpenByBranch>(&branch_prefix(branch)) {
                let (_, Index(ticket)) = entry?;
                rows.get::<TicketRow>(&ticket_key(ticket))?.into_iter().for_each(&mut see);
            }
            Ok(())
        })
    }
}

/// What comes first on the board: emergencies (R4), carried-over work (R20), the least time left.
fn pressing(row: &BoardRow) -> impl Ord + use<> {
    let group = match row {
        BoardRow { paused_since: Some(_), .. } => 3,
        BoardRow { urgency: Urgency::Emergency, .. } => 0,
        BoardRow { carried_over: true, .. } => 1,
        _ => 2,
    };
    let time_left = (row.remaining_s.is_none(), row.remaining_s, row.due_at);
    (group, time_left, row.priority, row.reported_at, row.ticket)
}

fn board_row(row: &TicketRow, now: Instant, branch: &BranchView<'_>) -> BoardRow {
    let clock = row.clock(ClockKind::Dispatch).filter(|clock| clock.cycle == row.cycle);
    let remaining = clock.and_then(|clock| clock.remaining_at(now, branch));
    let called_at = clock.map_or(row.reported_at, |clock| clock.started_at);
    BoardRow {
        ticket: row.ticket,
        number: row.number.clone(),
        kind: row.kind,
        customer: row.customer.clone(),
        product_model: row.product_model.clone(),
        urgency: row.urgency,
        priority: row.priority,
        area: row.area,
        district: row.district.clone(),
        stage: row.stage,
        technician: row.technician.clone(),
        visit: row.visit,
        reported_at: row.reported_at,
        carried_over: row.stage == WorkStage::Waiting && working_day_ended(called_at, now, branch),
        standing: clock.map(|clock| clock.standing),
        due_at: clock.and_then(|clock| clock.due_at),
        remaining_s: remaining.map(|remaining| remaining.as_secs()),
        paused_since: row.paused_since,
        pause_reason: row.pause_reason,
        notices_count: row.notices_count,
        possible_duplicate_of: row.possible_duplicate_of,
    }
}

/// Whether the working day of a call is over (R20). A call outside of working time belongs to the next working day.
fn working_day_ended(called_at: Instant, now: Instant, branch: &BranchView<'_>) -> bool {
    let first = branch.calendar.next_working_instant(called_at).ok();
    first.and_then(|first| branch.calendar.end_of_working_day(first)).is_some_and(|end| end <= now)
}

fn overdue_row(row: TicketRow, entry: Overdue) -> Option<OverdueRow> {
    let clock = row.clocks.iter().find(|clock| clock.clock == entry.clock && clock.cycle == entry.cycle)?;
    let due_at = clock.due_at.filter(|_| clock.standing == ClockStanding::Breached)?;
    let notices_count = u32::try_from(clock.notices.len()).unwrap_or(u32::MAX);
    Some(OverdueRow {
        ticket: row.ticket,
        number: row.number,
        kind: row.kind,
        branch: row.branch,
        clock: clock.clock,
        cycle: clock.cycle,
        limit: clock.limit,
        due_at,
        customer: row.customer,
        product_model: row.product_model,
        urgency: row.urgency,
        technician: row.technician,
        handler: row.handler,
        notices_count,
    })
}

fn skill(member: &StaffMember, row: &TicketRow) -> ProposalReason {
    if member.skills.contains(&row.product_model) {
        ProposalReason::KnowsProduct
    } else if member.skills.is_empty() {
        ProposalReason::SkillsNotListed
    } else {
        ProposalReason::OtherSkills
    }
}

fn area(member: &StaffMember, row: &TicketRow) -> ProposalReason {
    if member.areas.is_empty() || member.areas.contains(&row.area) {
        ProposalReason::WorksInArea
    } else {
        ProposalReason::OtherArea
    }
}

/// Skill before area before load; the id decides between equals.
fn rank(proposal: &Proposal) -> (Reverse<bool>, bool, bool, u32, &StaffId) {
    let has = |reason| proposal.reasons.contains(&reason);
    (
        Reverse(has(ProposalReason::KnowsProduct)),
        has(ProposalReason::OtherSkills),
        has(ProposalReason::OtherArea),
        proposal.open_visits,
        &proposal.technician,
    )
}
