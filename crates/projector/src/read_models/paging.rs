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

    /// The page of several lists that are one: each is in the order of its places.
    ///
    /// `answer` makes an entry's row; an entry without one is left out.
    pub(super) fn page<T, R>(
        &self,
        lists: Vec<Walk<'_, T>>,
        mut answer: impl FnMut(T) -> Result<Option<R>, StoreError>,
    ) -> Result<Paged<R>, StoreError> {
        let mut merged = Merged::begin(lists)?;
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

    /// The rows under a prefix that come after the cursor. A row's place is what its key has behind the prefix.
    pub(super) fn under<'a, R: Row + 'a>(&self, rows: RowsReader<'a>, prefix: &Key) -> Walk<'a, R> {
        let prefix_length = prefix.as_bytes().len();
        let after = self.after.as_ref().map(|after| Key::from_bytes([prefix.as_bytes(), after].concat()));
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        Box::new(rows.walk_from(prefix, from).map(move |row| {
            let (key, row) = row?;
            Ok((key.as_bytes().get(prefix_length..).unwrap_or_default().to_vec(), row))
        }))
    }
}

/// A walk through a list: each entry with its place.
pub(super) type Walk<'a, T> = Box<dyn Iterator<Item = Result<(Place, T), StoreError>> + 'a>;

/// Several sorted lists as one.
struct Merged<'a, T> {
    lists: Vec<List<'a, T>>,
}

struct List<'a, T> {
    rest: Walk<'a, T>,
    head: Option<(Place, T)>,
}

impl<T> List<'_, T> {
    fn advance(&mut self) -> Result<Option<(Place, T)>, StoreError> {
        let next = self.rest.next().transpose()?;
        Ok(std::mem::replace(&mut self.head, next))
    }
}

impl<'a, T> Merged<'a, T> {
    fn begin(walks: Vec<Walk<'a, T>>) -> Result<Self, StoreError> {
        let begin = |rest| {
            let mut list = List { rest, head: None };
            list.advance()?;
            Ok(list)
        };
        Ok(Self { lists: walks.into_iter().map(begin).collect::<Result<_, StoreError>>()? })
    }

    fn next(&mut self) -> Result<Option<(Place, T)>, StoreError> {
        let place = |list: &List<'a, T>| list.head.as_ref().map(|(place, _)| place.clone());
        let with_head = self.lists.iter_mut().filter(|list| list.head.is_some());
        let first = with_head.min_by(|one, other| place(one).cmp(&place(other)));
        first.map_or(Ok(None), List::advance)
    }

    fn is_at_end(&self) -> bool {
        self.lists.iter().all(|list| list.head.is_none())
    }
}
