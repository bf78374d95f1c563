//! The one place where a ticket's clocks start, stop and move.
//!
//! Whatever a command does, the clocks that it touches obey the same four facts: meeting a limit at its due
//! instant is in time (R38); a late entry that happened in time makes good (R40); a command that would end or pause a
//! clock whose limit was broken before it took effect is refused until the notice is recorded, so that no breach goes
//! without its 催办 (R61); a paused clock cannot breach (R37). A clock that begins or moves while the ticket is paused obeys
//! them too.

use std::time::Duration;

use crate::aggregate::{Context, Instant};
use crate::organisation::BranchView;
use crate::rejection::Rejection;
use crate::sla::{Clock, ClockKind, ClockState, Limit, Measure, Notice};
use crate::ticket::{DeadlineReason, Ticket, TicketEvent};
use crate::working_time::WorkingTimeError;

/// Collects what one command does to the clocks of one ticket.
pub(super) struct ClockChange<'a> {
    ticket: &'a Ticket,
    context: &'a Context<'a>,
    branch: &'a BranchView<'a>,
    events: Vec<TicketEvent>,
    /// The notices of the limits that were broken before what is being decided.
    notices_first: Vec<Notice>,
}

impl<'a> ClockChange<'a> {
    pub(super) fn of(ticket: &'a Ticket, context: &'a Context<'a>, branch: &'a BranchView<'a>) -> Self {
        Self { ticket, context, branch, events: Vec::new(), notices_first: Vec::new() }
    }

    /// What happens to the clocks, unless notices have to be recorded before it.
    pub(super) fn into_events(self) -> Result<Vec<TicketEvent>, Rejection> {
        match self.notices_first {
            notices if notices.is_empty() => Ok(self.events),
            notices => Err(Rejection::NoticesFirst { notices }),
        }
    }

    /// Starts the clock that policy gives this case; where policy gives none, none runs.
    pub(super) fn start(&mut self, kind: ClockKind, at: Instant) -> Result<(), Rejection> {
        match self.branch.policy.limit(kind, self.ticket.case()?.facts()) {
            Some(limit) => self.start_with(kind, limit, at),
            None => Ok(()),
        }
    }

    /// Starts a clock with a limit of its own (R32), unless this cycle has it: no identity comes twice (R61).
    pub(super) fn start_with(&mut self, kind: ClockKind, limit: Limit, at: Instant) -> Result<(), Rejection> {
        if self.is_started(kind) {
            return Ok(());
        }
        let due_at = limit.due_at(at, limit.span.duration(), self.branch.calendar).map_err(not_computable)?;
        let clock = Clock {
            kind,
            cycle: self.ticket.cycle,
            limit,
            started_at: at,
            consumed: Duration::ZERO,
            running_since: at,
            state: ClockState::Running { due_at },
            notices: Vec::new(),
            superseded: Vec::new(),
        };
        self.events.push(TicketEvent::ClockStarted {
            clock: kind,
            cycle: clock.cycle,
            limit,
            started_at: at,
            due_at,
            basis: self.branch.basis.clone(),
        });
        self.stand_through_pauses(clock, due_at)
    }

    fn is_started(&self, kind: ClockKind) -> bool {
        let cycle = self.ticket.cycle;
        let runs = |clock: &Clock| {
            clock.kind == kind && clock.cycle == cycle && clock.state != ClockState::Cancelled
        };
        let begins =
            |event: &TicketEvent| matches!(event, TicketEvent::ClockStarted { clock, .. } if *clock == kind);
        self.ticket.clocks.iter().any(runs) || self.events.iter().any(begins)
    }

    /// A clock that begins in the past, or while the work stands still, has the ticket's pauses too (R37).
    fn stand_through_pauses(&mut self, mut clock: Clock, mut due_at: Instant) -> Result<(), Rejection> {
        if clock.limit.measure != Measure::Working {
            return Ok(());
        }
        for pause in &self.ticket.pauses {
            if pause.until.is_some_and(|until| until <= clock.started_at) {
                continue;
            }
            if pause.from > due_at {
                break;
            }
            clock.consumed = self.stand_still(&clock, pause.from);
            let Some(until) = pause.until else { break };
            due_at = self.run_on(&clock, until)?;
            clock.running_since = until;
        }
        Ok(())
    }

