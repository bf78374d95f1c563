//! Expedite notices (催办单, R60) and how they were pushed.

use cuiban_domain::alert::{Alert, AlertEvent, Outcome};
use cuiban_domain::ids::{BranchId, NoticeId, Number, TicketId};
use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::{Aggregate, Event};
use cuiban_event_log::Position;
use cuiban_event_schema::{Commit, Envelope};
use serde::{Deserialize, Serialize};

use crate::projections::{ticket_events, ticket_of, unknown};
use crate::rows::{DeliveryOutcome, DeliveryRow, NoticeRow};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, StoreError, Unfoldable, View};

/// The fold of notices and deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notices;

/// Stored without its deliveries, which have a table of their own.
impl Row for NoticeRow {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// A branch's notices, the latest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoticeByBranch(pub(crate) NoticeId);

impl Row for NoticeByBranch {
    const TABLE: u8 = FIRST_TABLE + 1;
    const FORMAT: u8 = 1;
}

/// How an alert stands on its channels; by the alert's id, be it a notice's or another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deliveries(pub(crate) Vec<DeliveryRow>);

impl Row for Deliveries {
    const TABLE: u8 = FIRST_TABLE + 2;
    const FORMAT: u8 = 1;
}

/// What a notice says of its ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NoticedTicket {
    number: Number,
    branch: BranchId,
}

impl Row for NoticedTicket {
    const TABLE: u8 = FIRST_TABLE + 3;
    const FORMAT: u8 = 1;
}

/// A branch that has, or had, notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoticedBranch(pub(crate) BranchId);

impl Row for NoticedBranch {
    const TABLE: u8 = FIRST_TABLE + 4;
    const FORMAT: u8 = 1;
}

/// The key of a notice's row.
pub(crate) fn notice_key(notice: NoticeId) -> Key {
    Key::new().id(notice.0)
}

/// The key of an alert's deliveries.
pub(crate) fn deliveries_key(alert: &str) -> Key {
    Key::new().text(alert)
}

/// The prefix of a branch's notices.
pub(crate) fn branch_prefix(branch: &BranchId) -> Key {
    Key::new().text(branch.as_str())
}

impl Projection for Notices {
    const NAME: &'static str = "notices";
    const VERSION: u32 = 2;

    fn project(&self, commit: &Commit, position: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        if commit.envelope.stream_kind == Alert::KIND {
            for event in &commit.events {
                if let Event::Alert(event) = event {
                    attempted(event, &commit.envelope, view)?;
                }
            }
        }
        let Some(ticket) = ticket_of(commit)? else { return Ok(()) };
        for (index, event) in ticket_events(commit).enumerate() {
            if view.scope().hand_over(event) == Some(HandOver::Elsewhere) {
                return Ok(());
            }
            let place = Place { position, index: index as u64 };
            fold_event(ticket, event, &commit.envelope, place, view)?;
        }
        Ok(())
    }
}

/// Where in the log an event is.
#[derive(Clone, Copy)]
struct Place {
    position: Position,
    index: u64,
}

fn fold_event(
    ticket: TicketId,
    event: &TicketEvent,
    envelope: &Envelope,
    place: Place,
    view: &mut View<'_>,
) -> Result<(), Unfoldable> {
    let key = Key::new().id(ticket.0);
    match event {
        TicketEvent::TicketRegistered { number, branch, .. } => {
            let noticed = NoticedTicket { number: number.clone(), branch: branch.clone() };
            // A stream's first commit finds nothing stored.
            match envelope.revision {
                1 => Ok(view.change(&key, None, Some(&noticed))?),
                _ => Ok(view.put(&key, &noticed)?),
            }
        }
        TicketEvent::TicketTransferred { to, summary, .. } => {
            let noticed = NoticedTicket { number: summary.number.clone(), branch: to.clone() };
            Ok(view.put(&key, &noticed)?)
        }
        TicketEvent::ExpediteNoticeIssued { .. } => issue(ticket, event, envelope, place, view),
        TicketEvent::ExpediteNoticeSuperseded { notice } => {
            let key = notice_key(notice.id(ticket));
            // A notice from before a transfer may not be known here.
            match view.get::<NoticeRow>(&key)? {
                Some(row) => Ok(view.put(&key, &NoticeRow { superseded: true, ..row })?),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn issue(
    ticket: TicketId,
    event: &TicketEvent,
    envelope: &Envelope,
    place: Place,
    view: &mut View<'_>,
) -> Result<(), Unfoldable> {
    let TicketEvent::ExpediteNoticeIssued { notice, due_at, addressee, informed, informed_departments, late } =
        event
    else {
        return Ok(());
    };
    let noticed = view.get::<NoticedTicket>(&Key::new().id(ticket.0))?.ok_or_else(|| unknown(ticket))?;
    let id = notice.id(ticket);
    let row = NoticeRow {
        id,
        notice: *notice,
        ticket,
        number: noticed.number,
        branch: noticed.branch,
        due_at: *due_at,
        issued_at: envelope.happened.recorded_at,
        position: place.position.raw(),
        addressee: addressee.clone(),
        informed: informed.clone(),
        informed_departments: informed_departments.clone(),
        late: *late,
        superseded: false,
        deliveries: Vec::new(),
    };
    let branch = branch_prefix(&row.branch);
    if view.get::<NoticedBranch>(&branch)?.is_none() {
        view.put(&branch, &NoticedBranch(row.branch.clone()))?;
    }
    view.put(&branch.number(!place.position.raw()).number(!place.index), &NoticeByBranch(id))?;
    Ok(view.put(&notice_key(id), &row)?)
}

fn attempted(event: &AlertEvent, envelope: &Envelope, view: &mut View<'_>) -> Result<(), StoreError> {
    let AlertEvent::AlertAttempted { channel, attempt, outcome, .. } = event;
    let key = deliveries_key(&envelope.stream_id);
    let mut deliveries = view.get::<Deliveries>(&key)?.unwrap_or_default();
    deliveries.0.retain(|delivery| delivery.channel != *channel);
    deliveries.0.push(DeliveryRow {
        channel: channel.clone(),
        attempts: *attempt,
        outcome: match outcome.clone() {
            Outcome::Delivered => DeliveryOutcome::Delivered,
            Outcome::Failed(reason) => DeliveryOutcome::Failed(reason),
            Outcome::GivenUp(reason) => DeliveryOutcome::GivenUp(reason),
        },
        attempted_at: envelope.happened.occurred_at,
    });
    deliveries.0.sort_by(|one, other| one.channel.cmp(&other.channel));
    view.put(&key, &deliveries)
}
