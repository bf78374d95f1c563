//! Pages of lists: walking several prefixes as one list, and cursors.

use std::ops::Bound;

use crate::projection::Row;
use crate::read_models::ReadError;
use crate::rows::{Page, Paged};
use crate::rows_reader::RowsReader;
use crate::{Config, Key, StoreError};

/// A place in a list: what a key has behind its prefix.
pub(super) type Place = Vec<u8>;

/// What is wanted of a list.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    after: Option<Place>,
    limit: usize,
    looked_at_max: usize,
}

impl Wanted {
    pub(super) fn of(page: &Page, config: &Config) -> Result<Self, ReadError> {
        let cursor = |text: &String| hex::decode(text).map_err(|_| ReadError::InvalidCursor(text.clone()));
        let after = page.after.as_ref().map(cursor).transpose()?;
        let max = config.page_rows_max.max(1);
        let limit = if page.limit == 0 { max } else { page.limit.min(max) };
        Ok(Self { after, limit, looked_at_max: config.search_rows_max.max(limit) })
    }

    /// The page of a list that lies under several prefixes, ordered by what the keys have behind them.
    ///
    /// `answer` makes an entry's row; an entry without one is left out.
    pub(super) fn page<'a, R: Row + 'a, T>(
        &self,
        rows: RowsReader<'a>,
        prefixes: &[Key],
        mut answer: impl FnMut(R) -> Result<Option<T>, StoreError>,
    ) -> Result<Paged<T>, StoreError> {
        let mut merged = Merged::<R>::begin(rows, prefixes, self.after.as_deref())?;
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let mut last = None;
        while found.len() < self.limit && looked_at < self.looked_at_max {
            let Some((place, entry)) = merged.next()? else { return Ok(Paged { rows: found, next: None }) };
            found.extend(answer(entry)?);
            looked_at += 1;
            last = Some(place);
        }
        let next = if merged.is_at_end() { None } else { last.map(hex::encode) };
        Ok(Paged { rows: found, next })
    }
}

/// A walk through the entries under one prefix.
type Walk<'a, R> = Box<dyn Iterator<Item = Result<(Key, R), StoreError>> + 'a>;

/// Several sorted lists as one.
struct Merged<'a, R> {
    lists: Vec<List<'a, R>>,
}

struct List<'a, R> {
    rest: Walk<'a, R>,
    prefix_length: usize,
    head: Option<(Place, R)>,
}

impl<'a, R: Row + 'a> List<'a, R> {
    fn advance(&mut self) -> Result<Option<(Place, R)>, StoreError> {
        let next = self.rest.next().transpose()?;
        let place = |key: &Key| key.as_bytes().get(self.prefix_length..).unwrap_or_default().to_vec();
        Ok(std::mem::replace(&mut self.head, next.map(|(key, row)| (place(&key), row))))
    }
}

impl<'a, R: Row + 'a> Merged<'a, R> {
    fn begin(rows: RowsReader<'a>, prefixes: &[Key], after: Option<&[u8]>) -> Result<Self, StoreError> {
        let mut lists = Vec::with_capacity(prefixes.len());
        for prefix in prefixes {
            let prefix_length = prefix.as_bytes().len();
            let after = after.map(|after| Key::from_bytes([prefix.as_bytes(), after].concat()));
            let bound = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut list = List { rest: Box::new(rows.walk_from(prefix, bound)), prefix_length, head: None };
            list.advance()?;
            lists.push(list);
        }
        Ok(Self { lists })
    }

    fn next(&mut self) -> Result<Option<(Place, R)>, StoreError> {
        let place = |list: &List<'a, R>| list.head.as_ref().map(|(place, _)| place.clone());
        let with_head = self.lists.iter_mut().filter(|list| list.head.is_some());
        let first = with_head.min_by(|one, other| place(one).cmp(&place(other)));
        first.map_or(Ok(None), List::advance)
    }

    fn is_at_end(&self) -> bool {
        self.lists.iter().all(|list| list.head.is_none())
    }
}
