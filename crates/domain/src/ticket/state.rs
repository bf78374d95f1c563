//! The folded ticket: what decisions need to know of its past.

use crate::aggregate::{Aggregate, Class, Context, Happened, Instant};
use crate::ids::{BranchId, Number, StaffId};
use crate::people::{Department, Party};
use crate::rejection::Rejection;
use crate::sla::{Clock, ClockKind, ClockState};
use crate::ticket::case::Case;
use crate::ticket::{TicketCommand, TicketEvent};
use crate::working_time::Pause;

/// Whether a ticket is there and open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Nothing was registered under this id.
    #[default]
    Absent,
    /// Being worked on.
    Open,
    /// 结案.
    Closed,
    /// 取消.
    Cancelled,
    /// Goes on under another number (R5).
    Merged,
}

/// How far the work at the customer's has come in this cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody was sent.
    #[default]
    Waiting,
    /// 派工.
    Dispatched,
    /// 抵达.
    Arrived,
    /// Fixed on the spot.
    Fixed,
}

/// One ticket (工单) as its events left it.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    /// Whether it is there and open.
    pub lifecycle: Lifecycle,
    /// How far the work has come.
    pub stage: Stage,
    /// The present cycle, counted from 1 (R39).
    pub cycle: u32,
    /// When the first answer was given.
    pub responded_at: Option<Instant>,
    /// Since when the work stands still.
    pub paused_since: Option<Instant>,
    /// Who was sent, in this cycle.
    pub technician: Option<StaffId>,
    /// Who is in charge.
    pub handler: Option<StaffId>,
    /// Whether a technician has to come.
    pub needs_visit: bool,
    /// Every clock of every cycle, oldest first.
    pub clocks: Vec<Clock>,
    /// When the present cycle began: the call, or its last reopening.
    pub(super) cycle_began_at: Option<Instant>,
    /// When the last thing happened that later things cannot precede.
    pub(super) not_before: Option<Instant>,
    /// When the work stood still, in order.
    pub(super) pauses: Vec<Pause>,
    pub(super) case: Option<Box<Case>>,
}

impl Ticket {
    pub(super) fn case(&self) -> Result<&Case, Rejection> {
        self.case.as_deref().ok_or(Rejection::TicketNotFound)
    }

    /// The case of an open ticket.
    pub(super) fn open_case(&self) -> Result<&Case, Rejection> {
        let case = self.case()?;
        if self.lifecycle == Lifecycle::Open { Ok(case) } else { Err(Rejection::TicketEnded) }
    }

    /// The case of an open ticket whose work did not stand still at `at`.
    pub(super) fn working_case(&self, at: Instant) -> Result<&Case, Rejection> {
        let case = self.open_case()?;
        let covers = |pause: &&Pause| pause.from <= at && pause.until.is_none_or(|until| at < until);
        let pause = self.pauses.iter().find(covers);
        pause.map_or(Ok(case), |pause| Err(Rejection::TicketPaused { since: pause.from }))
    }

