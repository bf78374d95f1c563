//! What an event does to a ticket's clocks: as the domain's fold of them, on rows.

use std::time::Duration;

use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::{ClockBasis, TicketEvent};

use crate::rows::{ClockRow, ClockStanding};

/// Folds one event into the clocks. Events that concern no clock change nothing.
pub(crate) fn fold(clocks: &mut Vec<ClockRow>, event: &TicketEvent) {
    use TicketEvent as E;
    match event {
        E::ClockStarted { clock, cycle, .. } => {
            // One that was cancelled and is owed again begins anew under the same identity.
            let before = clocks.iter().position(|row| row.clock == *clock && row.cycle == *cycle);
            let notices = before.map(|index| clocks.remove(index).notices).unwrap_or_default();
            clocks.extend(started(event).map(|row| ClockRow { notices, ..row }));
        }
        E::ClockMet { clock, cycle, met_at, late_recorded } => change(clocks, *clock, *cycle, |row| {
            (row.standing, row.ended_at) = (ClockStanding::Met, Some(*met_at));
            (row.late_recorded, row.paused_since) = (*late_recorded, None);
        }),
        E::ClockPaused { clock, cycle, paused_at, consumed } => change(clocks, *clock, *cycle, |row| {
            (row.standing, row.consumed) = (ClockStanding::Paused, *consumed);
            (row.due_at, row.paused_since) = (None, Some(*paused_at));
        }),
        E::ClockResumed { clock, cycle, resumed_at, due_at, basis } => {
            change(clocks, *clock, *cycle, |row| {
                (row.standing, row.running_since) = (ClockStanding::Running, *resumed_at);
                (row.due_at, row.paused_since) = (Some(*due_at), None);
                row.set_basis(basis);
            });
        }
        E::DeadlineMoved { clock, cycle, limit, to, basis, .. } => change(clocks, *clock, *cycle, |row| {
            row.limit = *limit;
            row.set_basis(basis);
            if let Some(due_at) = to {
                (row.standing, row.due_at, row.paused_since) = (ClockStanding::Running, Some(*due_at), None);
            }
        }),
        E::ClockCancelled { clock, cycle, cancelled_at } => change(clocks, *clock, *cycle, |row| {
            (row.standing, row.ended_at) = (ClockStanding::Cancelled, Some(*cancelled_at));
            row.paused_since = None;
        }),
        E::SlaBreached { clock, cycle, due_at } => change(clocks, *clock, *cycle, |row| {
            (row.standing, row.due_at) = (ClockStanding::Breached, Some(*due_at));
            (row.ended_at, row.paused_since) = (None, None);
        }),
        E::BreachEnded { clock, cycle, ended_at } => change(clocks, *clock, *cycle, |row| {
            if row.standing == ClockStanding::Breached {
                (row.standing, row.ended_at) = (ClockStanding::BreachEnded, Some(*ended_at));
            }
        }),
        E::ExpediteNoticeIssued { notice, .. } => {
            change(clocks, notice.clock, notice.cycle, |row| row.notices.push(*notice));
        }
        _ => {}
    }
}

fn started(event: &TicketEvent) -> Option<ClockRow> {
    let TicketEvent::ClockStarted { clock, cycle, limit, started_at, due_at, basis } = event else {
        return None;
    };
    Some(ClockRow {
        clock: *clock,
        cycle: *cycle,
        standing: ClockStanding::Running,
        limit: *limit,
        started_at: *started_at,
        due_at: Some(*due_at),
        consumed: Duration::ZERO,
        running_since: *started_at,
        paused_since: None,
        ended_at: None,
        late_recorded: false,
        policy_version: basis.policy_version.clone(),
        calendar_version: basis.calendar_version.clone(),
        notices: Vec::new(),
    })
}

fn change(clocks: &mut [ClockRow], kind: ClockKind, cycle: u32, change: impl FnOnce(&mut ClockRow)) {
    if let Some(row) = clocks.iter_mut().find(|row| row.clock == kind && row.cycle == cycle) {
        change(row);
    }
}

impl ClockRow {
    fn set_basis(&mut self, basis: &ClockBasis) {
        self.policy_version.clone_from(&basis.policy_version);
        self.calendar_version.clone_from(&basis.calendar_version);
    }
}
