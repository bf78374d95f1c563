//! The clocks that run or are paused, and so may still break their limit.

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::projections::{clocks, ticket_events, ticket_of, unknown};
use crate::rows::{ClockRow, ClockStanding, OpenClock};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, Unfoldable, View, forms};

/// The fold of open clocks. Its rows are [`OpenClock`]s, one a clock, by ticket.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenClocks;

/// The fold of open clocks with an index of the running ones by due instant: who asks it knows which clocks are due and
/// were not urged, whatever a watchdog says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenClocksByDue;

impl Row for OpenClock {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// What the fold keeps of a ticket besides its open clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// Who has the ticket.
    branch: BranchId,
    /// Which clocks are open.
    open: Vec<(ClockKind, u32)>,
    /// The broken clocks: a pause that is entered late makes one a paused one again (R40).
    broken: Vec<OpenClock>,
}

impl Row for Owner {
    const TABLE: u8 = FIRST_TABLE + 1;
    const FORMAT: u8 = 1;
}

/// An entry of the index: a running clock, and when it was told that it is due when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ByDue {
    pub(crate) ticket: TicketId,
    pub(crate) clock: ClockKind,
    pub(crate) cycle: u32,
    #[serde(with = "forms::instant")]
    pub(crate) due_at: Instant,
    #[serde(with = "forms::instant")]
    pub(crate) told_at: Instant,
}

impl Row for ByDue {
    const TABLE: u8 = FIRST_TABLE + 2;
    const FORMAT: u8 = 1;
}

fn due_key(due_at: Instant, clock: &OpenClock) -> Key {
    Key::new().earliest_first(due_at).id(clock.ticket.0).byte(clock.clock as u8).number(clock.cycle.into())
}

pub(crate) fn clock_key(ticket: TicketId, clock: ClockKind, cycle: u32) -> Key {
    Key::new().id(ticket.0).byte(clock as u8).number(cycle.into())
}

impl Projection for OpenClocks {
    const NAME: &'static str = "open_clocks";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Some(folding) = Folding::of(commit, view)? else { return Ok(()) };
        folding.end(view)
    }
}

impl Projection for OpenClocksByDue {
    const NAME: &'static str = "open_clocks";
    const VERSION: u32 = 2;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Some(mut folding) = Folding::of(commit, view)? else { return Ok(()) };
        let after = folding.take_stock();
        let due_at = |clocks: &[OpenClock], one: &OpenClock| {
            let same = |other: &&OpenClock| (other.clock, other.cycle) == (one.clock, one.cycle);
            clocks.iter().find(same).and_then(|clock| clock.due_at)
        };
        for before in &folding.before {
            let Some(due_before) = before.due_at else { continue };
            if due_at(&after, before) != Some(due_before) {
                view.remove::<ByDue>(&due_key(due_before, before))?;
            }
        }
        for running in &after {
            let Some(due_after) = running.due_at else { continue };
            if due_at(&folding.before, running) != Some(due_after) {
                let (ticket, clock, cycle) = (running.ticket, running.clock, running.cycle);
                let told_at = commit.envelope.happened.recorded_at;
                let entry = ByDue { ticket, clock, cycle, due_at: due_after, told_at };
                view.put(&due_key(due_after, running), &entry)?;
            }
        }
        folding.end(view)
    }
}

/// Whether an event starts, stops or moves a clock, or says which branch has the ticket.
fn concerns_clocks(event: &TicketEvent) -> bool {
    use TicketEvent as E;
    matches!(
        event,
        E::TicketRegistered { .. }
            | E::TicketTransferred { .. }
            | E::ClockStarted { .. }
            | E::ClockMet { .. }
            | E::ClockPaused { .. }
            | E::ClockResumed { .. }
            | E::DeadlineMoved { .. }
            | E::ClockCancelled { .. }
            | E::SlaBreached { .. }
            | E::BreachEnded { .. }
    )
}

/// A ticket's clocks while one commit is folded.
struct Folding {
    ticket: TicketId,
    owner_before: Option<Owner>,
    owner: Option<Owner>,
    /// The open clocks as stored.
    before: Vec<OpenClock>,
    /// The clocks as they are now, the broken ones among them.
    clocks: Vec<ClockRow>,
}

impl Folding {
    /// The ticket's clocks with the commit folded; none if it concerns no clock of ours.
    fn of(commit: &Commit, view: &mut View<'_>) -> Result<Option<Self>, Unfoldable> {
        let Some(ticket) = ticket_of(commit)? else { return Ok(None) };
        if !ticket_events(commit).any(concerns_clocks) {
            return Ok(None);
        }
        let scope = view.scope();
        if ticket_events(commit).any(|event| scope.hand_over(event) == Some(HandOver::Elsewhere)) {
            return Ok(None);
        }
        let mut folding = Self::begin(ticket, commit, view)?;
        for event in ticket_events(commit) {
            if !folding.fold(event, view)? {
                break;
            }
        }
        Ok(Some(folding))
    }

