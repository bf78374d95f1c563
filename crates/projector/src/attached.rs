//! One model's trees in one open database: the one that is folded into, and an older one that may still answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cuiban_event_log::{Cursor, Position, StreamId};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::parked::{ParkedCommit, ParkedForeign};
use crate::projection::{Projection, Row};
use crate::rows_reader::RowsReader;
use crate::scope::Scope;
use crate::store::{Heartbeat, Opened, StoreError, Tree, WriteBatch, bounded, row_digest};

/// Where a model is, written in one batch with its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// The last position that is folded.
    pub(crate) cursor: u64,
    /// The sum of the digests of all rows, parked commits included, modulo 2^64.
    pub(crate) digest: u64,
    /// How many rows there are, parked commits included.
    pub(crate) rows: u64,
}

/// A row's key and value as they are stored.
pub type RawRow = (Vec<u8>, Vec<u8>);

/// The table of what is known of the tree itself; not part of the digest.
pub(crate) const TREE_TABLE: u8 = 0;
pub(crate) const META_KEY: &[u8] = &[TREE_TABLE, 0];
const COMPLETE_KEY: &[u8] = &[TREE_TABLE, 1];
const FOOTING_KEY: &[u8] = &[TREE_TABLE, 2];
const FOOTING_FORMAT: u8 = 1;
const META_FORMAT: u8 = 2;

impl Meta {
    pub(crate) fn write_to(self, batch: &mut WriteBatch) -> Result<(), StoreError> {
        batch.insert(META_KEY, self.to_bytes()?);
        Ok(())
    }

    fn read_from(tree: &Tree) -> Result<Self, StoreError> {
        tree.get(META_KEY)?.map_or(Ok(Self::default()), |bytes| Self::from_bytes(&bytes))
    }

    /// What a store says of itself, but for the cursor, which is as it was before.
    pub(crate) fn with_cursor_of(bytes: &[u8], before: Option<&[u8]>) -> Result<Vec<u8>, StoreError> {
        let before = before.map_or(Ok(Self::default()), Self::from_bytes)?;
        Self { cursor: before.cursor, ..Self::from_bytes(bytes)? }.to_bytes()
    }

    fn to_bytes(self) -> Result<Vec<u8>, StoreError> {
        codec::encode(META_FORMAT, &(self, self.seal()?)).map_err(StoreError::codec)
    }

    /// Refuses a cursor that is not the one that was written: what it passes over would never be folded.
    fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let (meta, seal): (Self, u64) = codec::decode(META_FORMAT, bytes).map_err(StoreError::codec)?;
        if seal != meta.seal()? {
            let detail = format!("the cursor {} is not the one that was written", meta.cursor);
            return Err(StoreError::Damaged { detail });
        }
        Ok(meta)
    }

    fn seal(self) -> Result<u64, StoreError> {
        Ok(row_digest(META_KEY, &codec::encode(META_FORMAT, &self).map_err(StoreError::codec)?))
    }
}

/// What the one that folds keeps at hand.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) meta: Meta,
    /// On what the cursor stands.
    pub(crate) footing: Cursor,
    /// The streams that are set aside, and how many of their commits.
    pub(crate) parked: HashMap<StreamId, u64>,
    /// How many messages were passed by that are none of ours.
    pub(crate) foreign: u64,
}

impl Writer {
    /// Where to go on, and on what that stands.
    pub(crate) fn cursor(&self) -> Cursor {
        let position = Position::from_raw(self.meta.cursor);
        let sha256 = self.footing.sha256.filter(|_| self.footing.position == position);
        Cursor { log: self.footing.log, position, sha256 }
    }
}

/// Written with each batch: which log it came from, and the hash of the last message in it.
pub(crate) fn write_footing(footing: &Cursor, batch: &mut WriteBatch) -> Result<(), StoreError> {
    batch.insert(FOOTING_KEY, codec::encode(FOOTING_FORMAT, footing).map_err(StoreError::codec)?);
    Ok(())
}

/// What an older build kept says nothing of it.
fn read_footing(tree: &Tree) -> Result<Cursor, StoreError> {
    let footing = tree.get(FOOTING_KEY)?;
    footing
        .map_or(Ok(Cursor::START), |bytes| codec::decode(FOOTING_FORMAT, &bytes).map_err(StoreError::codec))
}

/// A model's trees in one open database.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) tree: Arc<Tree>,
    /// An older version that answers until the present one is complete.
    old: RwLock<Option<(u32, Arc<Tree>)>>,
    /// Older versions that answer no more and are removed when the last query has let go of them.
    retired: Mutex<Vec<(u32, Arc<Tree>)>>,
    pub(crate) writer: Mutex<Writer>,
    /// The rows are as they were written.
    verified: AtomicBool,
    /// The model has seen the whole log at least once.
    complete: AtomicBool,
}

/// The name of a projection's tree.
fn tree_name<P: Projection>(version: u32, scope: &Scope) -> String {
    format!("{}@{version}#{scope}", P::NAME)
}

