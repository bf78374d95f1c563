//! Every open clock in order of its due instant: a pure fold of the log, in memory.
//!
//! There may be millions, so each has one small place, found by its ticket's hash and ordered by when it wakes; a place
//! that is given up is used again. Instants are kept to the microsecond, as the log has them.

use std::collections::{BTreeSet, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::{ClockKind, ClockState};
use cuiban_domain::ticket::{ClockBasis, Ticket, TicketEvent};
use hashbrown::HashTable;

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

/// A clock of one cycle: a reopening may start the next while this one still waits (R39).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClockId {
    ticket: TicketId,
    clock: ClockKind,
    cycle: u32,
}

/// An open clock: running with a due instant, or paused without.
#[derive(Clone, Copy, Debug)]
struct OpenClock {
    id: ClockId,
    branch: u32,
    due: Due,
}

/// Microseconds since 1970; [`PAUSED`] in both for a clock that does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    wakes_us: i64,
    due_us: i64,
}

const PAUSED: Due = Due { wakes_us: i64::MAX, due_us: i64::MAX };

/// The running clocks by due instant, and the paused ones beside them.
#[derive(Debug, Default)]
pub struct DeadlineIndex {
    /// The clocks, each in its place; given-up places keep what was there.
    places: Vec<OpenClock>,
    given_up: Vec<u32>,
    /// The places in use, by their tickets.
    by_ticket: HashTable<u32>,
    /// The places of running clocks, by when they wake.
    due: BTreeSet<(i64, u32)>,
    branches: Vec<BranchId>,
}

