//! Every commit of every ticket, as the log keeps it.

use cuiban_domain::ids::TicketId;
use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::projections::{ticket_events, ticket_of};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, Unfoldable, View, forms};

/// The fold of timelines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timelines;

/// How many revisions share a row: most tickets are done with fewer, and a row is written anew with each commit.
const REVISIONS_PER_SHEET: u64 = 8;

/// Some successive commits of a ticket, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sheet(pub(crate) Vec<TimelineRecord>);

/// One commit of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimelineRecord {
    pub(crate) position: u64,
    #[serde(with = "forms::block")]
    pub(crate) payload: Vec<u8>,
}

impl Row for Sheet {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// The prefix of a ticket's sheets.
pub(crate) fn timeline_prefix(ticket: TicketId) -> Key {
    Key::new().id(ticket.0)
}

impl Projection for Timelines {
    const NAME: &'static str = "timelines";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, position: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Some(ticket) = ticket_of(commit)? else { return Ok(()) };
        let scope = view.scope();
        if ticket_events(commit).any(|event| scope.hand_over(event) == Some(HandOver::Elsewhere)) {
            return Ok(());
        }
        let revision = commit.envelope.revision;
        let key = timeline_prefix(ticket).number(revision / REVISIONS_PER_SHEET);
        let record = TimelineRecord { position: position.raw(), payload: view.payload().to_vec() };
        if revision == 1 {
            return Ok(view.change(&key, None, Some(&Sheet(vec![record])))?);
        }
        let mut sheet = view.get::<Sheet>(&key)?.unwrap_or_default();
        sheet.0.push(record);
        Ok(view.put(&key, &sheet)?)
    }
}
