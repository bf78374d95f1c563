//! Every open clock in order of its due instant: a pure fold of the log, in memory.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::{ClockBasis, TicketEvent};

/// A clock whose limit is broken, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DueClock {
    /// When its limit is used up.
    pub due_at: Instant,
    /// Whose clock.
    pub ticket: TicketId,
    /// Which one.
    pub clock: ClockKind,
    /// In which cycle.
    pub cycle: u32,
}

/// An open clock: running with a due instant, or paused without.
#[derive(Clone, Copy, Debug)]
struct OpenClock {
    due_at: Option<Instant>,
    branch: u32,
}

/// A clock of one cycle: a reopening may start the next while this one still waits (R39).
type ClockId = (TicketId, ClockKind, u32);

/// The running clocks by due instant, and the paused ones beside them.
#[derive(Debug, Default)]
pub struct DeadlineIndex {
    due: BTreeSet<DueClock>,
    open: BTreeMap<ClockId, OpenClock>,
    branches: Vec<BranchId>,
}

impl DeadlineIndex {
    /// The first due instant of all running clocks.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|clock| clock.due_at)
    }

    /// Up to `limit` clocks whose due instant lies before `now`, the earliest first (R38: at the instant is in time).
    pub fn overdue(&self, now: Instant, limit: usize) -> Vec<DueClock> {
        self.due.iter().take_while(|clock| clock.due_at < now).take(limit).copied().collect()
    }

    /// How many clocks are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no clock is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The tickets with an open clock; those of one branch, if it is given.
    pub fn tickets(&self, branch: Option<&BranchId>) -> BTreeSet<TicketId> {
        let wanted = branch.map(|branch| self.branches.iter().position(|known| known == branch));
        let fits = |clock: &OpenClock| match wanted {
            None => true,
            Some(index) => index.is_some_and(|index| index == clock.branch as usize),
        };
        self.open.iter().filter(|(_, clock)| fits(clock)).map(|((ticket, ..), _)| *ticket).collect()
    }

    /// An open clock as a read model kept it.
    pub fn insert(
        &mut self,
        ticket: TicketId,
        branch: &BranchId,
        clock: ClockKind,
        cycle: u32,
        due_at: Option<Instant>,
    ) {
        let branch = self.branch_index(branch);
        self.set((ticket, clock, cycle), OpenClock { due_at, branch });
    }

    /// Folds one event of a ticket that belongs to `branch`.
    pub fn apply(&mut self, ticket: TicketId, branch: &BranchId, event: &TicketEvent) {
        use TicketEvent as E;
        match event {
            E::ClockStarted { clock, cycle, due_at, .. } | E::ClockResumed { clock, cycle, due_at, .. } => {
                self.insert(ticket, branch, *clock, *cycle, Some(*due_at));
            }
            E::DeadlineMoved { clock, cycle, to: Some(due_at), .. } => {
                self.insert(ticket, branch, *clock, *cycle, Some(*due_at));
            }
            E::ClockPaused { clock, cycle, .. } => self.insert(ticket, branch, *clock, *cycle, None),
            E::ClockMet { clock, cycle, .. }
            | E::ClockCancelled { clock, cycle, .. }
            | E::SlaBreached { clock, cycle, .. } => self.remove(ticket, *clock, *cycle),
            E::TicketTransferred { to, .. } => {
                let branch = self.branch_index(to);
                for kind in ClockKind::ALL {
                    let cycles = (ticket, *kind, 0)..=(ticket, *kind, u32::MAX);
                    self.open.range_mut(cycles).for_each(|(_, open)| open.branch = branch);
                }
            }
            _ => {}
        }
    }

    /// The basis of an event that gave a due instant.
    pub fn basis(event: &TicketEvent) -> Option<&ClockBasis> {
        match event {
            TicketEvent::ClockStarted { basis, .. }
            | TicketEvent::ClockResumed { basis, .. }
            | TicketEvent::DeadlineMoved { basis, .. } => Some(basis),
            _ => None,
        }
    }

    /// Forgets a clock: its notice was issued, or it waits for nothing.
    pub fn remove(&mut self, ticket: TicketId, clock: ClockKind, cycle: u32) {
        let id = (ticket, clock, cycle);
        if let Some(open) = self.open.remove(&id) {
            self.remove_due(id, open);
        }
    }

    fn set(&mut self, id: ClockId, open: OpenClock) {
        if let Some(previous) = self.open.insert(id, open) {
            self.remove_due(id, previous);
        }
        if let Some(due_at) = open.due_at {
            let (ticket, clock, cycle) = id;
            self.due.insert(DueClock { due_at, ticket, clock, cycle });
        }
    }

    fn remove_due(&mut self, (ticket, clock, cycle): ClockId, open: OpenClock) {
        if let Some(due_at) = open.due_at {
            self.due.remove(&DueClock { due_at, ticket, clock, cycle });
        }
    }

    fn branch_index(&mut self, branch: &BranchId) -> u32 {
        let index = self.branches.iter().position(|known| known == branch).unwrap_or_else(|| {
            self.branches.push(branch.clone());
            self.branches.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Instant {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn r38_a_clock_is_overdue_only_after_its_due_instant() {
        let (mut index, branch) = (DeadlineIndex::default(), BranchId::new("B0").unwrap());
        index.insert(TicketId(Uuid::nil()), &branch, ClockKind::Dispatch, 1, Some(at(60)));
        assert!(index.overdue(at(60), 9).is_empty());
        assert_eq!(index.overdue(at(61), 9).len(), 1);
    }

    #[test]
    fn r37_a_paused_clock_is_open_but_never_due() {
        let (mut index, branch) = (DeadlineIndex::default(), BranchId::new("B0").unwrap());
        let ticket = TicketId(Uuid::nil());
        index.insert(ticket, &branch, ClockKind::Dispatch, 1, Some(at(60)));
        index.insert(ticket, &branch, ClockKind::Dispatch, 1, None);
        assert_eq!((index.next_due(), index.len()), (None, 1));
        assert_eq!(index.tickets(Some(&branch)).len(), 1);
    }

    #[test]
    fn r39_two_cycles_of_a_clock_are_two_clocks() {
        let (mut index, branch) = (DeadlineIndex::default(), BranchId::new("B0").unwrap());
        let ticket = TicketId(Uuid::nil());
        index.insert(ticket, &branch, ClockKind::Response, 1, Some(at(60)));
        index.insert(ticket, &branch, ClockKind::Response, 2, Some(at(90)));
        assert_eq!(index.overdue(at(99), 9).len(), 2);
        index.remove(ticket, ClockKind::Response, 1);
        assert_eq!(index.next_due(), Some(at(90)));
    }
}