impl DeadlineIndex {
    /// When the first of all running clocks is to be looked at: its due instant, where that lies ahead.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().and_then(|(wakes_us, _)| Instant::from_timestamp_micros(*wakes_us))
    }

    /// Up to `limit` clocks to be looked at before `now`, by due instant (R38: at the instant is in time).
    pub fn overdue(&self, now: Instant, limit: usize) -> Vec<DueClock> {
        let woken = self.due.iter().filter_map(|(_, place)| self.open(*place).due_clock());
        let mut due: Vec<_> = woken.take_while(|clock| clock.wakes_at < now).take(limit).collect();
        due.sort_by_key(|clock| (clock.due_at, *clock));
        due
    }

    /// How many clocks are open.
    pub fn len(&self) -> usize {
        self.by_ticket.len()
    }

    /// Whether no clock is open.
    pub fn is_empty(&self) -> bool {
        self.by_ticket.is_empty()
    }

    /// The tickets with an open clock; those of one branch, if it is given.
    pub fn tickets(&self, branch: Option<&BranchId>) -> BTreeSet<TicketId> {
        let wanted = branch.map(|branch| self.branches.iter().position(|known| known == branch));
        let fits = |open: &&OpenClock| match wanted {
            None => true,
            Some(index) => index.is_some_and(|index| index == open.branch as usize),
        };
        let open = self.by_ticket.iter().map(|place| self.open(*place));
        open.filter(fits).map(|open| open.id.ticket).collect()
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
        let due_us = due_at.map(|due_at| due_at.timestamp_micros());
        let due = due_us.map_or(PAUSED, |due_us| Due { wakes_us: due_us, due_us });
        self.set(OpenClock { id: ClockId { ticket, clock, cycle }, branch, due });
    }

    /// Lets clocks rest until `until` whose limits were broken before `told_at`, when we were told of them: those that
    /// this commit started, resumed or moved, and those of the ticket that rest already.
    ///
    /// A late entry seldom comes alone: the call that is entered on Monday was answered on Friday, and that is
    /// entered next. Nothing is late by this that was not late before.
    pub fn let_settle(&mut self, ticket: TicketId, events: &[TicketEvent], told_at: Instant, until: Instant) {
        let told_now = |id: ClockId| {
            let gives_due = |event: &TicketEvent| match event {
                TicketEvent::ClockStarted { clock, cycle, .. }
                | TicketEvent::ClockResumed { clock, cycle, .. }
                | TicketEvent::DeadlineMoved { clock, cycle, .. } => (*clock, *cycle) == (id.clock, id.cycle),
                _ => false,
            };
            events.iter().any(gives_due)
        };
        let (told_us, until_us) = (told_at.timestamp_micros(), until.timestamp_micros());
        for place in self.of_ticket(ticket) {
            let open = *self.open(place);
            let Due { wakes_us, due_us } = open.due;
            if due_us < told_us && (wakes_us > due_us || told_now(open.id)) {
                self.set(OpenClock { due: Due { wakes_us: until_us, due_us }, ..open });
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
                for place in self.of_ticket(ticket) {
                    self.places[place as usize].branch = branch;
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
        let (places, id) = (&self.places, ClockId { ticket, clock, cycle });
        let found = self.by_ticket.find_entry(hash(ticket), |place| places[*place as usize].id == id);
        if let Ok(entry) = found {
            let (place, _) = entry.remove();
            self.due.remove(&(self.open(place).due.wakes_us, place));
            self.given_up.push(place);
        }
    }

    /// Forgets all of a ticket's clocks; answers how many there were.
    pub fn remove_ticket(&mut self, ticket: TicketId) -> usize {
        let places = self.of_ticket(ticket);
        for place in &places {
            let ClockId { clock, cycle, .. } = self.open(*place).id;
            self.remove(ticket, clock, cycle);
        }
        places.len()
    }

    /// Takes a ticket's running and paused clocks as its state has them.
    pub fn set_ticket(&mut self, ticket: TicketId, state: &Ticket) {
        self.remove_ticket(ticket);
        let Some(branch) = state.branch() else { return };
        for clock in &state.clocks {
            match clock.state {
                ClockState::Running { due_at } => {
                    self.insert(ticket, branch, clock.kind, clock.cycle, Some(due_at));
                }
                ClockState::Paused { .. } => self.insert(ticket, branch, clock.kind, clock.cycle, None),
                ClockState::Met { .. } | ClockState::Breached { .. } | ClockState::Cancelled => {}
            }
        }
    }

    /// Lets a due clock wait until `until`, unless it has changed meanwhile.
    pub fn put_off(&mut self, due: DueClock, until: Instant) {
        let id = ClockId { ticket: due.ticket, clock: due.clock, cycle: due.cycle };
        let due_us = due.due_at.timestamp_micros();
        for place in self.of_ticket(due.ticket) {
            let open = *self.open(place);
            if open.id == id && open.due.due_us == due_us {
                self.set(OpenClock { due: Due { wakes_us: until.timestamp_micros(), due_us }, ..open });
            }
        }
    }

    fn open(&self, place: u32) -> &OpenClock {
        &self.places[place as usize]
    }

    /// The places of a ticket's clocks.
    fn of_ticket(&self, ticket: TicketId) -> Vec<u32> {
        let same_hash = self.by_ticket.iter_hash(hash(ticket)).copied();
        same_hash.filter(|place| self.open(*place).id.ticket == ticket).collect()
    }

    fn set(&mut self, open: OpenClock) {
        let (places, hashed) = (&self.places, hash(open.id.ticket));
        let known = self.by_ticket.find(hashed, |place| places[*place as usize].id == open.id).copied();
        let place = match known {
            Some(place) => {
                self.due.remove(&(self.open(place).due.wakes_us, place));
                self.places[place as usize] = open;
                place
            }
            None => self.settle_in(open),
        };
        if open.due != PAUSED {
            self.due.insert((open.due.wakes_us, place));
        }
    }

    /// Gives a new clock a place.
    fn settle_in(&mut self, open: OpenClock) -> u32 {
        let place = match self.given_up.pop() {
            Some(place) => {
                self.places[place as usize] = open;
                place
            }
            None => {
                self.places.push(open);
                // Four thousand million clocks would need 300 GB first.
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let places = &self.places;
        self.by_ticket
            .insert_unique(hash(open.id.ticket), place, |place| hash(places[*place as usize].id.ticket));
        place
    }

    fn branch_index(&mut self, branch: &BranchId) -> u32 {
        let index = self.branches.iter().position(|known| known == branch).unwrap_or_else(|| {
            self.branches.push(branch.clone());
            self.branches.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }
}

impl OpenClock {
    fn due_clock(&self) -> Option<DueClock> {
        let wakes_at = Instant::from_timestamp_micros(self.due.wakes_us)?;
        let due_at = Instant::from_timestamp_micros(self.due.due_us)?;
        let ClockId { ticket, clock, cycle } = self.id;
        Some(DueClock { wakes_at, due_at, ticket, clock, cycle })
    }
}

/// The same in each run, so that a run can be repeated.
fn hash(ticket: TicketId) -> u64 {
    let mut hasher = DefaultHasher::new();
    ticket.hash(&mut hasher);
    hasher.finish()
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

    #[test]
    fn a_place_that_was_given_up_serves_another_clock() {
        let (mut index, branch) = (DeadlineIndex::default(), BranchId::new("B0").unwrap());
        let ticket = |n: u128| TicketId(Uuid::from_u128(n));
        for n in 0..100 {
            index.insert(ticket(n), &branch, ClockKind::Dispatch, 1, Some(at(i64::try_from(n).unwrap())));
        }
        for n in (0..100).step_by(2) {
            index.remove(ticket(n), ClockKind::Dispatch, 1);
            index.remove(ticket(n), ClockKind::Dispatch, 1);
        }
        for n in 100..150 {
            index.insert(ticket(n), &branch, ClockKind::Response, 1, Some(at(i64::try_from(n).unwrap())));
        }
        assert_eq!((index.len(), index.places.len()), (100, 100));
        let overdue = index.overdue(at(1_000), 1_000);
        let expected: Vec<_> = (1..100).step_by(2).chain(100..150).map(ticket).collect();
        assert_eq!(overdue.iter().map(|clock| clock.ticket).collect::<Vec<_>>(), expected);
        assert_eq!(index.tickets(None).into_iter().collect::<Vec<_>>(), expected);
    }
}
