//! Questions about expedite notices (催办单) and about clocks that may still break.

use std::collections::VecDeque;

use cuiban_domain::ids::{BranchId, NoticeId};

use super::paging::Wanted;
use super::{ReadError, ReadModels};
use crate::projections::OpenClocks;
use crate::projections::notices::{
    Deliveries, NoticeByBranch, NoticedBranch, branch_prefix, deliveries_key, notice_key,
};
use crate::rows::{DeliveryRow, NoticeRow, OpenClock, Page, Paged};
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
    model: Model<OpenClocks>,
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
