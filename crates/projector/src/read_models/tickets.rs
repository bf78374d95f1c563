//! Questions about tickets.

use std::time::Duration;

use chrono::NaiveDate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::people::Phone;
use cuiban_domain::text::Name;
use cuiban_domain::ticket::TicketKind;
use cuiban_event_schema::{DecodeError, to_json};
use serde_json::Value;

use super::paging::Wanted;
use super::{ReadError, ReadModels};
use crate::projections::repair_register::{Listed, day_prefix, line_of};
use crate::projections::tickets::{
    ByBranch, ByNumber, ByPhone, Index, KnownBranch, OpenByBranch, branch_prefix, earlier_by, later,
    number_key, phone_prefix, ticket_key,
};
use crate::projections::timelines::{Sheet, TimelineRecord, timeline_prefix};
use crate::rows::{
    Page, Paged, RegisterLine, RepairRegister, TicketFilter, TicketLifecycle, TicketRow, TimelineEntry,
    TimelineEvent,
};
use crate::rows_reader::RowsReader;
use crate::{Key, StoreError};

impl ReadModels {
    /// A ticket by its id.
    pub fn ticket(&self, ticket: TicketId) -> Result<Option<TicketRow>, ReadError> {
        self.shared.tickets.query(|rows| rows.get(&ticket_key(ticket)))
    }

    /// A ticket by its number for people, `BX-202611-00042`.
    pub fn ticket_by_number(&self, number: &str) -> Result<Option<TicketRow>, ReadError> {
        self.shared.tickets.query(|rows| match rows.get::<ByNumber>(&number_key(number))? {
            Some(Index(ticket)) => rows.get(&ticket_key(ticket)),
            None => Ok(None),
        })
    }

    /// Every commit of a ticket, oldest first; empty for an unknown ticket.
    pub fn timeline(&self, ticket: TicketId) -> Result<Vec<TimelineEntry>, ReadError> {
        let limit = self.shared.config.list_rows_max;
        let sheets = self.shared.timelines.query(|rows| {
            let sheets = rows.walk::<Sheet>(&timeline_prefix(ticket));
            sheets.map(|sheet| sheet.map(|(_, sheet)| sheet)).collect::<Result<Vec<_>, _>>()
        })?;
        let entries = sheets.iter().flat_map(|sheet| &sheet.0).take(limit).map(entry);
        entries
            .collect::<Result<_, _>>()
            .map_err(|error| ReadError::Unavailable { detail: error.to_string() })
    }

    /// Tickets, the latest call first.
    pub fn tickets(&self, filter: &TicketFilter, page: &Page) -> Result<Paged<TicketRow>, ReadError> {
        let wanted = Wanted::of(page, &self.shared.config)?;
        let needle = filter.text.as_ref().map(|text| text.to_lowercase());
        let fits = |row: &TicketRow| {
            filter.branch.as_ref().is_none_or(|branch| row.branch == *branch)
                && filter.kind.is_none_or(|kind| row.kind == kind)
                && (!filter.open_only || row.is_open())
                && needle.as_ref().is_none_or(|needle| contains(row, needle))
        };
        self.shared.tickets.query(|rows| {
            let row =
                |ticket: TicketId| Ok(rows.get::<TicketRow>(&ticket_key(ticket))?.filter(|row| fits(row)));
            if let Some(phone) = &filter.phone {
                let calls = wanted.under::<ByPhone>(rows, &phone_prefix(phone));
                return wanted.page(vec![calls], |Index(ticket)| row(ticket));
            }
            let prefixes = branches(rows, filter.branch.as_ref())?;
            let prefixes = prefixes.iter();
            if filter.open_only {
                let lists = prefixes.map(|prefix| wanted.under::<OpenByBranch>(rows, prefix));
                wanted.page(lists.collect(), |Index(ticket)| row(ticket))
            } else {
                let lists = prefixes.map(|prefix| wanted.under::<ByBranch>(rows, prefix));
                wanted.page(lists.collect(), |Index(ticket)| row(ticket))
            }
        })
    }

