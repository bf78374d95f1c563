//! A second bookkeeping of a ticket's clocks, from its events alone.
//!
//! It knows nothing of the domain's state. It holds each event against what the events before it allow, and each
//! due instant against its own computation: from the start, over all pauses, in one go (R37, R38).

use cuiban_domain::sla::{Clock, ClockKind, ClockState, Limit, Notice};
use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::working_time::{Pause, WorkingCalendar};
use cuiban_domain::{Happened, Instant};

/// How a clock stands by the events.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    Running(Instant),
    Paused,
    Breached(Instant),
    Met(Instant),
    Cancelled,
    Ended(Instant, Instant),
}

#[derive(Clone, Debug)]
struct Entry {
    kind: ClockKind,
    cycle: u32,
    limit: Limit,
    started_at: Instant,
    pauses: Vec<Pause>,
    standing: Standing,
}

/// All clocks and notices of one ticket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
    pub(crate) issued: Vec<Notice>,
    pub(crate) superseded: Vec<Notice>,
    has_ended: bool,
}

impl Ledger {
    /// Books one commit. With a calendar, every instant and every amount is computed again.
    pub(crate) fn book(
        &mut self,
        events: &[TicketEvent],
        happened: Happened,
        calendar: Option<&WorkingCalendar>,
    ) {
        for (index, event) in events.iter().enumerate() {
            self.book_life(event);
            self.book_clock(event, happened.recorded_at, calendar);
            self.book_breach(event, happened.recorded_at);
            check_pairing(events, index);
        }
        for entry in &self.entries {
            let owes =
                matches!(entry.standing, Standing::Running(_) | Standing::Paused | Standing::Breached(_));
            assert!(!(self.has_ended && owes), "an ended ticket has an open clock: {entry:?}");
        }
    }

    fn book_life(&mut self, event: &TicketEvent) {
        use TicketEvent as E;
        match event {
            E::TicketClosed { .. } | E::TicketCancelled { .. } | E::TicketMerged { .. } => {
                self.has_ended = true
            }
            E::TicketReopened { .. } => self.has_ended = false,
            _ => {}
        }
    }

    fn book_clock(&mut self, event: &TicketEvent, now: Instant, calendar: Option<&WorkingCalendar>) {
        use Standing as S;
        use TicketEvent as E;
        match event {
            E::ClockStarted { clock: kind, cycle, limit, started_at, due_at, .. } => {
                let before =
                    self.entries.iter().position(|entry| (entry.kind, entry.cycle) == (*kind, *cycle));
                if let Some(index) = before {
                    let before = self.entries.remove(index);
                    assert_eq!(before.standing, S::Cancelled, "a second start of {before:?}");
                }
                let standing = S::Running(*due_at);
                let (kind, cycle, limit, started_at) = (*kind, *cycle, *limit, *started_at);
                let entry = Entry { kind, cycle, limit, started_at, pauses: Vec::new(), standing };
                entry.check_due(calendar);
                self.entries.push(entry);
            }
            E::ClockMet { clock, cycle, met_at, late_recorded } => {
                let entry = self.entry(*clock, *cycle);
                match entry.standing {
                    S::Running(due_at) => {
                        assert!(*met_at <= due_at);
                        assert_eq!(*late_recorded, now > due_at);
                    }
                    S::Breached(due_at) => assert!(*met_at <= due_at && *late_recorded),
                    S::Paused => assert!(!late_recorded),
                    other => panic!("met after {other:?}"),
                }
                entry.standing = S::Met(*met_at);
            }
            E::ClockPaused { clock, cycle, paused_at, consumed } => {
                let entry = self.entry(*clock, *cycle);
                match entry.standing {
                    S::Running(due_at) | S::Breached(due_at) => assert!(*paused_at <= due_at),
                    other => panic!("paused after {other:?}"),
                }
                if let Some(calendar) = calendar {
                    let (from, measure) = (entry.started_at, entry.limit.measure);
                    assert_eq!(
                        calendar.consumed(from, *paused_at, &entry.pauses, measure).as_ref(),
                        Ok(consumed)
                    );
                }
                entry.pauses.push(Pause { from: *paused_at, until: None });
                entry.standing = S::Paused;
            }
            E::ClockResumed { clock, cycle, resumed_at, due_at, .. } => {
                let entry = self.entry(*clock, *cycle);
                assert_eq!(entry.standing, S::Paused);
                entry.pauses.last_mut().unwrap().until = Some(*resumed_at);
                entry.standing = S::Running(*due_at);
                entry.check_due(calendar);
            }
            E::DeadlineMoved { clock, cycle, limit, from, to, .. } => {
                let entry = self.entry(*clock, *cycle);
                entry.limit = *limit;
                match (entry.standing, from, to) {
                    (S::Paused, None, None) => {}
                    (S::Running(due_at), Some(from), Some(to)) => {
                        assert_eq!(due_at, *from);
                        assert!(now <= due_at, "a broken limit was moved");
                        entry.standing = S::Running(*to);
                        entry.check_due(calendar);
                    }
                    other => panic!("moved: {other:?}"),
                }
            }
            E::ClockCancelled { clock, cycle, cancelled_at } => {
                let entry = self.entry(*clock, *cycle);
                match entry.standing {
                    S::Running(due_at) | S::Breached(due_at) => assert!(*cancelled_at <= due_at),
                    S::Paused => {}
                    other => panic!("cancelled after {other:?}"),
                }
                entry.standing = S::Cancelled;
            }
            _ => {}
        }
    }