    /// What clocks of this kind wait for was done at `at`.
    pub(super) fn fulfil(&mut self, kind: ClockKind, at: Instant) {
        for clock in self.ticket.clocks.iter().filter(|clock| clock.kind == kind) {
            self.fulfil_one(clock, at);
        }
    }

    fn fulfil_one(&mut self, clock: &Clock, at: Instant) {
        let (kind, cycle) = (clock.kind, clock.cycle);
        let met = |late_recorded| TicketEvent::ClockMet { clock: kind, cycle, met_at: at, late_recorded };
        match clock.state {
            ClockState::Running { due_at } if at <= due_at => {
                self.events.push(met(self.context.now > due_at))
            }
            ClockState::Running { .. } => self.notices_first.push(clock.next_notice()),
            ClockState::Paused { .. } => self.events.push(met(false)),
            ClockState::Breached { due_at, ended_at: None } if at <= due_at => {
                self.events.push(met(true));
                self.supersede(clock);
            }
            ClockState::Breached { ended_at: None, .. } => {
                self.events.push(TicketEvent::BreachEnded { clock: kind, cycle, ended_at: at });
            }
            ClockState::Met { .. } | ClockState::Breached { .. } | ClockState::Cancelled => {}
        }
    }

    /// The working-time clocks stand still from `at` on (R37).
    pub(super) fn pause(&mut self, at: Instant) {
        for clock in self.ticket.clocks.iter().filter(|clock| clock.limit.measure == Measure::Working) {
            match clock.state {
                ClockState::Running { due_at } if at > due_at => self.notices_first.push(clock.next_notice()),
                ClockState::Running { .. } => {
                    self.stand_still(clock, at);
                }
                ClockState::Breached { due_at, ended_at: None } if at <= due_at => {
                    self.stand_still(clock, at);
                    self.supersede(clock);
                }
                _ => {}
            }
        }
    }

    /// The paused clocks run on from `at` with what was left.
    pub(super) fn resume(&mut self, at: Instant) -> Result<(), Rejection> {
        for clock in &self.ticket.clocks {
            if let ClockState::Paused { .. } = clock.state {
                self.run_on(clock, at)?;
            }
        }
        Ok(())
    }

    /// Nothing is owed any more from `at` on.
    pub(super) fn cancel_all(&mut self, at: Instant) {
        for clock in &self.ticket.clocks {
            self.cancel(clock, at);
        }
    }

    /// What this clock waits for is not owed any more.
    pub(super) fn cancel(&mut self, clock: &Clock, at: Instant) {
        let (kind, cycle) = (clock.kind, clock.cycle);
        match clock.state {
            ClockState::Running { due_at } if at > due_at => self.notices_first.push(clock.next_notice()),
            ClockState::Running { .. } | ClockState::Paused { .. } => {
                self.events.push(TicketEvent::ClockCancelled { clock: kind, cycle, cancelled_at: at });
            }
            ClockState::Breached { due_at, ended_at: None } if at <= due_at => {
                self.events.push(TicketEvent::ClockCancelled { clock: kind, cycle, cancelled_at: at });
                self.supersede(clock);
            }
            ClockState::Breached { ended_at: None, .. } => {
                self.events.push(TicketEvent::BreachEnded { clock: kind, cycle, ended_at: at });
            }
            ClockState::Met { .. } | ClockState::Breached { .. } | ClockState::Cancelled => {}
        }
    }

