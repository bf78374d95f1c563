//! One read model: a projection with its rows, its cursor and what it had to set aside.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cuiban_domain::is_stream;
use cuiban_event_log::{Cursor, Foreign, LogIdentity, Position, RecordedCommit, StreamId};
use cuiban_vitals::in_one_line;
use tokio::sync::watch;

use crate::attached::{Attached, Meta, RawRow, Writer, write_footing};
use crate::follow::Standing;
use crate::key::Key;
use crate::parked::{ParkedCommit, ParkedEntry, ParkedForeign, Retried};
use crate::projection::{Incoming, Projection, Row, Unfoldable};
use crate::read_models::{Lagging, ReadError};
use crate::rows_reader::RowsReader;
use crate::scope::Scope;
use crate::store::{Store, StoreError, Tree, panic_text};
use crate::view::{Overlay, View};

/// A read model in a store. Clones share it.
///
/// Whoever meets damage, reading or writing, puts the store aside: the call answers an error, and the next one finds
/// the model empty, with its cursor at the start, to be fed again.
#[derive(Debug)]
pub struct Model<P> {
    inner: Arc<Inner<P>>,
}

impl<P> Clone for Model<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct Inner<P> {
    store: Store,
    projection: P,
    scope: Scope,
    /// None while the store's database is being replaced.
    attached: RwLock<Option<Arc<Attached>>>,
    /// The generation of the database whose cursor the feeder knows.
    fed_generation: AtomicU64,
    position: watch::Sender<Position>,
}

impl<P> fmt::Debug for Inner<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("position", &*self.position.borrow()).finish_non_exhaustive()
    }
}

/// What became of the commits that a model was fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many were folded.
    pub folded: usize,
    /// How many were set aside.
    pub parked: usize,
    /// How many had been seen before.
    pub skipped: usize,
}

/// Where commits come from, and what stands between them.
#[derive(Clone, Debug, Default)]
pub struct FedFrom {
    /// Which log; kept with the cursor.
    pub log: LogIdentity,
    /// The messages among the commits that are none of ours, in order.
    pub foreign: Vec<Foreign>,
}

/// How often opening a model puts a damaged store aside before it gives up.
const ATTEMPTS_MAX: usize = 3;

impl<P: Projection> Model<P> {
    /// Opens the model in this store and checks every row of it. A damaged store is put aside; the model is empty
    /// then, and [`Store::quarantined`] says so.
    pub fn open(store: &Store, projection: P) -> Result<Self, StoreError> {
        Self::open_scoped(store, projection, Scope::everything())
    }

    /// As [`Self::open`], for a model that is fed the commits of some branches only. Models of different scopes
    /// never share rows.
    pub fn open_scoped(store: &Store, projection: P, scope: Scope) -> Result<Self, StoreError> {
        let model = Self::attach(store, projection, scope);
        let mut result = model.verify();
        for _ in 1..ATTEMPTS_MAX {
            if !matches!(result, Err(StoreError::Damaged { .. })) {
                break;
            }
            result = model.verify();
        }
        result?;
        model.cursor().map(|_| model)
    }

    /// A model that does not answer queries before it is checked.
    pub(crate) fn attach(store: &Store, projection: P, scope: Scope) -> Self {
        let (store, position) = (store.clone(), watch::Sender::new(Position::START));
        let (attached, fed_generation) = (RwLock::default(), AtomicU64::default());
        Self { inner: Arc::new(Inner { store, projection, scope, attached, fed_generation, position }) }
    }