    fn begin(ticket: TicketId, commit: &Commit, view: &mut View<'_>) -> Result<Self, Unfoldable> {
        // A stream's first commit finds nothing stored.
        let owner = match commit.envelope.revision {
            1 => None,
            _ => view.get::<Owner>(&Key::new().id(ticket.0))?,
        };
        let mut before = Vec::new();
        for (clock, cycle) in owner.iter().flat_map(|owner| &owner.open) {
            before.extend(view.get::<OpenClock>(&clock_key(ticket, *clock, *cycle))?);
        }
        let broken = owner.iter().flat_map(|owner| &owner.broken);
        let broken = broken.map(|clock| as_row(clock, ClockStanding::Breached));
        let clocks = before.iter().map(|clock| as_row(clock, standing(clock))).chain(broken).collect();
        Ok(Self { ticket, owner_before: owner.clone(), owner, before, clocks })
    }

    /// Answers whether the ticket is still one of ours.
    fn fold(&mut self, event: &TicketEvent, view: &View<'_>) -> Result<bool, Unfoldable> {
        let owner =
            |branch: &BranchId| Owner { branch: branch.clone(), open: Vec::new(), broken: Vec::new() };
        match (event, view.scope().hand_over(event)) {
            // Nothing more is heard of it.
            (_, Some(HandOver::Out)) => {
                (self.owner, self.clocks) = (None, Vec::new());
                return Ok(false);
            }
            (TicketEvent::TicketRegistered { branch, .. }, _) => self.owner = Some(owner(branch)),
            // The summary has the clocks as they stand, those of a history that is not known here included.
            (TicketEvent::TicketTransferred { to, summary, .. }, _) => {
                self.owner = Some(owner(to));
                self.clocks = summary.clocks.iter().map(ClockRow::from).collect();
            }
            _ if self.owner.is_none() => return Err(unknown(self.ticket)),
            _ => clocks::fold(&mut self.clocks, event),
        }
        Ok(true)
    }

    /// Puts the clocks that may still break, takes out those that cannot any more.
    fn end(mut self, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let open = self.take_stock();
        let key = |clock: &OpenClock| clock_key(self.ticket, clock.clock, clock.cycle);
        for old in &self.before {
            let new = open.iter().find(|new| key(new) == key(old));
            if new != Some(old) {
                view.change(&key(old), Some(old), new)?;
            }
        }
        for new in open.iter().filter(|new| !self.before.iter().any(|old| key(old) == key(new))) {
            view.change(&key(new), None, Some(new))?;
        }
        if self.owner != self.owner_before {
            let (before, after) = (self.owner_before.as_ref(), self.owner.as_ref());
            view.change(&Key::new().id(self.ticket.0), before, after)?;
        }
        Ok(())
    }

    /// The clocks that may still break; the owner's row says which they are, and has the broken ones.
    fn take_stock(&mut self) -> Vec<OpenClock> {
        let mut open = Vec::new();
        let Some(owner) = &mut self.owner else { return open };
        (owner.open, owner.broken) = (Vec::new(), Vec::new());
        for clock in &self.clocks {
            let row = open_clock(self.ticket, &owner.branch, clock);
            match clock.standing {
                ClockStanding::Running | ClockStanding::Paused => {
                    owner.open.push((row.clock, row.cycle));
                    open.push(row);
                }
                ClockStanding::Breached => owner.broken.push(row),
                _ => {}
            }
        }
        open
    }
}

fn standing(clock: &OpenClock) -> ClockStanding {
    if clock.due_at.is_some() { ClockStanding::Running } else { ClockStanding::Paused }
}

fn open_clock(ticket: TicketId, branch: &BranchId, clock: &ClockRow) -> OpenClock {
    OpenClock {
        ticket,
        branch: branch.clone(),
        clock: clock.clock,
        cycle: clock.cycle,
        limit: clock.limit,
        started_at: clock.started_at,
        due_at: clock.due_at,
        consumed: clock.consumed,
        running_since: clock.running_since,
        paused_since: clock.paused_since,
    }
}

/// The clock as the common fold of clocks takes it; what an open clock does not have does not matter to it.
fn as_row(clock: &OpenClock, standing: ClockStanding) -> ClockRow {
    ClockRow {
        clock: clock.clock,
        cycle: clock.cycle,
        standing,
        limit: clock.limit,
        started_at: clock.started_at,
        due_at: clock.due_at,
        consumed: clock.consumed,
        running_since: clock.running_since,
        paused_since: clock.paused_since,
        ended_at: None,
        late_recorded: false,
        policy_version: String::new(),
        calendar_version: String::new(),
        notices: Vec::new(),
    }
}