impl Attached {
    /// Finds or makes the model's trees. Trees of other versions that nobody can use are removed.
    pub(crate) fn attach<P: Projection>(opened: &Arc<Opened>, scope: &Scope) -> Result<Self, StoreError> {
        let name = tree_name::<P>(P::VERSION, scope);
        let tree = opened.tree(&name)?;
        let meta = Meta::read_from(&tree)?;
        let complete = tree.get(COMPLETE_KEY)?.is_some();
        let old = if complete { None } else { old_version::<P>(opened, scope)? };
        let old_name = old.as_ref().map(|(version, _)| tree_name::<P>(*version, scope));
        for other in opened.tree_names()? {
            let is_ours = other.starts_with(&format!("{}@", P::NAME));
            if is_ours && other != name && Some(&other) != old_name.as_ref() {
                opened.drop_tree(&other)?;
            }
        }
        let mut parked = HashMap::new();
        for row in RowsReader::new(&tree).walk::<ParkedCommit>(&crate::Key::new()) {
            *parked.entry(row?.1.stream()).or_default() += 1;
        }
        let mut foreign = 0;
        for row in RowsReader::new(&tree).walk::<ParkedForeign>(&crate::Key::new()) {
            row?;
            foreign += 1;
        }
        let footing = read_footing(&tree)?;
        // Rows without a word of how many there should be are not those of a fold.
        let is_empty = meta.rows == 0 && tree.range_from(&[TREE_TABLE + 1]).next().is_none();
        Ok(Self {
            tree: Arc::new(tree),
            old: RwLock::new(old),
            retired: Mutex::default(),
            writer: Mutex::new(Writer { meta, footing, parked, foreign }),
            verified: AtomicBool::new(is_empty),
            complete: AtomicBool::new(complete),
        })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.tree.opened.generation
    }

    pub(crate) fn meta(&self) -> Meta {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).meta
    }

    pub(crate) fn cursor(&self) -> Position {
        Position::from_raw(self.meta().cursor)
    }

    /// Checks that the rows are those that were written: none missing, changed or left over.
    pub(crate) fn verify(&self, wait: Duration) -> Result<(), StoreError> {
        if self.verified.load(Ordering::Acquire) {
            return Ok(());
        }
        let (tree, meta) = (self.tree.clone(), self.meta());
        if tree.opened.is_in_memory() {
            check(&tree, meta, &Heartbeat::default())?;
        } else {
            bounded("check the rows", wait, move |heartbeat| check(&tree, meta, heartbeat))?;
        }
        self.verified.store(true, Ordering::Release);
        Ok(())
    }

    /// The tree that answers queries, and its version; none before the model is whole.
    pub(crate) fn serving(&self, version: u32) -> Option<(u32, Arc<Tree>)> {
        if self.complete.load(Ordering::Acquire) {
            return self.verified.load(Ordering::Acquire).then(|| (version, self.tree.clone()));
        }
        let old = self.old.read().unwrap_or_else(PoisonError::into_inner);
        old.clone()
    }

    /// The model has seen everything: from now on it answers, and the old version is removed.
    pub(crate) fn complete<P: Projection>(&self, scope: &Scope) -> Result<(), StoreError> {
        if !self.complete.load(Ordering::Acquire) {
            let mut batch = WriteBatch::default();
            batch.insert(COMPLETE_KEY, [META_FORMAT]);
            self.tree.apply(batch)?;
            self.complete.store(true, Ordering::Release);
        }
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired.extend(self.old.write().unwrap_or_else(PoisonError::into_inner).take());
        let (unused, used) = std::mem::take(&mut *retired)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, tree)| Arc::strong_count(tree) == 1);
        *retired = used;
        for (version, tree) in unused {
            drop(tree);
            self.tree.opened.drop_tree(&tree_name::<P>(version, scope))?;
        }
        Ok(())
    }

    /// Every row, parked commits included, byte for byte.
    pub(crate) fn dump(&self) -> Result<Vec<RawRow>, StoreError> {
        let rows = self.tree.range_from(&[TREE_TABLE + 1]);
        rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
    }
}

/// The latest complete version before the present one whose rows this build reads.
fn old_version<P: Projection>(
    opened: &Arc<Opened>,
    scope: &Scope,
) -> Result<Option<(u32, Arc<Tree>)>, StoreError> {
    let names = opened.tree_names()?;
    for version in (P::READABLE_SINCE..P::VERSION).rev() {
        let name = tree_name::<P>(version, scope);
        if !names.contains(&name) {
            continue;
        }
        let tree = opened.tree(&name)?;
        if tree.get(COMPLETE_KEY)?.is_some() {
            return Ok(Some((version, Arc::new(tree))));
        }
    }
    Ok(None)
}

fn check(tree: &Tree, meta: Meta, heartbeat: &Heartbeat) -> Result<(), StoreError> {
    const ROWS_PER_BEAT: u64 = 256;
    let (mut digest, mut rows) = (0_u64, 0_u64);
    for row in tree.range_from(&[TREE_TABLE + 1]) {
        let (key, value) = row?;
        digest = digest.wrapping_add(row_digest(&key, &value));
        rows += 1;
        if rows.is_multiple_of(ROWS_PER_BEAT) {
            heartbeat.beat();
        }
    }
    if (digest, rows) != (meta.digest, meta.rows) {
        return Err(StoreError::damaged(format!("{rows} rows are not the {} that were written", meta.rows)));
    }
    Ok(())
}

const _: () = assert!(ParkedCommit::TABLE == TREE_TABLE + 1);