    /// Checks that the rows are those that were written, if that was not done yet.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        let wait = Duration::from_millis(self.inner.store.config().open_wait_ms);
        self.with(|attached| attached.verify(wait))
    }

    /// The last position that is folded: where whoever feeds the model goes on. For a look from aside there is
    /// [`Self::position`].
    pub fn cursor(&self) -> Result<Position, StoreError> {
        self.with(|attached| {
            self.inner.fed_generation.store(attached.generation(), Ordering::Release);
            Ok(attached.cursor())
        })
    }

    /// As [`Self::cursor`], with what it stands on.
    pub fn footing(&self) -> Result<Cursor, StoreError> {
        self.with(|attached| {
            self.inner.fed_generation.store(attached.generation(), Ordering::Release);
            Ok(lock(attached).cursor())
        })
    }

    /// The rows come from another log than the one that is there now: they are put aside with their store, which is
    /// built anew.
    pub fn put_aside(&self, reason: &str) {
        let generation = self.inner.store.generation();
        self.let_go(generation);
        self.inner.store.failed(generation, &StoreError::OfAnotherLog { detail: reason.to_owned() });
    }

    /// Folds commits, in the log's order. Rows, parked commits and cursor are written in one atomic batch. Commits
    /// at or before the cursor are skipped, so that feeding twice changes nothing.
    ///
    /// Refuses with [`StoreError::Replaced`] when the rows were lost since [`Self::cursor`] was last asked: what
    /// follows from there on would leave a gap.
    pub fn apply(&self, incoming: &[Incoming]) -> Result<Applied, StoreError> {
        self.apply_slices(std::iter::once(incoming), &FedFrom::default())
    }

    /// As [`Self::apply`], for commits of a log that is known, and of others' messages between them.
    pub fn apply_from(&self, incoming: &[Incoming], from: &FedFrom) -> Result<Applied, StoreError> {
        self.apply_slices(std::iter::once(incoming), from)
    }

    /// As [`Self::apply_from`], for commits that come a slice at a time: all of them are one batch.
    pub(crate) fn apply_slices<S: AsRef<[Incoming]>>(
        &self,
        slices: impl IntoIterator<Item = S>,
        from: &FedFrom,
    ) -> Result<Applied, StoreError> {
        self.with(|attached| {
            if attached.generation() != self.inner.fed_generation.load(Ordering::Acquire) {
                return Err(StoreError::Replaced);
            }
            let mut writer = lock(attached);
            let mut batch = Batch::new(&attached.tree, std::mem::take(&mut writer.parked));
            let mut cursor = writer.cursor();
            cursor.log = from.log;
            for slice in slices {
                let before = cursor.position;
                for commit in slice.as_ref() {
                    if commit.recorded.position <= cursor.position {
                        batch.applied.skipped += 1;
                        continue;
                    }
                    batch.take(&self.inner, commit)?;
                    cursor.position = commit.recorded.position;
                }
                if let Some(last) = slice.as_ref().last().filter(|_| cursor.position > before) {
                    cursor.sha256 = Some(last.recorded.sha256());
                }
            }
            let known_up_to = Position::from_raw(writer.meta.cursor);
            for foreign in from.foreign.iter().filter(|foreign| foreign.position > known_up_to) {
                batch.park_foreign(foreign)?;
                if foreign.position > cursor.position {
                    (cursor.position, cursor.sha256) =
                        (foreign.position, Some(cuiban_event_schema::hash(&foreign.payload)));
                }
            }
            let applied = batch.applied;
            batch.write(&mut writer, cursor)?;
            self.tell(attached, cursor.position);
            Ok(applied)
        })
    }

    /// The commits that are set aside, in the log's order.
    pub fn parked(&self) -> Result<Vec<ParkedEntry>, StoreError> {
        self.parked_first(usize::MAX)
    }

    /// As [`Self::parked`], as they came in.
    pub fn parked_commits(&self) -> Result<Vec<Incoming>, StoreError> {
        self.with(|attached| {
            let rows = RowsReader::new(&attached.tree).walk::<ParkedCommit>(&Key::new());
            rows.map(|row| row.map(|(_, parked)| parked.incoming())).collect()
        })
    }

    pub(crate) fn parked_first(&self, limit: usize) -> Result<Vec<ParkedEntry>, StoreError> {
        self.with(|attached| {
            let rows = RowsReader::new(&attached.tree);
            let commits = rows.walk::<ParkedCommit>(&Key::new()).take(limit);
            let commits = commits.map(|row| row.map(|(_, parked)| ParkedEntry::from(parked)));
            let foreign = rows.walk::<ParkedForeign>(&Key::new()).take(limit);
            let foreign = foreign.map(|row| row.map(|(_, parked)| ParkedEntry::from(parked)));
            let mut parked = commits.chain(foreign).collect::<Result<Vec<_>, _>>()?;
            parked.sort_by_key(|entry| entry.position);
            parked.truncate(limit);
            Ok(parked)
        })
    }

    /// Tries the parked commits again, each stream from its first one on: a newer build may know what they say.
    pub fn retry_parked(&self) -> Result<Retried, StoreError> {
        self.with(|attached| {
            let mut writer = lock(attached);
            let mut batch = Batch::new(&attached.tree, HashMap::new());
            let parked = batch.take_parked(|_| true)?;
            batch.fold_in_turn(&self.inner, &parked)?;
            let retried = Retried { folded: batch.applied.folded, left: batch.applied.parked };
            let cursor = writer.cursor();
            batch.write(&mut writer, cursor)?;
            Ok(retried)
        })
    }

    /// The row under this key, from the version that answers queries.
    pub fn get<R: Row>(&self, key: &Key) -> Result<Option<R>, StoreError> {
        self.read(|rows| rows.get(key))
    }

    /// At most `limit` rows whose keys start with `prefix` and come after `after`, in key order.
    pub fn scan<R: Row>(
        &self,
        prefix: &Key,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, R)>, StoreError> {
        self.read(|rows| rows.scan(prefix, after, limit))
    }

    /// Reads rows from the version that answers queries, be the model whole or not.
    pub fn read<T>(
        &self,
        read: impl FnOnce(RowsReader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|attached| {
            let tree = attached.serving(P::VERSION).map_or(attached.tree.clone(), |(_, tree)| tree);
            read(RowsReader::new(&tree))
        })
    }

    /// As [`Self::read`], but only from a model that is whole: half a model would answer wrongly.
    pub fn query<T>(
        &self,
        read: impl FnOnce(RowsReader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, ReadError> {
        let answer = self.with(|attached| match attached.serving(P::VERSION) {
            Some((_, tree)) => read(RowsReader::new(&tree)).map(Some),
            None => Ok(None),
        });
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(ReadError::NotReady { model: P::NAME, cursor: self.position() }),
            Err(error) => Err(ReadError::Unavailable { detail: in_one_line(&error) }),
        }
    }

    /// How the model stands.
    pub(crate) fn standing(&self) -> Result<Standing, StoreError> {
        self.with(|attached| {
            let writer = lock(attached);
            Ok(Standing {
                version: P::VERSION,
                serving_version: attached.serving(P::VERSION).map(|(version, _)| version),
                position: Position::from_raw(writer.meta.cursor),
                parked: writer.parked.values().sum(),
                foreign: writer.foreign,
                rows: writer.meta.rows,
            })
        })
    }

    /// Every row, indexes and parked commits included, byte for byte and in key order.
    pub fn dump(&self) -> Result<Vec<RawRow>, StoreError> {
        self.with(Attached::dump)
    }

    /// The model has seen everything that is stored: it answers queries from now on.
    pub fn set_caught_up(&self) -> Result<(), StoreError> {
        self.with(|attached| attached.complete::<P>(&self.inner.scope))
    }

    /// The last position that is folded, as last seen.
    pub fn position(&self) -> Position {
        *self.inner.position.borrow()
    }

    /// Tells of each change of [`Self::position`].
    pub fn changes(&self) -> watch::Receiver<Position> {
        self.inner.position.subscribe()
    }

    /// Returns when the commit at `position` is folded, or when `timeout` has passed.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Lagging> {
        let mut reached = self.inner.position.subscribe();
        let waited = tokio::time::timeout(timeout, reached.wait_for(|reached| *reached >= position)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Lagging { wanted: position, reached: self.position() }),
        }
    }

    /// Works with the model's trees in the database in use. Damage met on the way puts the store aside.
    fn with<T>(&self, work: impl FnOnce(&Attached) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let attached = self.attached()?;
        let generation = attached.generation();
        let result = work(&attached);
        drop(attached);
        match &result {
            Ok(_) | Err(StoreError::Replaced) => {}
            Err(error) => {
                self.let_go(generation);
                self.inner.store.failed(generation, error);
            }
        }
        result
    }

    fn attached(&self) -> Result<Arc<Attached>, StoreError> {
        let generation = self.inner.store.generation();
        let read = self.inner.attached.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(attached) = read.as_ref().filter(|attached| attached.generation() == generation) {
            return Ok(attached.clone());
        }
        drop(read);
        let mut place = self.inner.attached.write().unwrap_or_else(PoisonError::into_inner);
        // Lets go of the old database before a new one is opened.
        place.take_if(|attached| attached.generation() != self.inner.store.generation());
        if let Some(attached) = place.as_ref() {
            return Ok(attached.clone());
        }
        let opened = self.inner.store.opened()?;
        let attached = Attached::attach::<P>(&opened, &self.inner.scope)
            .inspect_err(|error| self.inner.store.failed(opened.generation, error))?;
        self.inner.position.send_replace(attached.cursor());
        tracing::debug!(model = P::NAME, cursor = %attached.cursor(), "a read model is attached");
        Ok(place.insert(Arc::new(attached)).clone())
    }

    /// Tells the new position, unless the rows were lost meanwhile. The caller holds the writer.
    fn tell(&self, attached: &Attached, cursor: Position) {
        let place = self.inner.attached.read().unwrap_or_else(PoisonError::into_inner);
        if place.as_ref().is_some_and(|present| present.generation() == attached.generation()) {
            self.inner.position.send_replace(cursor);
        }
    }

    fn let_go(&self, generation: u64) {
        let mut place = self.inner.attached.write().unwrap_or_else(PoisonError::into_inner);
        place.take_if(|attached| attached.generation() == generation);
    }
}

