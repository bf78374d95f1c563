//! The clocks that run or are paused, and so may still break their limit.

use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::projections::{clocks, ticket_events, ticket_of, unknown};
use crate::rows::{ClockRow, ClockStanding, OpenClock};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, StoreError, Unfoldable, View};

/// The fold of open clocks. Its rows are [`OpenClock`]s, one a clock, by ticket.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenClocks;

impl Row for OpenClock {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// What the fold keeps of a ticket: who has it, and its clocks that have not ended. Broken ones are among them: a
/// pause that is entered late makes a broken clock a paused one again (R40).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct TicketClocks {
    branch: BranchId,
    clocks: Vec<ClockRow>,
}

impl Row for TicketClocks {
    const TABLE: u8 = FIRST_TABLE + 1;
    const FORMAT: u8 = 1;
}

fn clock_key(ticket: TicketId, clock: ClockKind, cycle: u32) -> Key {
    Key::new().id(ticket.0).byte(clock as u8).number(cycle.into())
}

impl Projection for OpenClocks {
    const NAME: &'static str = "open_clocks";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Some(ticket) = ticket_of(commit)? else { return Ok(()) };
        if !ticket_events(commit).any(concerns_clocks) {
            return Ok(());
        }
        let key = Key::new().id(ticket.0);
        let before = view.get::<TicketClocks>(&key)?;
        let mut after = before.clone();
        for event in ticket_events(commit) {
            match view.scope().hand_over(event) {
                Some(HandOver::Elsewhere) => return Ok(()),
                // Nothing more is heard of it.
                Some(HandOver::Out) => {
                    after = None;
                    break;
                }
                _ => fold(&mut after, event).ok_or_else(|| unknown(ticket))?,
            }
        }
        if let Some(after) = &mut after {
            after.clocks.retain(|clock| clock.standing.is_open());
        }
        if before == after {
            return Ok(());
        }
        match &after {
            Some(after) => view.put(&key, after)?,
            None => view.remove::<TicketClocks>(&key)?,
        }
        Ok(list(ticket, before.as_ref(), after.as_ref(), view)?)
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

/// None if the event needs a ticket that is not known.
fn fold(ticket: &mut Option<TicketClocks>, event: &TicketEvent) -> Option<()> {
    match event {
        TicketEvent::TicketRegistered { branch, .. } => {
            *ticket = Some(TicketClocks { branch: branch.clone(), clocks: Vec::new() });
        }
        // The summary has the clocks as they stand, those of a history that is not known here included.
        TicketEvent::TicketTransferred { to, summary, .. } => {
            let clocks = summary.clocks.iter().map(ClockRow::from).collect();
            *ticket = Some(TicketClocks { branch: to.clone(), clocks });
        }
        _ => clocks::fold(&mut ticket.as_mut()?.clocks, event),
    }
    Some(())
}

/// Puts the clocks that may still break, takes out those that cannot any more.
fn list(
    ticket: TicketId,
    before: Option<&TicketClocks>,
    after: Option<&TicketClocks>,
    view: &mut View<'_>,
) -> Result<(), StoreError> {
    let open = |clocks: Option<&TicketClocks>| clocks.map(|clocks| clocks.open(ticket)).unwrap_or_default();
    let (before, after) = (open(before), open(after));
    let key = |clock: &OpenClock| clock_key(ticket, clock.clock, clock.cycle);
    for gone in before.iter().filter(|old| !after.iter().any(|new| key(new) == key(old))) {
        view.remove::<OpenClock>(&key(gone))?;
    }
    let mut changed = after.iter().filter(|new| !before.contains(new));
    changed.try_for_each(|clock| view.put(&key(clock), clock))
}

impl TicketClocks {
    fn open(&self, ticket: TicketId) -> Vec<OpenClock> {
        let may_break =
            |clock: &&ClockRow| matches!(clock.standing, ClockStanding::Running | ClockStanding::Paused);
        let open = |clock: &ClockRow| OpenClock {
            ticket,
            branch: self.branch.clone(),
            clock: clock.clock,
            cycle: clock.cycle,
            limit: clock.limit,
            started_at: clock.started_at,
            due_at: clock.due_at,
            consumed: clock.consumed,
            running_since: clock.running_since,
            paused_since: clock.paused_since,
        };
        self.clocks.iter().filter(may_break).map(open).collect()
    }
}
