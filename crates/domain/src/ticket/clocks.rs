//! The one place where a ticket's clocks start, stop and move.
//!
//! Whatever a command does, the clocks that it touches obey the same four facts: meeting a limit at its due
//! instant is in time (R38); a late entry that happened in time makes good (R40); a limit that was broken before
//! the command took effect is urged in the same commit, so that no breach goes without its 催办 (R61); a paused
//! clock cannot breach (R37).

use crate::aggregate::{Context, Instant};
use crate::organisation::BranchView;
use crate::rejection::Rejection;
use crate::sla::{Clock, ClockKind, ClockState, Limit, Measure, Notice, Rung};
use crate::ticket::{DeadlineReason, Ticket, TicketEvent};
use crate::working_time::WorkingTimeError;

/// Collects what one command does to the clocks of one ticket.
pub(super) struct ClockChange<'a> {
    ticket: &'a Ticket,
    context: &'a Context<'a>,
    branch: &'a BranchView<'a>,
    events: Vec<TicketEvent>,
}

impl<'a> ClockChange<'a> {
    pub(super) fn of(ticket: &'a Ticket, context: &'a Context<'a>, branch: &'a BranchView<'a>) -> Self {
        Self { ticket, context, branch, events: Vec::new() }
    }

    pub(super) fn into_events(self) -> Vec<TicketEvent> {
        self.events
    }

    /// Starts the clock that policy gives this case; where policy gives none, none runs.
    pub(super) fn start(&mut self, kind: ClockKind, at: Instant) -> Result<(), Rejection> {
        match self.branch.policy.limit(kind, self.ticket.case()?.facts()) {
            Some(limit) => self.start_with(kind, limit, at),
            None => Ok(()),
        }
    }

    /// Starts a clock with a limit of its own (R32).
    pub(super) fn start_with(&mut self, kind: ClockKind, limit: Limit, at: Instant) -> Result<(), Rejection> {
        let due_at = limit.due_at(at, limit.span.duration(), self.branch.calendar).map_err(not_computable)?;
        let basis = self.branch.basis.clone();
        let cycle = self.ticket.cycle;
        self.events.push(TicketEvent::ClockStarted {
            clock: kind,
            cycle,
            limit,
            started_at: at,
            due_at,
            basis,
        });
        Ok(())
    }

    /// What the clock waits for was done at `at`.
    pub(super) fn fulfil(&mut self, kind: ClockKind, at: Instant) {
        let Some(clock) = self.ticket.clock(kind) else { return };
        let (kind, cycle) = (clock.kind, clock.cycle);
        let met = |late_recorded| TicketEvent::ClockMet { clock: kind, cycle, met_at: at, late_recorded };
        match clock.state {
            ClockState::Running { due_at } if at <= due_at => {
                self.events.push(met(self.context.now > due_at))
            }
            ClockState::Running { due_at } => {
                self.breach(clock, due_at);
                self.events.push(TicketEvent::BreachEnded { clock: kind, cycle, ended_at: at });
            }
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
                ClockState::Running { due_at } if at > due_at => self.breach(clock, due_at),
                ClockState::Running { .. } => self.stand_still(clock, at),
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
                let due_at = clock.due_from(at, clock.limit, self.branch.calendar).map_err(not_computable)?;
                let (basis, cycle) = (self.branch.basis.clone(), clock.cycle);
                self.events.push(TicketEvent::ClockResumed {
                    clock: clock.kind,
                    cycle,
                    resumed_at: at,
                    due_at,
                    basis,
                });
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
            ClockState::Running { due_at } if at > due_at => {
                self.breach(clock, due_at);
                self.events.push(TicketEvent::BreachEnded { clock: kind, cycle, ended_at: at });
            }
            ClockState::Running { .. } | ClockState::Paused { .. } => {
                self.events.push(TicketEvent::ClockCancelled { clock: kind, cycle, cancelled_at: at });
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
        }
        Ok(())
    }

    /// The limit is broken: the breach and its 催办 in one breath (R60).
    pub(super) fn breach(&mut self, clock: &Clock, due_at: Instant) {
        let (kind, cycle) = (clock.kind, clock.cycle);
        let late_by = (self.context.now - due_at).to_std().unwrap_or_default();
        self.events.push(TicketEvent::SlaBreached { clock: kind, cycle, due_at });
        self.events.push(TicketEvent::ExpediteNoticeIssued {
            notice: Notice { clock: kind, cycle, rung: Rung::Breach, repetition: 0 },
            due_at,
            addressee: self.ticket.owes(kind),
            informed: self.branch.supervisors(),
            late: late_by > self.branch.policy.late_after.duration(),
        });
    }

    fn stand_still(&mut self, clock: &Clock, at: Instant) {
        self.events.push(TicketEvent::ClockPaused {
            clock: clock.kind,
            cycle: clock.cycle,
            paused_at: at,
            consumed: clock.consumed_at(at, self.branch.calendar),
        });
    }

    fn supersede(&mut self, clock: &Clock) {
        let superseded =
            clock.notices.iter().map(|notice| TicketEvent::ExpediteNoticeSuperseded { notice: *notice });
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
