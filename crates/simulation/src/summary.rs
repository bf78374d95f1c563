//! What a replay came to: a fold of its whole log.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::Event;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_schema::Commit;
use serde::Serialize;

/// The counts of a replayed history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Registered tickets.
    pub tickets: usize,
    /// By kind of clock.
    pub clocks: BTreeMap<String, ClockCounts>,
    /// Broken limits.
    pub breaches: usize,
    /// Expedite notices (催办单).
    pub notices: usize,
}

/// How the clocks of one kind ended. A clock counts as breached if it ever was in its cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockCounts {
    /// Clocks that began.
    pub started: usize,
    /// Kept.
    pub met: usize,
    /// Broken.
    pub breached: usize,
    /// Not owed any more.
    pub cancelled: usize,
    /// Still open at the end.
    pub open: usize,
}

/// Folds commits into a [`Summary`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    tickets: usize,
    notices: usize,
    states: BTreeMap<(String, ClockKind, u32), State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Open,
    Met,
    Cancelled,
    Breached,
}

impl Tally {
    pub(crate) fn add(&mut self, commit: &Commit) {
        for event in &commit.events {
            let Event::Ticket(event) = event else { continue };
            let mut set = |clock: &ClockKind, cycle: &u32, state: State| {
                let key = (commit.envelope.stream_id.clone(), *clock, *cycle);
                let current = self.states.entry(key).or_insert(state);
                *current = state.max(*current);
            };
            match event {
                TicketEvent::TicketRegistered { .. } => self.tickets += 1,
                TicketEvent::ExpediteNoticeIssued { .. } => self.notices += 1,
                TicketEvent::ClockStarted { clock, cycle, .. } => set(clock, cycle, State::Open),
                TicketEvent::ClockMet { clock, cycle, .. } => set(clock, cycle, State::Met),
                TicketEvent::ClockCancelled { clock, cycle, .. } => set(clock, cycle, State::Cancelled),
                TicketEvent::SlaBreached { clock, cycle, .. } => set(clock, cycle, State::Breached),
                _ => {}
            }
        }
    }

    pub(crate) fn summary(&self) -> Summary {
        let always = [ClockKind::Response, ClockKind::Dispatch];
        let started: BTreeSet<ClockKind> =
            self.states.keys().map(|(_, clock, _)| *clock).chain(always).collect();
        let mut clocks: BTreeMap<String, ClockCounts> =
            started.into_iter().map(|kind| (kind.to_string(), ClockCounts::default())).collect();
        for ((_, kind, _), state) in &self.states {
            let counts = clocks.entry(kind.to_string()).or_default();
            counts.started += 1;
            match state {
                State::Open => counts.open += 1,
                State::Met => counts.met += 1,
                State::Cancelled => counts.cancelled += 1,
                State::Breached => counts.breached += 1,
            }
        }
        let breaches = clocks.values().map(|counts| counts.breached).sum();
        Summary { tickets: self.tickets, clocks, breaches, notices: self.notices }
    }
}
