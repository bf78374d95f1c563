//! Typed rows out of one tree.

use std::ops::Bound;

use crate::codec;
use crate::key::Key;
use crate::projection::Row;
use crate::store::{StoreError, Tree};

/// Reads the rows of one model.
#[derive(Clone, Copy, Debug)]
pub struct RowsReader<'a> {
    tree: &'a Tree,
}

impl<'a> RowsReader<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self { tree }
    }

    /// The row under this key.
    pub fn get<R: Row>(&self, key: &Key) -> Result<Option<R>, StoreError> {
        let bytes = self.tree.get(&key.within(R::TABLE))?;
        bytes.map(|bytes| codec::decode(R::FORMAT, &bytes).map_err(StoreError::codec)).transpose()
    }

    /// All rows of this table whose keys start with `prefix`, in key order.
    pub fn walk<R: Row>(
        &self,
        prefix: &Key,
    ) -> impl Iterator<Item = Result<(Key, R), StoreError>> + use<'a, R> {
        self.walk_from(prefix, Bound::Included(prefix))
    }

    /// As [`Self::walk`], from this bound on.
    pub fn walk_from<R: Row>(
        &self,
        prefix: &Key,
        from: Bound<&Key>,
    ) -> impl Iterator<Item = Result<(Key, R), StoreError>> + use<'a, R> {
        let prefix = prefix.within(R::TABLE);
        let from = match from {
            Bound::Included(key) => Bound::Included(key.within(R::TABLE).max(prefix.clone())),
            Bound::Excluded(key) if key.within(R::TABLE) >= prefix => Bound::Excluded(key.within(R::TABLE)),
            Bound::Excluded(_) | Bound::Unbounded => Bound::Included(prefix.clone()),
        };
        let end = successor(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
        self.tree.range((from, end)).map(|row| {
            let (key, value) = row?;
            let row = codec::decode(R::FORMAT, &value).map_err(StoreError::codec)?;
            Ok((Key::from_bytes(key.get(1..).unwrap_or_default().to_vec()), row))
        })
    }

    /// At most `limit` rows of this table whose keys start with `prefix` and come after `after`, in key order.
    pub fn scan<R: Row>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, R)>, StoreError> {
        self.walk_from(prefix, after.map_or(Bound::Unbounded, Bound::Excluded)).take(limit).collect()
    }
}

/// The first key behind all that start with `prefix`; none if there is no such key.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut successor = prefix[..=last].to_vec();
    successor[last] += 1;
    Some(successor)
}