fn lock(attached: &Attached) -> MutexGuard<'_, Writer> {
    attached.writer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is made of the commits of one call, until it is written.
struct Batch<'a> {
    tree: &'a Tree,
    overlay: Overlay,
    /// The streams that are set aside, and how many commits of each.
    parked: HashMap<StreamId, u64>,
    foreign: u64,
    applied: Applied,
}

impl<'a> Batch<'a> {
    fn new(tree: &'a Tree, parked: HashMap<StreamId, u64>) -> Self {
        Self { tree, overlay: Overlay::default(), parked, foreign: 0, applied: Applied::default() }
    }

    /// Folds a commit, or sets it aside. One that steps over what its stream stands at brings the whole stream on.
    fn take<P: Projection>(&mut self, model: &Inner<P>, incoming: &Incoming) -> Result<(), StoreError> {
        let stream = &incoming.recorded.stream;
        if self.parked.contains_key(stream) && incoming.steps_over().next().is_some() {
            let parked = self.take_parked(|parked| parked.stream() == *stream)?;
            self.parked.remove(stream);
            let incoming = Incoming::decode(incoming.recorded.clone());
            return self.fold_in_turn(model, &parked.into_iter().chain([incoming]).collect::<Vec<_>>());
        }
        self.fold(model, incoming)
    }

