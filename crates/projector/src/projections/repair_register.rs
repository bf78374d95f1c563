//! The repair register (叫修登记簿, R11): a line for each repair call, by branch and day of the branch's zone.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::{BranchEvent, Company, CompanyEvent};
use cuiban_domain::ticket::{TicketEvent, TicketKind};
use cuiban_domain::{Event, Instant};
use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::projections::{ticket_events, ticket_of, unknown};
use crate::rows::{RegisterLine, StruckOff, TicketRow};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, StoreError, Unfoldable, View};

/// The fold of the repair register.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepairRegister;

impl Row for RegisterLine {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// A ticket's present line, listed or not: a complaint may turn out to be a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    kind: TicketKind,
    line: RegisterLine,
}

impl Row for Entry {
    const TABLE: u8 = FIRST_TABLE + 1;
    const FORMAT: u8 = 1;
}

/// The zone of a branch, or of the company under a key without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Zone(Tz);

impl Row for Zone {
    const TABLE: u8 = FIRST_TABLE + 2;
    const FORMAT: u8 = 1;
}

/// The prefix of a day's lines.
pub(crate) fn day_prefix(branch: &BranchId, day: NaiveDate) -> Key {
    Key::new().text(branch.as_str()).number(u64::from(day.num_days_from_ce().cast_unsigned() ^ (1 << 31)))
}

fn line_key(line: &RegisterLine) -> Key {
    day_prefix(&line.branch, line.day).text(line.number.as_str()).id(line.ticket.0)
}

fn zone_key(branch: &BranchId) -> Key {
    Key::new().text(branch.as_str())
}

impl Projection for RepairRegister {
    const NAME: &'static str = "repair_register";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        for event in &commit.events {
            match event {
                Event::Company(CompanyEvent::CompanyCalendarSet { calendar }) => {
                    view.put(&Key::new(), &Zone(calendar.zone()))?;
                }
                Event::Branch(BranchEvent::BranchHoursSet { hours }) => {
                    let branch = BranchId::new(&commit.envelope.stream_id)
                        .map_err(|error| Unfoldable::commit(error.to_string()))?;
                    match hours.zone {
                        Some(zone) => view.put(&zone_key(&branch), &Zone(zone))?,
                        None => view.remove::<Zone>(&zone_key(&branch))?,
                    }
                }
                _ => {}
            }
        }
        match ticket_of(commit)? {
            Some(ticket) => fold_ticket(ticket, commit, view),
            None => Ok(()),
        }
    }
}

fn fold_ticket(ticket: TicketId, commit: &Commit, view: &mut View<'_>) -> Result<(), Unfoldable> {
    let happened = commit.envelope.happened;
    let key = Key::new().id(ticket.0);
    let before = view.get::<Entry>(&key)?;
    let mut entry = before.clone();
    for event in ticket_events(commit) {
        if let Some(row) = TicketRow::registered(event, happened) {
            entry = Some(new_entry(&row, view)?);
            continue;
        }
        match view.scope().hand_over(event) {
            Some(HandOver::Elsewhere) => return Ok(()),
            Some(hand_over) => {
                entry = transfer(ticket, event, entry, hand_over, commit, view)?;
                continue;
            }
            None => {}
        }
        let entry = entry.as_mut().ok_or_else(|| unknown(ticket))?;
        if let TicketEvent::TicketReclassified { kind, urgency, .. } = event {
            (entry.kind, entry.line.urgency) = (*kind, *urgency);
        }
        fold_line(&mut entry.line, event, happened.occurred_at);
    }
    if entry == before {
        return Ok(());
    }
    let Some(entry) = entry else { return Err(unknown(ticket)) };
    view.put(&key, &entry)?;
    Ok(list(&entry, view)?)
}

/// Puts the line into its day; takes it out if it is no repair after all.
fn list(entry: &Entry, view: &mut View<'_>) -> Result<(), StoreError> {
    let key = line_key(&entry.line);
    match entry.kind {
        TicketKind::Repair => view.put(&key, &entry.line),
        _ => view.remove::<RegisterLine>(&key),
    }
}

/// The old branch's line is struck off; the new branch gets one, under the day of the call in its own zone.
fn transfer(
    ticket: TicketId,
    event: &TicketEvent,
    entry: Option<Entry>,
    hand_over: HandOver,
    commit: &Commit,
    view: &mut View<'_>,
) -> Result<Option<Entry>, Unfoldable> {
    let happened = commit.envelope.happened;
    if let Some(mut left) = entry.clone().filter(|_| hand_over != HandOver::In) {
        strike_off(&mut left.line, StruckOff::Transferred, happened.occurred_at);
        list(&left, view)?;
        if hand_over == HandOver::Out {
            return Ok(Some(left));
        }
    }
    let row = TicketRow::transferred(ticket, event, None, happened).ok_or_else(|| unknown(ticket))?;
    let mut arrived = new_entry(&row, view)?;
    if let Some(known) = entry {
        arrived.line.service_basis = known.line.service_basis;
    }
    Ok(Some(arrived))
}

fn new_entry(row: &TicketRow, view: &mut View<'_>) -> Result<Entry, StoreError> {
    let zone = match view.get::<Zone>(&zone_key(&row.branch))? {
        Some(zone) => Some(zone),
        None => view.get::<Zone>(&Key::new())?,
    };
    let zone = zone.map_or_else(|| Company::default().calendar().zone(), |Zone(zone)| zone);
    let line = RegisterLine {
        ticket: row.ticket,
        number: row.number.clone(),
        branch: row.branch.clone(),
        day: row.reported_at.with_timezone(&zone).date_naive(),
        reported_at: row.reported_at,
        customer: row.customer.clone(),
        product_model: row.product_model.clone(),
        serial_number: row.serial_number.clone(),
        description: row.description.clone(),
        urgency: row.urgency,
        service_basis: row.service_basis,
        technician: None,
        dispatched_at: None,
        arrived_at: None,
        struck_off_at: None,
        struck_off: None,
    };
    Ok(Entry { kind: row.kind, line })
}

fn fold_line(line: &mut RegisterLine, event: &TicketEvent, at: Instant) {
    use TicketEvent as E;
    match event {
        E::TechnicianDispatched { technician, .. } => {
            (line.technician, line.dispatched_at) = (Some(technician.clone()), Some(at));
            line.arrived_at = None;
        }
        E::TechnicianArrived { .. } => line.arrived_at = Some(at),
        E::TicketReassigned { from, to, .. } if line.technician.as_ref() == Some(from) => {
            line.technician = Some(to.clone());
        }
        E::ServiceBasisCorrected { to, .. } => line.service_basis = Some(*to),
        E::RepairFixedOnSite { .. } => strike_off(line, StruckOff::FixedOnSite, at),
        E::TicketClosed { .. } => strike_off(line, StruckOff::Closed, at),
        E::TicketCancelled { .. } => strike_off(line, StruckOff::Cancelled, at),
        E::TicketMerged { .. } => strike_off(line, StruckOff::Merged, at),
        // The customer is back with the same thing: the line stands again (R39).
        E::TicketReopened { .. } => (line.struck_off, line.struck_off_at) = (None, None),
        _ => {}
    }
}

/// A line is struck off once; what follows does not strike it off again.
fn strike_off(line: &mut RegisterLine, why: StruckOff, at: Instant) {
    if line.struck_off.is_none() {
        (line.struck_off, line.struck_off_at) = (Some(why), Some(at));
    }
}