    /// This ticket after these events of the decision at hand.
    pub(super) fn after<'e>(
        &self,
        events: impl IntoIterator<Item = &'e TicketEvent>,
        context: &Context<'_>,
    ) -> Self {
        let mut after = self.clone();
        for event in events {
            after.evolve(event, context.happened());
        }
        after
    }

    /// The branch that the ticket belongs to now.
    pub fn branch(&self) -> Option<&BranchId> {
        self.case.as_deref().map(|case| &case.branch)
    }

    /// The ticket's number.
    pub fn number(&self) -> Option<&Number> {
        self.case.as_deref().map(|case| &case.number)
    }

    /// The clock of this kind in its latest cycle.
    pub fn clock(&self, kind: ClockKind) -> Option<&Clock> {
        self.clocks.iter().rev().find(|clock| clock.kind == kind)
    }

    /// Who owes the next step that this clock waits for (R60).
    pub(super) fn owes(&self, kind: ClockKind) -> Party {
        match (kind, &self.technician, &self.handler) {
            (ClockKind::Dispatch, Some(technician), _) => Party::Staff(technician.clone()),
            (ClockKind::Dispatch, None, _) => Party::Department(Department::Dispatch),
            (_, _, Some(handler)) => Party::Staff(handler.clone()),
            (_, _, None) => Party::Department(Department::Customer),
        }
    }

    fn clock_mut(&mut self, kind: ClockKind, cycle: u32) -> Option<&mut Clock> {
        self.clocks.iter_mut().find(|clock| clock.kind == kind && clock.cycle == cycle)
    }

    fn evolve_clock(&mut self, event: &TicketEvent) {
        use TicketEvent as E;
        match event {
            E::ClockStarted { clock: kind, cycle, limit, started_at, due_at, .. } => {
                if *kind == ClockKind::Response {
                    self.responded_at = None;
                }
                // One that was cancelled and is owed again begins anew under the same identity.
                let before = self.clocks.iter().position(|one| one.kind == *kind && one.cycle == *cycle);
                let before = before.map(|index| self.clocks.remove(index));
                let (notices, superseded) =
                    before.map(|before| (before.notices, before.superseded)).unwrap_or_default();
                self.clocks.push(Clock {
                    kind: *kind,
                    cycle: *cycle,
                    limit: *limit,
                    started_at: *started_at,
                    consumed: std::time::Duration::ZERO,
                    running_since: *started_at,
                    state: ClockState::Running { due_at: *due_at },
                    notices,
                    superseded,
                });
            }
            E::ClockMet { clock, cycle, met_at, late_recorded } => {
                let state = ClockState::Met { at: *met_at, late_recorded: *late_recorded };
                self.set_clock(*clock, *cycle, state);
            }
            E::ClockPaused { clock, cycle, paused_at, consumed } => {
                if let Some(clock) = self.clock_mut(*clock, *cycle) {
                    clock.consumed = *consumed;
                    clock.state = ClockState::Paused { since: *paused_at };
                }
            }
            E::ClockResumed { clock, cycle, resumed_at, due_at, .. } => {
                if let Some(clock) = self.clock_mut(*clock, *cycle) {
                    clock.running_since = *resumed_at;
                    clock.state = ClockState::Running { due_at: *due_at };
                }
            }
            E::DeadlineMoved { clock, cycle, limit, to, .. } => {
                if let Some(clock) = self.clock_mut(*clock, *cycle) {
                    clock.limit = *limit;
                    if let Some(due_at) = to {
                        clock.state = ClockState::Running { due_at: *due_at };
                    }
                }
            }
            E::ClockCancelled { clock, cycle, .. } => self.set_clock(*clock, *cycle, ClockState::Cancelled),
            E::SlaBreached { clock, cycle, due_at } => {
                self.set_clock(*clock, *cycle, ClockState::Breached { due_at: *due_at, ended_at: None });
            }
            E::BreachEnded { clock, cycle, ended_at } => {
                if let Some(Clock { state: ClockState::Breached { ended_at: end, .. }, .. }) =
                    self.clock_mut(*clock, *cycle)
                {
                    *end = Some(*ended_at);
                }
            }
            E::ExpediteNoticeIssued { notice, .. } => {
                if let Some(clock) = self.clock_mut(notice.clock, notice.cycle) {
                    clock.notices.push(*notice);
                }
            }
            E::ExpediteNoticeSuperseded { notice } => {
                if let Some(clock) = self.clock_mut(notice.clock, notice.cycle) {
                    clock.superseded.push(*notice);
                }
            }
            _ => {}
        }
    }

    fn set_clock(&mut self, kind: ClockKind, cycle: u32, state: ClockState) {
        if let Some(clock) = self.clock_mut(kind, cycle) {
            clock.state = state;
        }
    }

    fn end_pause(&mut self, at: Instant) {
        self.paused_since = None;
        if let Some(pause) = self.pauses.last_mut() {
            pause.until = pause.until.or(Some(at.max(pause.from)));
        }
    }

    fn end(&mut self, lifecycle: Lifecycle, at: Instant) {
        self.lifecycle = lifecycle;
        self.end_pause(at);
        self.not_before = Some(at);
    }
}

impl Aggregate for Ticket {
    type Command = TicketCommand;
    type Event = TicketEvent;
    const KIND: &'static str = "ticket";

    fn decide(&self, command: &TicketCommand, context: &Context<'_>) -> Result<Vec<TicketEvent>, Rejection> {
        context.check_not_in_future(context.occurred_at)?;
        match self.case.as_deref().map(|case| case.reported_at) {
            Some(not_before) if context.occurred_at < not_before => {
                Err(Rejection::OccurredTooEarly { occurred_at: context.occurred_at, not_before })
            }
            _ => command.decide(self, context),
        }
    }

