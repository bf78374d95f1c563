//! What a fold sees: the stored rows under those that the present batch has changed.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::attached::RawRow;
use crate::codec;
use crate::key::Key;
use crate::projection::Row;
use crate::scope::Scope;
use crate::store::{StoreError, Tree, WriteBatch, row_digest};

/// The rows of one model while a commit is folded.
#[derive(Debug)]
pub struct View<'a> {
    tree: &'a Tree,
    overlay: &'a mut Overlay,
    scope: &'a Scope,
    payload: &'a Bytes,
    /// What the commit has changed so far, as it was before.
    undo: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What a batch has read and changed, by stored key.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    entries: BTreeMap<Vec<u8>, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// What is stored: its digest, none where nothing is.
    stored: Option<u64>,
    /// What there is now.
    value: Option<Vec<u8>>,
    changed: bool,
}

/// What a batch makes of the stored rows.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The batch for the store.
    pub(crate) batch: WriteBatch,
    /// What it adds to the sum of all rows' digests, modulo 2^64.
    pub(crate) digest_change: u64,
    /// How many rows it adds, less those that it removes.
    pub(crate) rows_change: i64,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        tree: &'a Tree,
        overlay: &'a mut Overlay,
        scope: &'a Scope,
        payload: &'a Bytes,
    ) -> Self {
        Self { tree, overlay, scope, payload, undo: Vec::new() }
    }

    /// Which branches the model follows.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }

    /// The commit's bytes as the log keeps them.
    pub fn payload(&self) -> &Bytes {
        self.payload
    }

    /// The row under this key.
    pub fn get<R: Row>(&mut self, key: &Key) -> Result<Option<R>, StoreError> {
        self.overlay.get(self.tree, key.within(R::TABLE))?.map(|bytes| decode::<R>(bytes)).transpose()
    }

    /// Puts a row under this key, in place of what was there.
    pub fn put<R: Row>(&mut self, key: &Key, row: &R) -> Result<(), StoreError> {
        let bytes = codec::encode(R::FORMAT, row).map_err(StoreError::codec)?;
        self.set(key.within(R::TABLE), Some(bytes))
    }

    /// Puts, replaces or removes a row of which the fold knows what is stored: saves looking it up.
    ///
    /// A fold that says something wrong here makes its store look damaged; builds with debug assertions look it up.
    pub fn change<R: Row>(
        &mut self,
        key: &Key,
        before: Option<&R>,
        after: Option<&R>,
    ) -> Result<(), StoreError> {
        let encode = |row: &R| codec::encode(R::FORMAT, row).map_err(StoreError::codec);
        let key = key.within(R::TABLE);
        if cfg!(debug_assertions) || !self.overlay.entries.contains_key(&key) {
            self.overlay.presume(self.tree, &key, before.map(encode).transpose()?)?;
        }
        self.set(key, after.map(encode).transpose()?)
    }

    /// Removes the row under this key, if there is one.
    pub fn remove<R: Row>(&mut self, key: &Key) -> Result<(), StoreError> {
        self.set(key.within(R::TABLE), None)
    }

    /// At most `limit` rows of this table whose keys start with `prefix` and are at or after `from`, in key order.
    pub fn scan<R: Row>(&mut self, prefix: &Key, from: &Key, limit: usize) -> Result<Vec<R>, StoreError> {
        let (prefix, from) = (prefix.within(R::TABLE), from.within(R::TABLE));
        let values = self.overlay.scan(self.tree, &prefix, &from, limit)?;
        values.iter().map(|bytes| decode::<R>(bytes)).collect()
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StoreError> {
        let entry = self.overlay.entry(self.tree, key.clone())?;
        let before = std::mem::replace(&mut entry.value, value);
        entry.changed = true;
        self.undo.push((key, before));
        Ok(())
    }

    /// Takes back what this commit has changed.
    pub(crate) fn roll_back(self) {
        for (key, before) in self.undo.into_iter().rev() {
            if let Some(entry) = self.overlay.entries.get_mut(&key) {
                entry.value = before;
            }
        }
    }
}