    /// Calls that may be about the same thing as one of this customer at `at` (R5), the latest first. At most
    /// [`crate::Config::duplicates_max`].
    pub fn possible_duplicates(
        &self,
        phone: &Phone,
        product: &Name,
        kind: TicketKind,
        at: Instant,
        window: Duration,
    ) -> Result<Vec<TicketRow>, ReadError> {
        let same = |row: &TicketRow| {
            let ended = matches!(row.lifecycle, TicketLifecycle::Cancelled | TicketLifecycle::Merged);
            row.kind == kind && row.product_model == *product && !ended
        };
        let (oldest, latest) = (earlier_by(at, window), later(at, window));
        self.shared.tickets.query(|rows| {
            let prefix = phone_prefix(phone);
            let from = prefix.clone().latest_first(latest);
            let mut found = Vec::new();
            for entry in rows.walk_from::<ByPhone>(&prefix, std::ops::Bound::Included(&from)) {
                let (_, Index(ticket)) = entry?;
                let Some(row) = rows.get::<TicketRow>(&ticket_key(ticket))? else { continue };
                if row.reported_at < oldest || found.len() == self.shared.config.duplicates_max {
                    break;
                }
                found.extend(Some(row).filter(same));
            }
            Ok(found)
        })
    }

    /// The repair register (叫修登记簿) of a branch and a day of its zone, by number.
    pub fn repair_register(
        &self,
        branch: &BranchId,
        day: NaiveDate,
        page: &Page,
    ) -> Result<RepairRegister, ReadError> {
        let (prefix, wanted) = (day_prefix(branch, day), Wanted::of(page, &self.shared.config)?);
        let Paged { rows, next } = self.shared.tickets.query(|rows| {
            let listed = wanted.under(rows, &prefix).map(|entry| {
                let (place, Listed(ticket)) = entry?;
                Ok((place, rows.get::<TicketRow>(&ticket_key(ticket))?.as_ref().map(line_of)))
            });
            let left = wanted.under::<RegisterLine>(rows, &prefix).map(|entry| {
                let (place, line) = entry?;
                Ok((place, Some(line)))
            });
            wanted.page(vec![Box::new(listed), Box::new(left)], Ok)
        })?;
        Ok(RepairRegister { branch: branch.clone(), day, data: rows, next_cursor: next })
    }
}

/// The prefix of one branch, or of all that have tickets.
pub(super) fn branches(rows: RowsReader<'_>, branch: Option<&BranchId>) -> Result<Vec<Key>, StoreError> {
    match branch {
        Some(branch) => Ok(vec![branch_prefix(branch)]),
        None => rows.walk::<KnownBranch>(&Key::new()).map(|row| Ok(branch_prefix(&row?.1.0))).collect(),
    }
}

fn contains(row: &TicketRow, needle: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(needle);
    has(row.number.as_str())
        || has(row.customer.name.as_str())
        || row.customer.address.as_ref().is_some_and(|address| has(address.as_str()))
        || has(row.product_model.as_str())
        || row.serial_number.as_ref().is_some_and(|serial| has(serial.as_str()))
        || has(row.description.as_str())
}

fn entry(record: &TimelineRecord) -> Result<TimelineEntry, DecodeError> {
    let commit = cuiban_event_schema::decode(&record.payload)?;
    let envelope = commit.envelope;
    let happened = envelope.happened;
    let json = to_json(&record.payload)?;
    let events = json.get("events").and_then(Value::as_array).into_iter().flatten();
    let event = |event: &Value| {
        let (name, fields) = event.as_object()?.iter().next()?;
        Some(TimelineEvent { name: name.clone(), fields: fields.clone() })
    };
    Ok(TimelineEntry {
        revision: envelope.revision,
        position: record.position,
        commit_id: envelope.commit_id,
        actor: envelope.actor.to_string(),
        occurred_at: happened.occurred_at,
        recorded_at: happened.recorded_at,
        late_entry: happened.occurred_at < happened.recorded_at,
        events: events.filter_map(event).collect(),
    })
}
