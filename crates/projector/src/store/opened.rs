//! An open database and its trees, every call guarded.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use sled::IVec;

use super::bounded::caught;
use super::directory::Directory;
use super::{StoreError, bounded};
use crate::StoreConfig;

/// An open database. Closed on a thread of its own: a damaged one may hang while it is closed.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Counted up with each replacement.
    pub(crate) generation: u64,
    db: Option<sled::Db>,
    close_wait: Duration,
    /// Keeps the directory locked until the database is closed.
    _directory: Arc<Directory>,
}

impl Opened {
    /// Opens or makes the database in `path`.
    pub(crate) fn open(
        path: &Path,
        generation: u64,
        directory: Arc<Directory>,
        config: &StoreConfig,
    ) -> Result<Self, StoreError> {
        let attempted = "open the store";
        let sled_config = sled::Config::new()
            .path(path)
            .cache_capacity(config.cache_bytes)
            .flush_every_ms(Some(config.flush_every_ms.max(1)))
            .mode(sled::Mode::HighThroughput)
            .use_compression(false);
        let db = bounded(attempted, Duration::from_millis(config.open_wait_ms), move |_| {
            sled_config.open().map_err(|error| StoreError::sled(attempted, error))
        })?;
        let close_wait = Duration::from_millis(config.close_wait_ms);
        Ok(Self { generation, db: Some(db), close_wait, _directory: directory })
    }

    fn db(&self) -> Result<&sled::Db, StoreError> {
        // Taken only in `drop`.
        self.db.as_ref().ok_or_else(|| StoreError::damaged("the store is closed"))
    }

    /// The tree of this name, made if it is not there.
    pub(crate) fn tree(self: &Arc<Self>, name: &str) -> Result<Tree, StoreError> {
        let tree = guarded("open a tree", || self.db()?.open_tree(name).map_err(damage("open a tree")))?;
        Ok(Tree { tree, opened: self.clone() })
    }

    /// The names of all trees.
    pub(crate) fn tree_names(&self) -> Result<Vec<String>, StoreError> {
        let names = guarded("list the trees", || Ok(self.db()?.tree_names()))?;
        Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Removes a tree. Nobody may be reading it.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), StoreError> {
        guarded("drop a tree", || self.db()?.drop_tree(name).map_err(damage("drop a tree"))).map(drop)
    }

    /// Returns when everything written is on the disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        guarded("sync the store", || self.db()?.flush().map_err(damage("sync the store"))).map(drop)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let Some(db) = self.db.take() else { return };
        let (done, closed) = sync_channel(1);
        let close = move || {
            let _ = caught("close the store", || {
                drop(db);
                Ok(())
            });
            let _ = done.send(());
        };
        let closing = std::thread::Builder::new().name("read-model-store".to_owned()).spawn(close);
        if closing.is_err() || closed.recv_timeout(self.close_wait).is_err() {
            tracing::warn!("the store does not close; it is left to itself");
        }
    }
}

/// One tree of an open database. The fields' order matters: the tree goes before the database.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    tree: sled::Tree,
    pub(crate) opened: Arc<Opened>,
}

/// A stored row.
pub(crate) type StoredRow = (IVec, IVec);

impl Tree {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        guarded("read a row", || self.tree.get(key).map_err(damage("read a row")))
    }

    /// All rows at or after `key`, in order. After an error there is nothing more.
    pub(crate) fn range_from(&self, key: &[u8]) -> Range {
        self.range((Bound::Included(key.to_vec()), Bound::Unbounded))
    }

    /// All rows within these bounds, in order. After an error there is nothing more.
    pub(crate) fn range(&self, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Range {
        Range { rows: Some(self.tree.range(bounds)), _opened: self.opened.clone() }
    }

    /// Applies all of a batch, or after a crash none of it.
    pub(crate) fn apply(&self, batch: sled::Batch) -> Result<(), StoreError> {
        guarded("write a batch", || self.tree.apply_batch(batch).map_err(damage("write a batch")))
    }
}

/// A walk through a tree.
pub(crate) struct Range {
    rows: Option<sled::Iter>,
    _opened: Arc<Opened>,
}

impl Iterator for Range {
    type Item = Result<StoredRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        let next = guarded("read the rows", || rows.next().transpose().map_err(damage("read the rows")));
        if next.is_err() {
            self.rows = None;
        }
        next.transpose()
    }
}

fn damage(attempted: &'static str) -> impl FnOnce(sled::Error) -> StoreError {
    move |error| StoreError::sled(attempted, error)
}

fn guarded<T>(
    attempted: &'static str,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    caught(attempted, call)
}
