//! An open database and its trees, every call guarded.

use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use sled::IVec;

use super::bounded::caught;
use super::directory::Directory;
use super::memory::{MemoryDatabase, MemoryDisk, MemoryTree};
use super::{StoreError, WriteBatch, bounded};
use crate::StoreConfig;

/// An open database.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Counted up with each replacement.
    pub(crate) generation: u64,
    database: Database,
}

#[derive(Debug)]
enum Database {
    Sled(SledDatabase),
    Memory(MemoryDatabase),
}

/// Closed on a thread of its own: a damaged one may hang while it is closed.
#[derive(Debug)]
struct SledDatabase {
    db: Option<sled::Db>,
    folder: Folder,
    close_wait: Duration,
    /// Keeps the directory locked until the database is closed.
    _directory: Arc<Directory>,
}

impl Opened {
    /// Opens or makes the database in `path`.
    pub(super) fn open(
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
        let folder = Folder::at(path).map_err(StoreError::io(attempted))?;
        let close_wait = Duration::from_millis(config.close_wait_ms);
        let database = SledDatabase { db: Some(db), folder, close_wait, _directory: directory };
        Ok(Self { generation, database: Database::Sled(database) })
    }

    /// Opens or makes the database of this name in memory.
    pub(super) fn open_in_memory(disk: &MemoryDisk, name: &str, generation: u64) -> Result<Self, StoreError> {
        Ok(Self { generation, database: Database::Memory(disk.open(name)?) })
    }

    /// The tree of this name, made if it is not there.
    pub(crate) fn tree(self: &Arc<Self>, name: &str) -> Result<Tree, StoreError> {
        let rows = match &self.database {
            Database::Sled(sled) => Rows::Sled(guarded("open a tree", |attempted| {
                sled.db()?.open_tree(name).map_err(damage(attempted))
            })?),
            Database::Memory(memory) => Rows::Memory(memory.tree(name)?),
        };
        Ok(Tree { rows, opened: self.clone() })
    }

    /// The names of all trees.
    pub(crate) fn tree_names(&self) -> Result<Vec<String>, StoreError> {
        let sled = match &self.database {
            Database::Sled(sled) => sled,
            Database::Memory(memory) => return memory.tree_names(),
        };
        let names = guarded("list the trees", |_| Ok(sled.db()?.tree_names()))?;
        Ok(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Removes a tree. Nobody may be reading it.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), StoreError> {
        match &self.database {
            Database::Sled(sled) => guarded("drop a tree", |attempted| {
                sled.db()?.drop_tree(name).map(drop).map_err(damage(attempted))
            }),
            Database::Memory(memory) => memory.drop_tree(name),
        }
    }

    /// Returns when everything written is on the disk.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sled(sled) => {
                guarded("sync the store", |attempted| sled.db()?.flush().map(drop).map_err(damage(attempted)))
            }
            Database::Memory(_) => Ok(()),
        }
    }

    /// Fails where the folder that the database was opened in is gone.
    fn is_there(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sled(sled) => sled.folder.is_there().map_err(StoreError::io("find the store's folder")),
            Database::Memory(_) => Ok(()),
        }
    }

    /// Whether reading can neither hang nor panic.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.database, Database::Memory(_))
    }
}

/// The folder that a database was opened in.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Folder {
    fn at(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Fails where the folder is gone or is another one: what is written into it now is written nowhere.
    fn is_there(&self) -> io::Result<()> {
        let found = Self::at(&self.path)?;
        if (found.device, found.inode) == (self.device, self.inode) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the folder was exchanged for another one"))
    }
}

impl SledDatabase {
    fn db(&self) -> Result<&sled::Db, StoreError> {
        // Taken only in `drop`.
        self.db.as_ref().ok_or_else(|| StoreError::damaged("the store is closed"))
    }
}

impl Drop for SledDatabase {
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
    rows: Rows,
    pub(crate) opened: Arc<Opened>,
}

#[derive(Clone, Debug)]
enum Rows {
    Sled(sled::Tree),
    Memory(MemoryTree),
}

/// A stored row.
pub(crate) type StoredRow = (IVec, IVec);

impl Tree {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match &self.rows {
            Rows::Sled(tree) => guarded("read a row", |attempted| tree.get(key).map_err(damage(attempted))),
            Rows::Memory(tree) => tree.get(key),
        }
    }

    /// All rows at or after `key`, in order. After an error there is nothing more.
    pub(crate) fn range_from(&self, key: &[u8]) -> Range {
        self.range((Bound::Included(key.to_vec()), Bound::Unbounded))
    }

    /// All rows within these bounds, in order. After an error there is nothing more.
    pub(crate) fn range(&self, bounds: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Range {
        let rows = match &self.rows {
            Rows::Sled(tree) => Walk::Sled(tree.range(bounds)),
            Rows::Memory(tree) => Walk::Memory(tree.clone(), bounds),
        };
        Range { rows: Some(rows), _opened: self.opened.clone() }
    }

    /// Applies all of a batch, or after a crash none of it. Refuses where the database's folder is gone.
    pub(crate) fn apply(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.opened.is_there()?;
        match &self.rows {
            Rows::Sled(tree) => guarded("write a batch", |attempted| {
                tree.apply_batch(batch.into()).map_err(damage(attempted))
            }),
            Rows::Memory(tree) => tree.apply(batch),
        }
    }
}

/// A walk through a tree.
pub(crate) struct Range {
    rows: Option<Walk>,
    _opened: Arc<Opened>,
}

enum Walk {
    Sled(sled::Iter),
    Memory(MemoryTree, (Bound<Vec<u8>>, Bound<Vec<u8>>)),
}

impl Walk {
    fn next(&mut self) -> Result<Option<StoredRow>, StoreError> {
        match self {
            Self::Sled(rows) => {
                guarded("read the rows", |attempted| rows.next().transpose().map_err(damage(attempted)))
            }
            Self::Memory(tree, (from, until)) => {
                let row = tree.first((from.as_ref(), until.as_ref()))?;
                if let Some((key, _)) = &row {
                    *from = Bound::Excluded(key.to_vec());
                }
                Ok(row)
            }
        }
    }
}

impl Iterator for Range {
    type Item = Result<StoredRow, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.rows.as_mut()?.next();
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
    call: impl FnOnce(&'static str) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    caught(attempted, || call(attempted))
}