fn decode<R: Row>(bytes: &[u8]) -> Result<R, StoreError> {
    codec::decode(R::FORMAT, bytes).map_err(StoreError::codec)
}

impl Overlay {
    /// The value under a stored key as the batch sees it.
    pub(crate) fn get(&mut self, tree: &Tree, key: Vec<u8>) -> Result<Option<&[u8]>, StoreError> {
        Ok(self.entry(tree, key)?.value.as_deref())
    }

    /// Sets the value under a stored key, for good: no commit's failure takes it back.
    pub(crate) fn set(
        &mut self,
        tree: &Tree,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let entry = self.entry(tree, key)?;
        (entry.value, entry.changed) = (value, true);
        Ok(())
    }

    fn entry(&mut self, tree: &Tree, key: Vec<u8>) -> Result<&mut Entry, StoreError> {
        use std::collections::btree_map::Entry as Place;
        match self.entries.entry(key) {
            Place::Occupied(place) => Ok(place.into_mut()),
            Place::Vacant(place) => {
                let value = tree.get(place.key())?;
                let stored = value.as_ref().map(|value| row_digest(place.key(), value));
                let value = value.map(|value| value.to_vec());
                Ok(place.insert(Entry { stored, value, changed: false }))
            }
        }
    }

    /// Takes it as known what is stored under a key.
    fn presume(&mut self, tree: &Tree, key: &[u8], stored: Option<Vec<u8>>) -> Result<(), StoreError> {
        if let Some(entry) = self.entries.get(key) {
            debug_assert!(entry.value == stored, "the fold errs about {key:?}");
            return Ok(());
        }
        if cfg!(debug_assertions) {
            debug_assert!(tree.get(key)?.as_deref() == stored.as_deref(), "the fold errs about {key:?}");
        }
        let digest = stored.as_ref().map(|value| row_digest(key, value));
        self.entries.insert(key.to_vec(), Entry { stored: digest, value: stored, changed: false });
        Ok(())
    }

    /// At most `limit` values whose stored keys start with `prefix` and are at or after `from`, in key order.
    pub(crate) fn scan(
        &mut self,
        tree: &Tree,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut stored = tree.range_from(prefix.max(from));
        let mut next_stored = || -> Result<Option<RawRow>, StoreError> {
            let Some(row) = stored.next() else { return Ok(None) };
            let (key, value) = row?;
            Ok(key.starts_with(prefix).then(|| (key.to_vec(), value.to_vec())))
        };
        let bounds = (Bound::Included(prefix.max(from).to_vec()), Bound::Unbounded);
        let changed = self.entries.range(bounds).take_while(|(key, _)| key.starts_with(prefix));
        let mut changed = changed.filter(|(_, entry)| entry.changed).peekable();
        let mut found = Vec::new();
        let mut pending = next_stored()?;
        while found.len() < limit {
            let take_changed = match (&pending, changed.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((key, _)), Some((changed_key, _))) => *changed_key <= key,
            };
            if take_changed {
                let Some((key, entry)) = changed.next() else { break };
                if pending.as_ref().is_some_and(|(stored_key, _)| stored_key == key) {
                    pending = next_stored()?;
                }
                found.extend(entry.value.clone());
            } else {
                found.extend(pending.take().map(|(_, value)| value));
                pending = next_stored()?;
            }
        }
        Ok(found)
    }

    /// What the batch makes of the stored rows.
    pub(crate) fn into_changes(self) -> Changes {
        let mut changes = Changes::default();
        for (key, entry) in self.entries {
            let now = entry.value.as_ref().map(|value| row_digest(&key, value));
            if !entry.changed || now == entry.stored {
                continue;
            }
            let difference = now.unwrap_or_default().wrapping_sub(entry.stored.unwrap_or_default());
            changes.digest_change = changes.digest_change.wrapping_add(difference);
            changes.rows_change += i64::from(now.is_some()) - i64::from(entry.stored.is_some());
            match entry.value {
                Some(value) => changes.batch.insert(key, value),
                None => changes.batch.remove(key),
            }
        }
        changes
    }
}
