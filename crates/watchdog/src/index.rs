//! Every open clock in order of its due instant: a pure fold of the log, in memory.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::{ClockBasis, TicketEvent};

/// A clock whose limit is broken, or will be. Ordered by when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DueClock {
    /// When it is looked at: its due instant, or later, where that had passed before anybody told us.
    pub wakes_at: Instant,
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
    due: Option<Due>,
    branch: u32,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    wakes_at: Instant,
    due_at: Instant,
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
    /// When the first of all running clocks is to be looked at: its due instant, where that lies ahead.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|clock| clock.wakes_at)
    }

    /// Up to `limit` clocks to be looked at before `now`, by due instant (R38: at the instant is in time).
    pub fn overdue(&self, now: Instant, limit: usize) -> Vec<DueClock> {
        let mut due: Vec<_> =
            self.due.iter().take_while(|clock| clock.wakes_at < now).take(limit).copied().collect();
        due.sort_by_key(|clock| clock.due_at);
        due
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
        let due = due_at.map(|due_at| Due { wakes_at: due_at, due_at });
        self.set((ticket, clock, cycle), OpenClock { due, branch });
    }

    /// Lets clocks rest until `until` whose limits were broken before `told_at`, when we were told of them: those that
    /// this commit started, resumed or moved, and those of the ticket that rest already.
    ///
    /// A late entry seldom comes alone: the call that is entered on Monday was answered on Friday, and that is
    /// entered next. Nothing is late by this that was not late before.
    pub fn let_settle(&mut self, ticket: TicketId, events: &[TicketEvent], told_at: Instant, until: Instant) {
        let told_now = |kind: ClockKind, of_cycle: u32| {
            let gives_due = |event: &TicketEvent| match event {
                TicketEvent::ClockStarted { clock, cycle, .. }
                | TicketEvent::ClockResumed { clock, cycle, .. }
                | TicketEvent::DeadlineMoved { clock, cycle, .. } => (*clock, *cycle) == (kind, of_cycle),
                _ => false,
            };
            events.iter().any(gives_due)
        };
        for kind in ClockKind::ALL {
            let cycles = (ticket, *kind, 0)..=(ticket, *kind, u32::MAX);
            let rests = |(_, kind, cycle): ClockId, due: Due| {
                due.due_at < told_at && (due.wakes_at > due.due_at || told_now(kind, cycle))
            };
            let of_ticket = self.open.range(cycles).filter_map(|(id, open)| Some((*id, *open, open.due?)));
            let resting: Vec<_> = of_ticket.filter(|(id, _, due)| rests(*id, *due)).collect();
            for (id, open, due) in resting {
                self.set(id, OpenClock { due: Some(Due { wakes_at: until, ..due }), ..open });
            }
        }
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
        self.due.extend(due_clock(id, open));
    }

    fn remove_due(&mut self, id: ClockId, open: OpenClock) {
        if let Some(due) = due_clock(id, open) {
            self.due.remove(&due);
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

fn due_clock((ticket, clock, cycle): ClockId, open: OpenClock) -> Option<DueClock> {
    open.due.map(|Due { wakes_at, due_at }| DueClock { wakes_at, due_at, ticket, clock, cycle })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use cuiban_domain::sla::{Limit, Measure};
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
    fn r64_what_was_overdue_when_it_was_told_rests_a_while() {
        let (mut index, branch) = (DeadlineIndex::default(), BranchId::new("B0").unwrap());
        let ticket = TicketId(Uuid::nil());
        let started = |clock, due: i64| TicketEvent::ClockStarted {
            clock,
            cycle: 1,
            limit: Limit { span: "1m".parse().unwrap(), measure: Measure::Wall },
            started_at: at(0),
            due_at: at(due),
            basis: ClockBasis { policy_version: String::new(), calendar_version: String::new() },
        };
        let told = [started(ClockKind::Response, 60), started(ClockKind::Dispatch, 500)];
        told.iter().for_each(|event| index.apply(ticket, &branch, event));
        index.let_settle(ticket, &told, at(100), at(105));
        assert!(index.overdue(at(105), 9).is_empty());
        assert_eq!(index.overdue(at(106), 9)[0].due_at, at(60));
        assert_eq!(index.overdue(at(501), 9).len(), 2);
        // A limit that was known and ran out is not put off by a late entry about something else.
        index.let_settle(ticket, &[], at(600), at(605));
        assert!(index.overdue(at(601), 9).iter().any(|clock| clock.clock == ClockKind::Dispatch));
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
