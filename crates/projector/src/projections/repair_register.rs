//! The repair register (叫修登记簿, R11): which tickets have a line, in which branch's book and on which day.
//!
//! A line is drawn from the ticket's row when it is asked for; what is kept here is its place, and the lines that
//! stayed behind in a branch's book when the ticket went to another branch.

use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::{BranchEvent, Company, CompanyEvent};
use cuiban_domain::ticket::TicketKind;
use cuiban_domain::{Event, Instant};
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::rows::{RegisterLine, StruckOff, TicketLifecycle, TicketRow, WorkStage};
use crate::{FIRST_TABLE, Key, Row, StoreError, Unfoldable, View};

/// A line's place in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed(pub(crate) TicketId);

impl Row for Listed {
    const TABLE: u8 = FIRST_TABLE + 8;
    const FORMAT: u8 = 1;
}

/// A line that stayed behind.
impl Row for RegisterLine {
    const TABLE: u8 = FIRST_TABLE + 9;
    const FORMAT: u8 = 1;
}

/// The zone of a branch, or of the company under a key without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Zone(Tz);

impl Row for Zone {
    const TABLE: u8 = FIRST_TABLE + 10;
    const FORMAT: u8 = 1;
}

/// The prefix of a day's lines.
pub(crate) fn day_prefix(branch: &BranchId, day: NaiveDate) -> Key {
    Key::new().text(branch.as_str()).number(u64::from(day.num_days_from_ce().cast_unsigned() ^ (1 << 31)))
}

fn line_key(row: &TicketRow) -> Key {
    day_prefix(&row.branch, row.register_day).text(row.number.as_str()).id(row.ticket.0)
}

fn zone_key(branch: &BranchId) -> Key {
    Key::new().text(branch.as_str())
}

/// Folds what a commit says of the zones by which days are told.
pub(crate) fn fold_zones(commit: &Commit, view: &mut View<'_>) -> Result<(), Unfoldable> {
    for event in &commit.events {
        match event {
            Event::Company(CompanyEvent::CompanyCalendarSet { calendar }) => {
                view.put(&Key::new(), &Zone(calendar.zone()))?;
            }
            Event::Branch(BranchEvent::BranchHoursSet { hours }) => {
                let branch = BranchId::new(&commit.envelope.stream_id);
                let key = zone_key(&branch.map_err(|error| Unfoldable::commit(error.to_string()))?);
                match hours.zone {
                    Some(zone) => view.put(&key, &Zone(zone))?,
                    None => view.remove::<Zone>(&key)?,
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The day of the call in the zone of the branch that has the ticket.
pub(crate) fn day_of(row: &TicketRow, view: &mut View<'_>) -> Result<NaiveDate, StoreError> {
    let zone = match view.get::<Zone>(&zone_key(&row.branch))? {
        Some(zone) => Some(zone),
        None => view.get::<Zone>(&Key::new())?,
    };
    let zone = zone.map_or_else(|| Company::default().calendar().zone(), |Zone(zone)| zone);
    Ok(row.reported_at.with_timezone(&zone).date_naive())
}

/// Moves a ticket's line to where it belongs now. In the book of a branch that the ticket left, it stays, struck off.
pub(crate) fn list(
    before: Option<&TicketRow>,
    after: &TicketRow,
    transferred_at: Instant,
    view: &mut View<'_>,
) -> Result<(), StoreError> {
    let has_line =
        |row: &&TicketRow| row.kind == TicketKind::Repair && row.lifecycle != TicketLifecycle::HandedOver;
    let (old, new) = (before.filter(has_line).map(line_key), Some(after).filter(has_line).map(line_key));
    if old == new {
        return Ok(());
    }
    let listed = Listed(after.ticket);
    if let Some((old, before)) = old.zip(before) {
        view.change(&old, Some(&listed), None)?;
        if before.branch != after.branch {
            let left = left_behind(line_of(before), transferred_at);
            view.put(&old, &left)?;
        }
    }
    let Some(new) = new else { return Ok(()) };
    view.change(&new, None, Some(&listed))?;
    // A ticket that comes back is found in the book once.
    match before {
        Some(before) if before.branch != after.branch => view.remove::<RegisterLine>(&new),
        _ => Ok(()),
    }
}

fn left_behind(line: RegisterLine, at: Instant) -> RegisterLine {
    match line.struck_off {
        Some(_) => line,
        None => RegisterLine { struck_off: Some(StruckOff::Transferred), struck_off_at: Some(at), ..line },
    }
}

/// The line of a ticket as it stands.
pub(crate) fn line_of(row: &TicketRow) -> RegisterLine {
    let struck_off = match (row.stage, row.lifecycle) {
        (WorkStage::Fixed, _) => row.fixed_at.map(|at| (StruckOff::FixedOnSite, at)),
        (_, TicketLifecycle::Open) => None,
        (_, TicketLifecycle::Closed) => row.ended_at.map(|at| (StruckOff::Closed, at)),
        (_, TicketLifecycle::Cancelled) => row.ended_at.map(|at| (StruckOff::Cancelled, at)),
        (_, TicketLifecycle::Merged) => row.ended_at.map(|at| (StruckOff::Merged, at)),
        (_, TicketLifecycle::HandedOver) => row.ended_at.map(|at| (StruckOff::Transferred, at)),
    };
    RegisterLine {
        ticket: row.ticket,
        number: row.number.clone(),
        branch: row.branch.clone(),
        day: row.register_day,
        reported_at: row.reported_at,
        customer: row.customer.clone(),
        product_model: row.product_model.clone(),
        serial_number: row.serial_number.clone(),
        description: row.description.clone(),
        urgency: row.urgency,
        service_basis: row.service_basis,
        technician: row.technician.clone(),
        dispatched_at: row.dispatched_at,
        arrived_at: row.arrived_at,
        struck_off_at: struck_off.map(|(_, at)| at),
        struck_off: struck_off.map(|(why, _)| why),
    }
}
