//! What an event does to a ticket's row.

use cuiban_domain::Happened;
use cuiban_domain::ids::{StaffId, TicketId};
use cuiban_domain::ticket::{Area, Priority, TicketEvent, TicketSummary};

use crate::projections::clocks;
use crate::rows::{ClockRow, TicketLifecycle, TicketRow, WorkStage};

impl TicketRow {
    /// The row of a ticket that was registered just now.
    pub(crate) fn registered(event: &TicketEvent, happened: Happened) -> Option<Self> {
        let TicketEvent::TicketRegistered {
            ticket,
            number,
            kind,
            customer,
            customer_level,
            channel,
            product_model,
            serial_number,
            description,
            happened_at,
            reported_at,
            branch,
            area,
            district,
            area_overrides_district: _,
            urgency,
            needs_visit,
            service_basis,
        } = event.clone()
        else {
            return None;
        };
        Some(Self {
            ticket,
            number,
            kind,
            revision: 0,
            branch,
            lifecycle: TicketLifecycle::Open,
            stage: WorkStage::Waiting,
            cycle: 1,
            customer,
            customer_level,
            channel: Some(channel),
            product_model,
            serial_number,
            description,
            area,
            district,
            urgency,
            priority: Priority::of(urgency, customer_level),
            needs_visit,
            service_basis,
            work_order: None,
            work_order_archived: false,
            technician: None,
            visit: None,
            dispatched_at: None,
            arrived_at: None,
            fixed_at: None,
            remedy: None,
            handler: None,
            happened_at,
            reported_at,
            register_day: reported_at.date_naive(),
            responded_at: None,
            paused_since: None,
            pause_reason: None,
            ended_at: None,
            merged_into: None,
            possible_duplicate_of: None,
            clocks: Vec::new(),
            notices_count: 0,
            changed_at: happened.recorded_at,
        })
    }

    /// The row of a ticket that came from a branch whose history is not known; `known` is what was known of it.
    pub(crate) fn transferred(
        ticket: TicketId,
        event: &TicketEvent,
        known: Option<Self>,
        happened: Happened,
    ) -> Option<Self> {
        let TicketEvent::TicketTransferred { to, area, district, summary, .. } = event else { return None };
        let mut row = match known {
            Some(known) => known,
            None => Self::of_summary(ticket, to.clone(), *area, summary, happened),
        };
        let TicketSummary { clocks, responded_at, urgency, needs_visit, kind, .. } = summary.as_ref();
        (row.branch, row.area, row.district) = (to.clone(), *area, district.clone());
        (row.lifecycle, row.ended_at) = (TicketLifecycle::Open, None);
        (row.responded_at, row.urgency, row.needs_visit, row.kind) =
            (*responded_at, *urgency, *needs_visit, *kind);
        row.priority = Priority::of(*urgency, row.customer_level);
        row.clocks = clocks.iter().map(ClockRow::from).collect();
        row.cycle = clocks.iter().map(|clock| clock.cycle).max().unwrap_or(1);
        let notices = row.clocks.iter().map(|clock| clock.notices.len()).sum::<usize>();
        row.notices_count = u32::try_from(notices).unwrap_or(u32::MAX);
        row.begin_work_anew();
        row.handler = None;
        row.paused_since = row.clocks.iter().filter_map(|clock| clock.paused_since).min();
        Some(row)
    }

    fn of_summary(
        ticket: TicketId,
        branch: cuiban_domain::ids::BranchId,
        area: Area,
        summary: &TicketSummary,
        happened: Happened,
    ) -> Self {
        let summary = summary.clone();
        Self {
            ticket,
            number: summary.number,
            kind: summary.kind,
            revision: 0,
            branch,
            lifecycle: TicketLifecycle::Open,
            stage: WorkStage::Waiting,
            cycle: 1,
            customer: summary.customer,
            customer_level: summary.customer_level,
            channel: None,
            product_model: summary.product_model,
            serial_number: summary.serial_number,
            description: summary.description,
            area,
            district: None,
            urgency: summary.urgency,
            priority: Priority::of(summary.urgency, summary.customer_level),
            needs_visit: summary.needs_visit,
            service_basis: None,
            work_order: None,
            work_order_archived: false,
            technician: None,
            visit: None,
            dispatched_at: None,
            arrived_at: None,
            fixed_at: None,
            remedy: None,
            handler: None,
            happened_at: None,
            reported_at: summary.reported_at,
            register_day: summary.reported_at.date_naive(),
            responded_at: summary.responded_at,
            paused_since: None,
            pause_reason: None,
            ended_at: None,
            merged_into: None,
            possible_duplicate_of: None,
            clocks: Vec::new(),
            notices_count: 0,
            changed_at: happened.recorded_at,
        }
    }