    /// Gives running and paused clocks the limit and the due instant that hold now (R36).
    ///
    /// A clock whose due instant has passed keeps it: that limit is broken and will be urged.
    pub(super) fn retime(&mut self, reason: DeadlineReason) -> Result<(), Rejection> {
        let facts = self.ticket.case()?.facts();
        for clock in &self.ticket.clocks {
            let limit = match clock.kind {
                ClockKind::Resolution => clock.limit,
                kind => self.branch.policy.limit(kind, facts).unwrap_or(clock.limit),
            };
            let (from, to) = match clock.state {
                ClockState::Running { due_at } if self.context.now <= due_at => {
                    let to = clock
                        .due_from(clock.running_since, limit, self.branch.calendar)
                        .map_err(not_computable)?;
                    (Some(due_at), Some(to))
                }
                ClockState::Paused { .. } => (None, None),
                _ => continue,
            };
            if from != to || limit != clock.limit {
                let (kind, cycle, basis) = (clock.kind, clock.cycle, self.branch.basis.clone());
                self.events.push(TicketEvent::DeadlineMoved {
                    clock: kind,
                    cycle,
                    limit,
                    from,
                    to,
                    reason,
                    basis,
                });
            }
            if let Some(due_at) = to {
                self.stand_still_if_paused(clock, limit, due_at);
            }
        }
        Ok(())
    }

    /// A wall clock whose new limit is working time joins the pause that the ticket is in (R37).
    fn stand_still_if_paused(&mut self, clock: &Clock, limit: Limit, due_at: Instant) {
        let turned = clock.limit.measure == Measure::Wall && limit.measure == Measure::Working;
        if let Some(since) = self.ticket.paused_since.filter(|since| turned && *since <= due_at) {
            self.stand_still(&Clock { limit, ..clock.clone() }, since);
        }
    }

    /// The limit is broken: the breach and its 催办 in one breath (R60).
    pub(super) fn breach(&mut self, clock: &Clock, due_at: Instant) {
        let (kind, cycle) = (clock.kind, clock.cycle);
        let informed = self.branch.informed();
        let late_by = (self.context.now - due_at).to_std().unwrap_or_default();
        self.events.push(TicketEvent::SlaBreached { clock: kind, cycle, due_at });
        self.events.push(TicketEvent::ExpediteNoticeIssued {
            notice: clock.next_notice(),
            due_at,
            addressee: self.ticket.owes(kind),
            informed: informed.staff,
            informed_departments: informed.departments,
            late: late_by > self.branch.policy.late_after.duration(),
        });
    }

    /// The clock stops, not before it began to run; answers what is used up.
    fn stand_still(&mut self, clock: &Clock, at: Instant) -> Duration {
        let paused_at = at.max(clock.running_since);
        let consumed = clock.consumed_at(paused_at, self.branch.calendar);
        let (kind, cycle) = (clock.kind, clock.cycle);
        self.events.push(TicketEvent::ClockPaused { clock: kind, cycle, paused_at, consumed });
        consumed
    }

    /// The clock runs on, not before it stopped; answers the due instant.
    fn run_on(&mut self, clock: &Clock, at: Instant) -> Result<Instant, Rejection> {
        let resumed_at = at.max(clock.running_since);
        let due_at = clock.due_from(resumed_at, clock.limit, self.branch.calendar).map_err(not_computable)?;
        let (basis, cycle) = (self.branch.basis.clone(), clock.cycle);
        self.events.push(TicketEvent::ClockResumed { clock: clock.kind, cycle, resumed_at, due_at, basis });
        Ok(due_at)
    }

    /// The breach turns out to be none: all notices of its episode count no more (R61).
    fn supersede(&mut self, clock: &Clock) {
        let superseded =
            clock.standing_notices().map(|notice| TicketEvent::ExpediteNoticeSuperseded { notice: *notice });
        self.events.extend(superseded);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn not_computable(error: WorkingTimeError) -> Rejection {
    Rejection::DueInstantNotComputable { detail: error.to_string() }
}

/// Refuses a time before what the command follows (R2).
pub(super) fn check_order(context: &Context<'_>, not_before: Option<Instant>) -> Result<(), Rejection> {
    match not_before {
        Some(not_before) if context.occurred_at < not_before => {
            Err(Rejection::OccurredTooEarly { occurred_at: context.occurred_at, not_before })
        }
        _ => Ok(()),
    }
}