    /// Takes parked commits out of the rows, in the log's order.
    fn take_parked(&mut self, wanted: impl Fn(&ParkedCommit) -> bool) -> Result<Vec<Incoming>, StoreError> {
        let table = Key::new().within(ParkedCommit::TABLE);
        let rows = self.overlay.scan(self.tree, &table, &table, usize::MAX)?;
        let mut taken = Vec::new();
        for bytes in rows {
            let parked: ParkedCommit =
                crate::codec::decode(ParkedCommit::FORMAT, &bytes).map_err(StoreError::codec)?;
            if wanted(&parked) {
                self.overlay.set(self.tree, parked.key(), None)?;
                taken.push(parked.incoming());
            }
        }
        Ok(taken)
    }

    /// Folds successive commits, but for unreadable ones that one of them steps over.
    fn fold_in_turn<P: Projection>(
        &mut self,
        model: &Inner<P>,
        commits: &[Incoming],
    ) -> Result<(), StoreError> {
        let stepped_over: HashSet<_> = commits.iter().flat_map(Incoming::steps_over).collect();
        for incoming in commits {
            if incoming.commit.is_err() && stepped_over.contains(&incoming.identity()) {
                self.applied.skipped += 1;
            } else {
                self.fold(model, incoming)?;
            }
        }
        Ok(())
    }