    fn book_breach(&mut self, event: &TicketEvent, now: Instant) {
        use TicketEvent as E;
        match event {
            E::SlaBreached { clock, cycle, due_at } => {
                let entry = self.entry(*clock, *cycle);
                assert_eq!(entry.standing, Standing::Running(*due_at), "breached");
                assert!(now > *due_at, "a notice at or before the due instant");
                entry.standing = Standing::Breached(*due_at);
            }
            E::BreachEnded { clock, cycle, ended_at } => {
                let entry = self.entry(*clock, *cycle);
                let Standing::Breached(due_at) = entry.standing else { panic!("ended: {entry:?}") };
                assert!(*ended_at > due_at, "a breach that ended before it began");
                entry.standing = Standing::Ended(due_at, *ended_at);
            }
            E::ExpediteNoticeIssued { notice, .. } => {
                assert!(!self.issued.contains(notice), "{notice:?} was issued twice");
                self.issued.push(*notice);
            }
            E::ExpediteNoticeSuperseded { notice } => {
                assert!(self.issued.contains(notice), "{notice:?} was never issued");
                assert!(!self.superseded.contains(notice), "{notice:?} was superseded twice");
                self.superseded.push(*notice);
                let standing = self.entry(notice.clock, notice.cycle).standing;
                let good = matches!(standing, Standing::Met(_) | Standing::Paused | Standing::Cancelled);
                assert!(good, "superseded while {standing:?}");
            }
            _ => {}
        }
    }

    fn entry(&mut self, kind: ClockKind, cycle: u32) -> &mut Entry {
        let entry = self.entries.iter_mut().find(|entry| (entry.kind, entry.cycle) == (kind, cycle));
        entry.unwrap_or_else(|| panic!("no {kind} clock in cycle {cycle}"))
    }

    /// The domain's clocks say the same.
    pub(crate) fn agrees_with(&self, clocks: &[Clock]) {
        let ours: Vec<_> =
            self.entries.iter().map(|entry| (entry.kind, entry.cycle, entry.standing)).collect();
        let theirs: Vec<_> =
            clocks.iter().map(|clock| (clock.kind, clock.cycle, standing(clock.state))).collect();
        assert_eq!(ours, theirs);
    }

    /// The due instants of the clocks that run or were broken.
    pub(crate) fn due_instants(&self) -> impl Iterator<Item = Instant> {
        self.entries.iter().filter_map(|entry| match entry.standing {
            Standing::Running(due_at) | Standing::Breached(due_at) => Some(due_at),
            _ => None,
        })
    }

    /// The due instants of the running clocks.
    pub(crate) fn running(&self) -> impl Iterator<Item = (ClockKind, u32, Instant)> {
        self.entries.iter().filter_map(|entry| match entry.standing {
            Standing::Running(due_at) => Some((entry.kind, entry.cycle, due_at)),
            _ => None,
        })
    }
}

impl Entry {
    /// The recorded due instant is the one that limit and pauses give, but not before the clock last ran on.
    fn check_due(&self, calendar: Option<&WorkingCalendar>) {
        let (Some(calendar), Standing::Running(due_at)) = (calendar, self.standing) else { return };
        let (span, measure) = (self.limit.span.duration(), self.limit.measure);
        let computed = calendar.deadline(self.started_at, span, &self.pauses, measure).unwrap();
        let running_since = self.pauses.last().and_then(|pause| pause.until).unwrap_or(self.started_at);
        assert_eq!(computed.due_at().map(|due_at| due_at.max(running_since)), Some(due_at), "{self:?}");
    }
}

/// A breach and its notice come together, the notice right behind (R60).
fn check_pairing(events: &[TicketEvent], index: usize) {
    use TicketEvent as E;
    match (&events[index], events.get(index + 1), index.checked_sub(1).map(|index| &events[index])) {
        (
            E::SlaBreached { clock, cycle, due_at },
            Some(E::ExpediteNoticeIssued { notice, due_at: urged, .. }),
            _,
        ) => {
            assert_eq!((*clock, *cycle, *due_at), (notice.clock, notice.cycle, *urged));
        }
        (E::SlaBreached { .. }, other, _) => panic!("a breach without its notice: {other:?}"),
        (E::ExpediteNoticeIssued { .. }, _, Some(E::SlaBreached { .. })) => {}
        (E::ExpediteNoticeIssued { .. }, _, other) => panic!("a notice without its breach: {other:?}"),
        _ => {}
    }
}

fn standing(state: ClockState) -> Standing {
    match state {
        ClockState::Running { due_at } => Standing::Running(due_at),
        ClockState::Paused { .. } => Standing::Paused,
        ClockState::Breached { due_at, ended_at: None } => Standing::Breached(due_at),
        ClockState::Breached { due_at, ended_at: Some(ended_at) } => Standing::Ended(due_at, ended_at),
        ClockState::Met { at, .. } => Standing::Met(at),
        ClockState::Cancelled => Standing::Cancelled,
    }
}