    fn evolve(&mut self, event: &TicketEvent, happened: Happened) {
        use TicketEvent as E;
        match event {
            E::TicketRegistered { reported_at, needs_visit, .. } => {
                self.case = Case::from_registration(event).map(Box::new);
                self.lifecycle = Lifecycle::Open;
                self.cycle = 1;
                self.needs_visit = *needs_visit;
                (self.cycle_began_at, self.not_before) = (Some(*reported_at), Some(*reported_at));
            }
            E::CustomerResponded { .. } => self.responded_at = Some(happened.occurred_at),
            E::TechnicianDispatched { technician, .. } => {
                self.technician = Some(technician.clone());
                self.stage = Stage::Dispatched;
                self.not_before = Some(happened.occurred_at);
            }
            E::TechnicianArrived { .. } => {
                self.stage = Stage::Arrived;
                self.not_before = Some(happened.occurred_at);
            }
            E::RepairFixedOnSite { .. } => {
                self.stage = Stage::Fixed;
                self.not_before = Some(happened.occurred_at);
            }
            E::TicketPaused { .. } => {
                self.paused_since = Some(happened.occurred_at);
                self.pauses.push(Pause { from: happened.occurred_at, until: None });
            }
            E::TicketResumed => self.end_pause(happened.occurred_at),
            E::TicketReclassified { kind, urgency, area, needs_visit, .. } => {
                self.needs_visit = *needs_visit;
                if let Some(case) = self.case.as_deref_mut() {
                    case.reclassify(*kind, *urgency, *area);
                }
            }
            E::AreaChanged { area } => {
                if let Some(case) = self.case.as_deref_mut() {
                    case.area = *area;
                }
            }
            E::ServiceBasisCorrected { to, .. } => {
                if let Some(case) = self.case.as_deref_mut() {
                    case.service_basis = Some(*to);
                }
            }
            E::HandlerAssigned { handler } => self.handler = Some(handler.clone()),
            E::TicketReassigned { from, to, .. } => {
                for owner in [&mut self.technician, &mut self.handler] {
                    if owner.as_ref() == Some(from) {
                        *owner = Some(to.clone());
                    }
                }
            }
            E::TicketTransferred { to, area, district, area_overrides_district, .. } => {
                (self.technician, self.handler, self.stage) = (None, None, Stage::Waiting);
                if let Some(case) = self.case.as_deref_mut() {
                    (case.branch, case.area) = (to.clone(), *area);
                    case.district = district.clone().filter(|_| !area_overrides_district);
                }
            }
            E::TicketMerged { .. } => self.end(Lifecycle::Merged, happened.occurred_at),
            E::TicketCancelled { .. } => self.end(Lifecycle::Cancelled, happened.occurred_at),
            E::TicketClosed { .. } => self.end(Lifecycle::Closed, happened.occurred_at),
            E::TicketReopened { cycle, .. } => {
                (self.lifecycle, self.stage, self.cycle) = (Lifecycle::Open, Stage::Waiting, *cycle);
                self.technician = None;
                let began_at = Some(happened.occurred_at);
                (self.cycle_began_at, self.not_before) = (began_at, began_at);
            }
            E::WorkOrderIssued { .. } | E::WorkOrderArchived | E::EmergencyRaised { .. } => {}
            clock_event => self.evolve_clock(clock_event),
        }
    }

    fn creates(command: &TicketCommand) -> bool {
        matches!(command, TicketCommand::Registration(_))
    }

    fn branch(&self, events: &[TicketEvent]) -> Option<BranchId> {
        match (self.branch(), events.first()) {
            (Some(branch), _) => Some(branch.clone()),
            (None, Some(TicketEvent::TicketRegistered { branch, .. })) => Some(branch.clone()),
            _ => None,
        }
    }

    fn class(events: &[TicketEvent]) -> Class {
        let any = |wanted: fn(&TicketEvent) -> bool| events.iter().any(wanted);
        if any(|event| matches!(event, TicketEvent::TicketTransferred { .. })) {
            Class::Transfer
        } else if any(|event| matches!(event, TicketEvent::ExpediteNoticeIssued { .. })) {
            Class::Expedite
        } else {
            Class::Case
        }
    }
}