    fn fold<P: Projection>(&mut self, model: &Inner<P>, incoming: &Incoming) -> Result<(), StoreError> {
        let stream = &incoming.recorded.stream;
        if incoming.commit.is_err() && !is_stream(stream.kind.as_str(), stream.id.as_str()) {
            let RecordedCommit { position, stream, version, route, payload } = incoming.recorded.clone();
            let address = format!("{stream}.{}.{}", route.branch, route.class);
            return self.park_foreign(&Foreign { position, version, address, payload });
        }
        if self.parked.contains_key(stream) {
            return self.park(incoming, "an earlier commit of the stream is set aside".to_owned());
        }
        let commit = match &incoming.commit {
            Ok(commit) => commit,
            Err(error) => return self.park(incoming, in_one_line(error)),
        };
        let mut view = View::new(self.tree, &mut self.overlay, &model.scope, &incoming.recorded.payload);
        let fold = || model.projection.project(commit, incoming.recorded.position, &mut view);
        let folded = catch_unwind(AssertUnwindSafe(fold)).unwrap_or_else(|panic| {
            Err(Unfoldable::Commit(format!("the fold panicked: {}", panic_text(panic.as_ref()))))
        });
        match folded {
            Ok(()) => {
                self.applied.folded += 1;
                Ok(())
            }
            Err(Unfoldable::Store(error)) if !matches!(error, StoreError::Unwritable(_)) => Err(error),
            Err(unfoldable) => {
                view.roll_back();
                self.park(incoming, in_one_line(&unfoldable))
            }
        }
    }

    fn park(&mut self, incoming: &Incoming, reason: String) -> Result<(), StoreError> {
        let recorded = &incoming.recorded;
        let (position, stream) = (recorded.position, &recorded.stream);
        tracing::warn!(%position, %stream, reason, "a commit is set aside");
        let parked = ParkedCommit::new(recorded, reason);
        let bytes = crate::codec::encode(ParkedCommit::FORMAT, &parked).map_err(StoreError::codec)?;
        self.overlay.set(self.tree, parked.key(), Some(bytes))?;
        *self.parked.entry(stream.clone()).or_default() += 1;
        self.applied.parked += 1;
        Ok(())
    }

    fn park_foreign(&mut self, foreign: &Foreign) -> Result<(), StoreError> {
        tracing::warn!(%foreign, "a message that is none of ours is passed by");
        let parked = ParkedForeign::new(foreign);
        let bytes = crate::codec::encode(ParkedForeign::FORMAT, &parked).map_err(StoreError::codec)?;
        self.overlay.set(self.tree, parked.key(), Some(bytes))?;
        self.foreign += 1;
        Ok(())
    }

    /// Writes rows, parked commits and cursor at once.
    fn write(self, writer: &mut Writer, cursor: Cursor) -> Result<(), StoreError> {
        writer.parked = self.parked;
        writer.foreign += self.foreign;
        if self.applied.folded + self.applied.parked == 0 && self.foreign == 0 {
            return Ok(());
        }
        let mut changes = self.overlay.into_changes();
        let meta = Meta {
            cursor: cursor.position.raw(),
            digest: writer.meta.digest.wrapping_add(changes.digest_change),
            rows: writer.meta.rows.saturating_add_signed(changes.rows_change),
        };
        meta.write_to(&mut changes.batch)?;
        write_footing(&cursor, &mut changes.batch)?;
        self.tree.apply(changes.batch)?;
        (writer.meta, writer.footing) = (meta, cursor);
        Ok(())
    }
}