    /// Folds one more event into the row.
    pub(crate) fn fold(&mut self, event: &TicketEvent, happened: Happened) {
        use TicketEvent as E;
        let at = happened.occurred_at;
        match event {
            E::WorkOrderIssued { work_order } => self.work_order = Some(work_order.clone()),
            E::CustomerResponded { .. } => self.responded_at = Some(at),
            E::TechnicianDispatched { technician, visit } => {
                (self.technician, self.visit) = (Some(technician.clone()), *visit);
                (self.stage, self.dispatched_at) = (WorkStage::Dispatched, Some(at));
            }
            E::TechnicianArrived { .. } => {
                (self.stage, self.arrived_at) = (WorkStage::Arrived, Some(at));
            }
            E::RepairFixedOnSite { remedy, .. } => {
                (self.stage, self.fixed_at) = (WorkStage::Fixed, Some(at));
                self.remedy = Some(remedy.clone());
            }
            E::WorkOrderArchived => self.work_order_archived = true,
            E::TicketPaused { reason, .. } => {
                (self.paused_since, self.pause_reason) = (Some(at), Some(*reason));
            }
            E::TicketResumed => (self.paused_since, self.pause_reason) = (None, None),
            E::TicketReclassified { kind, urgency, area, needs_visit, .. } => {
                (self.kind, self.urgency, self.area) = (*kind, *urgency, *area);
                self.priority = Priority::of(*urgency, self.customer_level);
                self.needs_visit = *needs_visit;
            }
            E::AreaChanged { area } => self.area = *area,
            E::ServiceBasisCorrected { to, .. } => self.service_basis = Some(*to),
            E::HandlerAssigned { handler } => self.handler = Some(handler.clone()),
            E::TicketReassigned { from, to, .. } => self.pass_on(from, to),
            E::TicketTransferred { to, area, district, .. } => {
                (self.branch, self.area, self.district) = (to.clone(), *area, district.clone());
                self.begin_work_anew();
                self.handler = None;
            }
            E::TicketMerged { into, .. } => {
                self.end(TicketLifecycle::Merged, happened);
                self.merged_into = Some(*into);
            }
            E::TicketCancelled { .. } => self.end(TicketLifecycle::Cancelled, happened),
            E::TicketClosed { .. } => self.end(TicketLifecycle::Closed, happened),
            E::TicketReopened { cycle, .. } => {
                (self.lifecycle, self.ended_at, self.cycle) = (TicketLifecycle::Open, None, *cycle);
                self.begin_work_anew();
            }
            E::ExpediteNoticeSuperseded { .. } => {
                self.notices_count = self.notices_count.saturating_sub(1);
            }
            E::ExpediteNoticeIssued { .. } => self.notices_count = self.notices_count.saturating_add(1),
            E::ClockStarted { clock: cuiban_domain::sla::ClockKind::Response, .. } => {
                self.responded_at = None;
            }
            _ => {}
        }
        clocks::fold(&mut self.clocks, event);
    }

    /// The ticket went where nothing more is heard of it.
    pub(crate) fn hand_over(&mut self, happened: Happened) {
        self.end(TicketLifecycle::HandedOver, happened);
    }

    fn pass_on(&mut self, from: &StaffId, to: &StaffId) {
        for owner in [&mut self.technician, &mut self.handler] {
            if owner.as_ref() == Some(from) {
                *owner = Some(to.clone());
            }
        }
    }

    /// Nobody was sent yet: in a new cycle, or at another branch.
    fn begin_work_anew(&mut self) {
        (self.stage, self.technician, self.visit) = (WorkStage::Waiting, None, None);
        (self.dispatched_at, self.arrived_at, self.fixed_at) = (None, None, None);
        self.remedy = None;
    }

    fn end(&mut self, lifecycle: TicketLifecycle, happened: Happened) {
        (self.lifecycle, self.ended_at) = (lifecycle, Some(happened.occurred_at));
        (self.paused_since, self.pause_reason) = (None, None);
    }
}
