//! The folds, one file each.
//!
//! - [`Tickets`]: tickets as the counter sees them, with the indexes for lists, dispatch board, overdue list and
//!   [`repair_register`]. They are one fold, so that they never tell different stories.
//! - [`Timelines`]: every commit of every ticket.
//! - [`Notices`]: expedite notices (催办单) and their deliveries.
//! - [`OpenClocks`]: the clocks that may still break; [`OpenClocksByDue`] with an index by due instant.
//!
//! [`case`] and [`clocks`] say what an event does to a ticket's row and to its clocks.

pub(crate) mod case;
pub(crate) mod clocks;
pub(crate) mod notices;
pub(crate) mod open_clocks;
pub(crate) mod repair_register;
pub(crate) mod tickets;
pub(crate) mod timelines;

use cuiban_domain::ids::TicketId;
use cuiban_domain::ticket::{Ticket, TicketEvent};
use cuiban_domain::{Aggregate, Event};
use cuiban_event_schema::Commit;

pub use notices::Notices;
pub use open_clocks::{OpenClocks, OpenClocksByDue};
pub use tickets::Tickets;
pub use timelines::Timelines;

use crate::Unfoldable;

/// The ticket that a commit is about; none if it is about something else.
pub(crate) fn ticket_of(commit: &Commit) -> Result<Option<TicketId>, Unfoldable> {
    if commit.envelope.stream_kind != Ticket::KIND {
        return Ok(None);
    }
    let id = &commit.envelope.stream_id;
    id.parse().map(Some).map_err(|_| Unfoldable::commit(format!("{id:?} is no ticket's id")))
}

/// A commit's ticket events, in order.
pub(crate) fn ticket_events(commit: &Commit) -> impl Iterator<Item = &TicketEvent> {
    commit.events.iter().filter_map(|event| match event {
        Event::Ticket(event) => Some(event),
        _ => None,
    })
}

/// A commit about a ticket of which the model has no row.
pub(crate) fn unknown(ticket: TicketId) -> Unfoldable {
    Unfoldable::commit(format!("the ticket {ticket} is not known"))
}
