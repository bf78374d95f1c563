//! Questions about expedite notices (催办单) and about clocks that may still break.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use cuiban_domain::Aggregate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, NoticeId};
use cuiban_domain::ticket::Ticket;

use super::paging::Wanted;
use super::{ReadError, ReadModels};
use crate::parked::ParkedCommit;
use crate::projections::OpenClocksByDue;
use crate::projections::notices::{
    Deliveries, NoticeByBranch, NoticedBranch, branch_prefix, deliveries_key, notice_key,
};
use crate::projections::open_clocks::{ByDue, clock_key};
use crate::rows::{DeliveryRow, NoticeRow, OpenClock, Page, Paged, Unurged};
use crate::rows_reader::RowsReader;
use crate::{Key, Model, StoreError};

/// How many clocks are read at a time while all of them are walked.
const CLOCKS_PER_SLICE: usize = 1_000;

impl ReadModels {
    /// Expedite notices (催办单), the latest first; of one branch or of all.
    pub fn notices(&self, branch: Option<&BranchId>, page: &Page) -> Result<Paged<NoticeRow>, ReadError> {
        let wanted = Wanted::of(page, &self.shared.config)?;
        self.shared.notices.query(|rows| {
            let prefixes = match branch {
                Some(branch) => vec![branch_prefix(branch)],
                None => {
                    let known = rows.walk::<NoticedBranch>(&Key::new());
                    known.map(|row| Ok(branch_prefix(&row?.1.0))).collect::<Result<_, StoreError>>()?
                }
            };
            let lists = prefixes.iter().map(|prefix| wanted.under(rows, prefix));
            wanted.page(lists.collect(), |NoticeByBranch(id)| notice(rows, id))
        })
    }

    /// One notice with its deliveries.
    pub fn notice(&self, id: NoticeId) -> Result<Option<NoticeRow>, ReadError> {
        self.shared.notices.query(|rows| notice(rows, id))
    }

    /// How a notice was pushed, by channel.
    pub fn deliveries(&self, notice: NoticeId) -> Result<Vec<DeliveryRow>, ReadError> {
        self.shared.notices.query(|rows| deliveries(rows, &notice.to_string()))
    }

    /// Every clock that runs or is paused, by ticket. Read in slices while it is walked: a clock that changes
    /// meanwhile is seen as it was or as it is.
    pub fn open_clocks(
        &self,
    ) -> Result<Box<dyn Iterator<Item = Result<OpenClock, ReadError>> + Send>, ReadError> {
        let mut slices =
            Slices { model: self.shared.open_clocks.clone(), after: None, slice: VecDeque::new() };
        slices.read()?;
        Ok(Box::new(slices))
    }

    /// The clocks that run on though they were due before `now`, and were known to be, by more than `grace`: nobody has
    /// urged them. One read of the index by due instant, from its beginning up to there.
    pub fn unurged(&self, now: Instant, grace: Duration) -> Result<Unurged, ReadError> {
        self.shared.open_clocks.unurged(now, grace, self.shared.config.list_rows_max)
    }
}

impl Model<OpenClocksByDue> {
    /// As [`ReadModels::unurged`], of a model by itself; at most `rows_max` clocks are looked at.
    pub fn unurged(&self, now: Instant, grace: Duration, rows_max: usize) -> Result<Unurged, ReadError> {
        let due_before = now - grace;
        self.query(|rows| {
            let parked = rows.walk::<ParkedCommit>(&Key::new()).take(rows_max);
            let unreadable: BTreeSet<String> = parked
                .filter_map(|row| row.map(|(_, parked)| unreadable_ticket(&parked)).transpose())
                .collect::<Result<_, StoreError>>()?;
            let mut unurged = Unurged::default();
            for row in rows.walk::<ByDue>(&Key::new()).take(rows_max) {
                let (_, entry) = row?;
                if entry.due_at >= due_before {
                    break;
                }
                // Told a moment ago of a due instant long past (a late entry, an import): not yet to be expected.
                if entry.told_at >= due_before {
                    continue;
                }
                let (count, oldest) = match unreadable.contains(&entry.ticket.to_string()) {
                    true => (&mut unurged.unreadable, &mut unurged.oldest_unreadable),
                    false => (&mut unurged.clocks, &mut unurged.oldest),
                };
                *count += 1;
                if oldest.is_none() {
                    *oldest = rows.get::<OpenClock>(&clock_key(entry.ticket, entry.clock, entry.cycle))?;
                }
            }
            Ok(unurged)
        })
    }
}

fn unreadable_ticket(parked: &ParkedCommit) -> Option<String> {
    let stream = parked.stream();
    (stream.kind.as_str() == Ticket::KIND).then(|| stream.id.to_string())
}

fn notice(rows: RowsReader<'_>, id: NoticeId) -> Result<Option<NoticeRow>, StoreError> {
    let Some(mut row) = rows.get::<NoticeRow>(&notice_key(id))? else { return Ok(None) };
    row.deliveries = deliveries(rows, &id.to_string())?;
    Ok(Some(row))
}

fn deliveries(rows: RowsReader<'_>, alert: &str) -> Result<Vec<DeliveryRow>, StoreError> {
    let deliveries = rows.get::<Deliveries>(&deliveries_key(alert))?;
    Ok(deliveries.map(|Deliveries(deliveries)| deliveries).unwrap_or_default())
}

/// All open clocks, a slice at a time.
struct Slices {
    model: Model<OpenClocksByDue>,
    after: Option<Key>,
    slice: VecDeque<(Key, OpenClock)>,
}

impl Slices {
    fn read(&mut self) -> Result<(), ReadError> {
        let after = self.after.as_ref();
        let rows = self.model.query(|rows| rows.scan(&Key::new(), after, CLOCKS_PER_SLICE))?;
        self.slice = rows.into();
        self.after = self.slice.back().map(|(key, _)| key.clone());
        Ok(())
    }
}

impl Iterator for Slices {
    type Item = Result<OpenClock, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.slice.is_empty()
            && self.after.is_some()
            && let Err(error) = self.read()
        {
            self.after = None;
            return Some(Err(error));
        }
        self.slice.pop_front().map(|(_, clock)| Ok(clock))
    }
}
