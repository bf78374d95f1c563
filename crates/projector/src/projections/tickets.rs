//! Tickets as the counter sees them, and the indexes by which they are found.
//!
//! ```text
//! ticket                                     ─► TicketRow
//! number                                     ─► ticket
//! phone, latest call first                   ─► ticket        lists by phone, possible duplicates (R5)
//! branch, latest call first                  ─► ticket        lists
//! branch, latest call first, open ones only  ─► ticket        lists, dispatch board, load
//! branch, earliest due first, broken ones    ─► ticket, clock overdue list
//! branch, day of the call, number, repairs   ─► ticket        repair register
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_domain::Event;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::CompanyEvent;
use cuiban_domain::people::Phone;
use cuiban_domain::sla::{ClockKind, Policy};
use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use serde::{Deserialize, Serialize};

use crate::projections::{repair_register, ticket_events, ticket_of, unknown};
use crate::rows::{ClockStanding, TicketLifecycle, TicketRow};
use crate::scope::HandOver;
use crate::{FIRST_TABLE, Key, Projection, Row, StoreError, Unfoldable, View, forms};

/// The fold of tickets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tickets;

/// How many earlier calls of a phone number are compared with a new one (R5).
const CALLS_COMPARED_MAX: usize = 50;

impl Row for TicketRow {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// An entry of an index: where the row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index<const TABLE: u8>(pub(crate) TicketId);

impl<const TABLE: u8> Row for Index<TABLE> {
    const TABLE: u8 = TABLE;
    const FORMAT: u8 = 1;
}

pub(crate) type ByNumber = Index<{ FIRST_TABLE + 1 }>;
pub(crate) type ByPhone = Index<{ FIRST_TABLE + 2 }>;
pub(crate) type ByBranch = Index<{ FIRST_TABLE + 3 }>;
pub(crate) type OpenByBranch = Index<{ FIRST_TABLE + 4 }>;

/// An entry of the overdue list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overdue {
    pub(crate) ticket: TicketId,
    pub(crate) clock: ClockKind,
    pub(crate) cycle: u32,
}

impl Row for Overdue {
    const TABLE: u8 = FIRST_TABLE + 5;
    const FORMAT: u8 = 1;
}

/// A branch that has, or had, tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownBranch(pub(crate) BranchId);

impl Row for KnownBranch {
    const TABLE: u8 = FIRST_TABLE + 6;
    const FORMAT: u8 = 1;
}

/// The company's window for possible duplicates (R5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DuplicateWindow(#[serde(with = "forms::duration")] Duration);

impl Row for DuplicateWindow {
    const TABLE: u8 = FIRST_TABLE + 7;
    const FORMAT: u8 = 1;
}

/// The key of a ticket's row.
pub(crate) fn ticket_key(ticket: TicketId) -> Key {
    Key::new().id(ticket.0)
}

/// The prefix of a branch's entries.
pub(crate) fn branch_prefix(branch: &BranchId) -> Key {
    Key::new().text(branch.as_str())
}

/// The prefix of a phone number's entries.
pub(crate) fn phone_prefix(phone: &Phone) -> Key {
    Key::new().text(phone.as_str())
}

impl Projection for Tickets {
    const NAME: &'static str = "tickets";
    const VERSION: u32 = 2;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        for event in &commit.events {
            if let Event::Company(CompanyEvent::PolicySet { policy }) = event {
                view.put(&Key::new(), &DuplicateWindow(policy.duplicate_window.duration()))?;
            }
        }
        repair_register::fold_zones(commit, view)?;
        match ticket_of(commit)? {
            Some(ticket) => fold_ticket(ticket, commit, view),
            None => Ok(()),
        }
    }
}

fn fold_ticket(ticket: TicketId, commit: &Commit, view: &mut View<'_>) -> Result<(), Unfoldable> {
    let happened = commit.envelope.happened;
    // A stream's first commit finds nothing stored.
    let before = match commit.envelope.revision {
        1 => None,
        _ => view.get::<TicketRow>(&ticket_key(ticket))?,
    };
    let mut row = before.clone();
    let mut handed_over = false;
    for event in ticket_events(commit) {
        if let Some(mut registered) = TicketRow::registered(event, happened) {
            registered.possible_duplicate_of = possible_duplicate(&registered, view)?;
            row = Some(registered);
            continue;
        }
        match view.scope().hand_over(event) {
            Some(HandOver::Elsewhere) => return Ok(()),
            Some(HandOver::In) if row.as_ref().is_none_or(is_handed_over) => {
                row = TicketRow::transferred(ticket, event, row, happened);
                continue;
            }
            Some(HandOver::Out) => handed_over = true,
            _ => {}
        }
        row.as_mut().ok_or_else(|| unknown(ticket))?.fold(event, happened);
    }
    let Some(mut row) = row else { return Err(unknown(ticket)) };
    if handed_over {
        row.hand_over(happened);
    }
    (row.revision, row.changed_at) = (commit.envelope.revision, happened.recorded_at);
    if before.as_ref().is_none_or(|before| before.branch != row.branch) {
        row.register_day = repair_register::day_of(&row, view)?;
    }
    match before {
        Some(_) => view.put(&ticket_key(ticket), &row)?,
        None => view.change(&ticket_key(ticket), None, Some(&row))?,
    }
    index(before.as_ref(), &row, view)?;
    Ok(repair_register::list(before.as_ref(), &row, happened.occurred_at, view)?)
}

