//! A disk in memory that fails when it is told to: what a simulation keeps its read models on.
//!
//! It keeps sled's promises as the store relies on them: a batch is applied whole or not at all, and one handle at a
//! time has a store open. Besides it can die like a machine ([`MemoryDisk::crash`]), lose what was not synced
//! ([`MemoryDisk::forget_since`]), and rot ([`MemoryDisk::damage`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sled::IVec;

use super::{StoreError, WriteBatch};
use crate::attached::{META_KEY, Meta, TREE_TABLE};

type Rows = BTreeMap<Vec<u8>, IVec>;

/// What is kept of each store: its trees by their names.
#[derive(Clone, Debug, Default)]
struct Kept {
    stores: BTreeMap<String, Database>,
}

#[derive(Clone, Debug, Default)]
struct Database {
    /// Counted up when it is put aside: a handle of the damaged one never touches the one that followed it.
    number: u64,
    trees: BTreeMap<String, Rows>,
}

/// What becomes of one batch on a disk that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// The disk refuses, for this once.
    Refused,
    /// The machine dies before the batch is written.
    DiesBefore,
    /// The machine dies when the batch is written.
    DiesAfter,
    /// The machine dies with the rows written and the cursor as it was: what an atomic batch excludes. Only a test of
    /// those who look for such a thing wants it.
    CursorLeftBehind,
}

/// Draws what becomes of each batch.
pub type WriteFaults = Arc<dyn Fn() -> Option<WriteFault> + Send + Sync>;

/// A disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    kept: Kept,
    /// Counted up with each crash: handles of an earlier life are dead.
    life: u64,
    /// Which stores are open, and by which handle.
    open: BTreeMap<String, u64>,
    handles: u64,
    faults: Option<WriteFaults>,
}

/// What a disk held at some time.
#[derive(Clone, Debug)]
pub struct MemorySnapshot(Kept);

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDisk").field("life", &self.state().life).finish_non_exhaustive()
    }
}

impl MemoryDisk {
    /// Lets each batch fail as this says.
    pub fn set_faults(&self, faults: Option<WriteFaults>) {
        self.state().faults = faults;
    }

    /// The machine dies: whoever has something open can neither read nor write any more.
    pub fn crash(&self) {
        let mut state = self.state();
        state.life += 1;
        state.open.clear();
    }

    /// What is kept now.
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.state().kept.clone())
    }

    /// What was written since was never synced, and is gone. The machine has to be dead.
    pub fn forget_since(&self, snapshot: &MemorySnapshot) {
        self.state().kept = snapshot.0.clone();
    }

    /// As [`Self::forget_since`], but for what the trees say of themselves: rows older than their cursor.
    pub fn forget_rows_since(&self, snapshot: &MemorySnapshot) {
        let mut state = self.state();
        for (name, store) in &mut state.kept.stores {
            for (tree, rows) in &mut store.trees {
                let before = snapshot.0.stores.get(name).and_then(|store| store.trees.get(tree));
                let of_the_tree = |key: &Vec<u8>| key.first() == Some(&TREE_TABLE);
                let kept = rows.iter().filter(|(key, _)| of_the_tree(key));
                let older = before.into_iter().flatten().filter(|(key, _)| !of_the_tree(key));
                *rows = kept.chain(older).map(|(key, value)| (key.clone(), value.clone())).collect();
            }
        }
    }

    /// Spoils one row: `which` chooses it, `how` the way. Answers whether there was one.
    pub fn damage(&self, which: usize, how: u8) -> bool {
        let mut state = self.state();
        let trees = state.kept.stores.values_mut().flat_map(|store| store.trees.values_mut());
        let places: Vec<_> = trees.flat_map(|rows| rows.iter_mut()).collect();
        let count = places.len().max(1);
        let Some((_, value)) = places.into_iter().nth(which % count) else { return false };
        let mut bytes = value.to_vec();
        match (how % 3, bytes.len()) {
            (_, 0) => bytes.push(how),
            (0, length) => bytes[usize::from(how) % length] ^= 1 << (how % 8),
            (1, length) => bytes.truncate(length / 2),
            (_, _) => bytes.fill(0),
        }
        *value = bytes.into();
        true
    }

    /// Takes a store for one handle.
    pub(super) fn open(&self, name: &str) -> Result<MemoryDatabase, StoreError> {
        let mut state = self.state();
        if state.open.contains_key(name) {
            return Err(StoreError::InUse { dir: name.into() });
        }
        state.handles += 1;
        let (life, handle) = (state.life, state.handles);
        state.open.insert(name.to_owned(), handle);
        let number = state.kept.stores.entry(name.to_owned()).or_default().number;
        let at = At { disk: self.clone(), store: name.to_owned(), life, number };
        Ok(MemoryDatabase { at, handle })
    }

    /// Puts a store away under another name, which it answers.
    pub(super) fn put_aside(&self, name: &str) -> String {
        let mut state = self.state();
        state.open.remove(name);
        let store = state.kept.stores.entry(name.to_owned()).or_default();
        // Nobody looks into a damaged store of a simulation: its name is all that is kept.
        *store = Database { number: store.number + 1, trees: BTreeMap::new() };
        format!("{name}.damaged-{}", store.number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which database a handle means, and in which life of the machine.
#[derive(Clone, Debug)]
struct At {
    disk: MemoryDisk,
    store: String,
    life: u64,
    number: u64,
}

impl At {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Rows>) -> T) -> Result<T, StoreError> {
        self.within(&mut self.disk.state(), work)
    }

    fn within<T>(
        &self,
        state: &mut State,
        work: impl FnOnce(&mut BTreeMap<String, Rows>) -> T,
    ) -> Result<T, StoreError> {
        if state.life != self.life {
            return Err(refused("reach the disk"));
        }
        let store = state.kept.stores.get_mut(&self.store).filter(|store| store.number == self.number);
        store.map(|store| work(&mut store.trees)).ok_or(StoreError::Replaced)
    }
}