fn is_handed_over(row: &TicketRow) -> bool {
    row.lifecycle == TicketLifecycle::HandedOver
}

/// The latest earlier call of the same customer about the same product, within the company's window (R5).
fn possible_duplicate(row: &TicketRow, view: &mut View<'_>) -> Result<Option<TicketId>, StoreError> {
    let window = match view.get::<DuplicateWindow>(&Key::new())? {
        Some(DuplicateWindow(window)) => window,
        None => Policy::default().duplicate_window.duration(),
    };
    let phone = phone_prefix(&row.customer.phone);
    let from = phone.clone().latest_first(later(row.reported_at, window));
    for Index(ticket) in view.scan::<ByPhone>(&phone, &from, CALLS_COMPARED_MAX)? {
        let Some(earlier) = view.get::<TicketRow>(&ticket_key(ticket))? else { continue };
        if earlier.reported_at < earlier_by(row.reported_at, window) {
            break;
        }
        if is_possible_duplicate(&earlier, row) {
            return Ok(Some(ticket));
        }
    }
    Ok(None)
}

fn is_possible_duplicate(earlier: &TicketRow, row: &TicketRow) -> bool {
    let ended = matches!(earlier.lifecycle, TicketLifecycle::Cancelled | TicketLifecycle::Merged);
    let same = earlier.kind == row.kind && earlier.product_model == row.product_model;
    earlier.ticket != row.ticket && same && !ended
}

/// `at` and as much later, as far as there is time.
pub(crate) fn later(at: Instant, by: Duration) -> Instant {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_add_signed(by)).unwrap_or(Instant::MAX_UTC)
}

/// `at` and as much earlier, as far as there is time.
pub(crate) fn earlier_by(at: Instant, by: Duration) -> Instant {
    TimeDelta::from_std(by).ok().and_then(|by| at.checked_sub_signed(by)).unwrap_or(Instant::MIN_UTC)
}

/// Brings the indexes from what they say of `before` to what they are to say of `after`.
fn index(before: Option<&TicketRow>, after: &TicketRow, view: &mut View<'_>) -> Result<(), StoreError> {
    move_entry::<{ ByNumber::TABLE }>(before, after, view, |row| Some(number_key(row.number.as_str())))?;
    move_entry::<{ ByPhone::TABLE }>(before, after, view, |row| {
        Some(latest_first(phone_prefix(&row.customer.phone), row))
    })?;
    move_entry::<{ ByBranch::TABLE }>(before, after, view, |row| {
        Some(latest_first(branch_prefix(&row.branch), row))
    })?;
    move_entry::<{ OpenByBranch::TABLE }>(before, after, view, |row| {
        row.is_open().then(|| latest_first(branch_prefix(&row.branch), row))
    })?;
    let arrives = before.is_none_or(|before| before.branch != after.branch);
    if arrives && view.get::<KnownBranch>(&branch_prefix(&after.branch))?.is_none() {
        view.put(&branch_prefix(&after.branch), &KnownBranch(after.branch.clone()))?;
    }
    let overdue_before = before.map(overdue_entries).unwrap_or_default();
    let mut overdue = overdue_entries(after);
    for (key, entry) in &overdue_before {
        if overdue.remove(key).is_none() {
            view.change(key, Some(entry), None)?;
        }
    }
    overdue.iter().try_for_each(|(key, entry)| view.change(key, None, Some(entry)))
}

/// The key of a number's entry.
pub(crate) fn number_key(number: &str) -> Key {
    Key::new().text(number)
}

fn latest_first(prefix: Key, row: &TicketRow) -> Key {
    prefix.latest_first(row.reported_at).id(row.ticket.0)
}

fn move_entry<const TABLE: u8>(
    before: Option<&TicketRow>,
    after: &TicketRow,
    view: &mut View<'_>,
    key: impl Fn(&TicketRow) -> Option<Key>,
) -> Result<(), StoreError> {
    let (old, new) = (before.and_then(&key), key(after));
    if old == new {
        return Ok(());
    }
    let entry = Index::<TABLE>(after.ticket);
    if let Some(old) = old {
        view.change(&old, Some(&entry), None)?;
    }
    new.map_or(Ok(()), |new| view.change(&new, None, Some(&entry)))
}

/// A ticket's entries in the overdue list, by key.
fn overdue_entries(row: &TicketRow) -> BTreeMap<Key, Overdue> {
    let broken = |clock: &&crate::ClockRow| row.is_open() && clock.standing == ClockStanding::Breached;
    let entry = |clock: &crate::ClockRow| {
        let key = branch_prefix(&row.branch).earliest_first(clock.due_at?).id(row.ticket.0);
        let key = key.byte(clock.clock as u8).number(clock.cycle.into());
        Some((key, Overdue { ticket: row.ticket, clock: clock.clock, cycle: clock.cycle }))
    };
    row.clocks.iter().filter(broken).filter_map(entry).collect()
}