/// One store of a disk, open for one handle.
#[derive(Debug)]
pub(super) struct MemoryDatabase {
    at: At,
    handle: u64,
}

impl Drop for MemoryDatabase {
    fn drop(&mut self) {
        let mut state = self.at.disk.state();
        if state.open.get(&self.at.store) == Some(&self.handle) {
            state.open.remove(&self.at.store);
        }
    }
}

impl MemoryDatabase {
    pub(super) fn tree(&self, tree: &str) -> Result<MemoryTree, StoreError> {
        self.at.with(|trees| {
            trees.entry(tree.to_owned()).or_default();
        })?;
        Ok(MemoryTree { at: self.at.clone(), tree: tree.to_owned() })
    }

    pub(super) fn tree_names(&self) -> Result<Vec<String>, StoreError> {
        self.at.with(|trees| trees.keys().cloned().collect())
    }

    pub(super) fn drop_tree(&self, tree: &str) -> Result<(), StoreError> {
        self.at.with(|trees| drop(trees.remove(tree)))
    }
}

/// One tree of an open store.
#[derive(Clone, Debug)]
pub(super) struct MemoryTree {
    at: At,
    tree: String,
}

impl MemoryTree {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.at.with(|trees| trees.get(&self.tree).and_then(|rows| rows.get(key).cloned()))
    }

    /// The first row within these bounds.
    pub(super) fn first(
        &self,
        bounds: (Bound<&Vec<u8>>, Bound<&Vec<u8>>),
    ) -> Result<Option<(IVec, IVec)>, StoreError> {
        self.at.with(|trees| {
            let rows = trees.get(&self.tree).filter(|_| !is_empty(bounds))?;
            let (key, value) = rows.range::<Vec<u8>, _>(bounds).next()?;
            Some((IVec::from(key.as_slice()), value.clone()))
        })
    }

    pub(super) fn apply(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let faults = self.at.disk.state().faults.clone();
        let fault = faults.and_then(|faults| faults());
        let is_written = !matches!(fault, Some(WriteFault::Refused | WriteFault::DiesBefore));
        self.at.with(|trees| {
            let rows = trees.entry(self.tree.clone()).or_default();
            let before = rows.get(META_KEY).cloned();
            for (key, value) in batch.writes.into_iter().filter(|_| is_written) {
                match value {
                    Some(value) => drop(rows.insert(key, value.into())),
                    None => drop(rows.remove(&key)),
                }
            }
            if let (Some(WriteFault::CursorLeftBehind), Some(meta)) = (fault, rows.get_mut(META_KEY)) {
                *meta = Meta::with_cursor_of(meta, before.as_deref()).unwrap_or_default().into();
            }
        })?;
        match fault {
            None => Ok(()),
            Some(WriteFault::Refused) => Err(refused("write a batch")),
            Some(_) => {
                self.at.disk.crash();
                Err(refused("write a batch"))
            }
        }
    }
}

fn refused(attempted: &'static str) -> StoreError {
    StoreError::io(attempted)(io::ErrorKind::StorageFull.into())
}

/// Whether no key can lie within; `BTreeMap::range` panics at some of these.
fn is_empty(bounds: (Bound<&Vec<u8>>, Bound<&Vec<u8>>)) -> bool {
    match bounds {
        (Bound::Included(from), Bound::Included(until)) => from > until,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(until) | Bound::Excluded(until)) => {
            from >= until
        }
        _ => false,
    }
}
