//! Following the log: one subscription, each commit decoded once and fed to one or many models.
//!
//! ```text
//!  check the rows ─► ask the cursors ─► follow from the least ─► batch ─► apply to each ─┐
//!        ▲                                        ▲                    ▲─────────────────────┘
//!        └── the store was replaced, or refused ──┴── the log failed (wait, longer each time)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use cuiban_event_log::{
    Batch, Cursor, EventLog, Filter, Following, LogError, LogIdentity, Position, RecordedCommit,
};
use cuiban_vitals::{Pulse, in_one_line};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::{Applied, FedFrom, Model};
use crate::parked::ParkedEntry;
use crate::projection::{Incoming, Projection};
use crate::store::{Store, StoreError, panic_text};
use crate::{Config, Progress};

/// Some successive commits, decoded once for all models.
pub(crate) type Slice = Arc<[Incoming]>;

/// A model as the one that follows the log sees it.
pub(crate) trait Fed: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn verify(&self) -> Result<(), StoreError>;
    fn footing(&self) -> Result<Cursor, StoreError>;
    fn apply(&self, slices: &mut dyn Iterator<Item = Slice>, from: &FedFrom) -> Result<Applied, StoreError>;
    fn set_caught_up(&self) -> Result<(), StoreError>;
    fn retry_parked(&self) -> Result<(), StoreError>;
    fn standing(&self) -> Result<Standing, StoreError>;
    fn parked(&self, limit: usize) -> Result<Vec<ParkedEntry>, StoreError>;
}

/// How a model stands.
pub(crate) struct Standing {
    pub(crate) version: u32,
    pub(crate) serving_version: Option<u32>,
    pub(crate) position: Position,
    pub(crate) parked: u64,
    pub(crate) foreign: u64,
    pub(crate) rows: u64,
}

impl<P: Projection> Fed for Model<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn verify(&self) -> Result<(), StoreError> {
        Self::verify(self)
    }

    fn footing(&self) -> Result<Cursor, StoreError> {
        Self::footing(self)
    }

    fn apply(&self, slices: &mut dyn Iterator<Item = Slice>, from: &FedFrom) -> Result<Applied, StoreError> {
        self.apply_slices(slices, from)
    }

    fn set_caught_up(&self) -> Result<(), StoreError> {
        Self::set_caught_up(self)
    }

    fn retry_parked(&self) -> Result<(), StoreError> {
        let retried = Self::retry_parked(self)?;
        if retried.folded + retried.left > 0 {
            tracing::info!(model = P::NAME, retried.folded, retried.left, "parked commits were tried again");
        }
        Ok(())
    }

    fn standing(&self) -> Result<Standing, StoreError> {
        Self::standing(self)
    }

    fn parked(&self, limit: usize) -> Result<Vec<ParkedEntry>, StoreError> {
        self.parked_first(limit)
    }
}

/// What following needs.
pub(crate) struct Follower {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) filter: Filter,
    pub(crate) store: Store,
    pub(crate) models: Arc<Vec<Box<dyn Fed>>>,
    pub(crate) config: Config,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) pulse: Pulse,
    pub(crate) stop: CancellationToken,
}

/// Why following has to begin anew.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("told to stop")]
    Stopped,
    #[error("follow the log")]
    Log(#[source] LogError),
    #[error("the log was closed")]
    LogClosed,
    #[error("write the read models")]
    Store(#[from] StoreError),
    #[error("a task of ours did not end well")]
    Task(#[source] tokio::task::JoinError),
}

impl Follower {
    /// Follows the log until told to stop. Nothing that fails ends it.
    pub(crate) async fn run(self) {
        let first_delay = Duration::from_millis(self.config.retry_delay_ms);
        let mut delay = first_delay;
        loop {
            let before = self.progress.borrow().position;
            let interrupted = self.follow().await;
            if self.progress.borrow().position > before {
                delay = first_delay;
            }
            match interrupted {
                Err(Interrupted::Stopped) => return,
                Ok(()) => {
                    tracing::warn!("the store of the read models was replaced; they are built anew");
                }
                Err(error) => {
                    tracing::warn!(error = in_one_line(&error), ?delay, "the read models stand still");
                    if self.or_stop(tokio::time::sleep(delay)).await.is_err() {
                        return;
                    }
                    delay = (delay * 2).min(Duration::from_millis(self.config.retry_delay_ms_max));
                }
            }
        }
    }

    /// Follows the log from the models' cursors; returns when the store was replaced, or is to be because the log was.
    async fn follow(&self) -> Result<(), Interrupted> {
        self.pulse.turn().await;
        let mut generations = self.store.generations();
        let cursors = self.begin().await?;
        let generation = *generations.borrow_and_update();
        let mut folding = None;
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Interrupted::Stopped),
            _ = generations.wait_for(|present| *present != generation) => Ok(()),
            result = self.follow_from(cursors, generation, &mut folding) => result,
        };
        // Whatever ended it: nothing is written any more when this returns.
        if let Some(Folding { task, .. }) = folding {
            task.await.map_err(Interrupted::Task)??;
        }
        match result {
            Err(Interrupted::Log(replaced @ LogError::Replaced { .. })) => {
                let detail = in_one_line(&replaced);
                self.store.failed(generation, &StoreError::OfAnotherLog { detail });
                Ok(())
            }
            result => result,
        }
    }

    async fn follow_from(
        &self,
        cursors: Vec<Cursor>,
        generation: u64,
        folding: &mut Option<Folding>,
    ) -> Result<(), Interrupted> {
        let least = cursors.iter().min_by_key(|cursor| cursor.position).copied().unwrap_or_default();
        // The one from which all go on is compared by the following itself.
        let others: BTreeMap<_, _> = cursors.iter().map(|cursor| (cursor.position, cursor)).collect();
        for cursor in others.values().filter(|cursor| cursor.position > least.position) {
            Following::check(self.log.clone(), *cursor).await.map_err(Interrupted::Log)?;
        }
        let look_every = Duration::from_millis(self.config.log_looked_at_every_ms);
        let following = Following::begin(self.log.clone(), self.filter.clone(), least, look_every);
        let mut following = following.await.map_err(Interrupted::Log)?;
        let (position, head) = (least.position, self.head().await?.max(least.position));
        self.progress.send_replace(Progress { position, head, caught_up: false, generation });
        self.pulse.follows(position.raw(), false);
        self.pump(&mut following, folding).await
    }

    /// Takes what comes while a batch is folded, and folds it next: the further behind, the larger the batches.
    async fn pump(
        &self,
        following: &mut Following,
        folding: &mut Option<Folding>,
    ) -> Result<(), Interrupted> {
        let (mut next, mut batches) = (Batch::default(), 0_u32);
        loop {
            if folding.is_none() {
                // Commits that come while a batch is being folded are no sign of life of the folding.
                self.pulse.turn().await;
            }
            if folding.is_none() && (!next.is_empty() || next.caught_up) {
                *folding = Some(self.begin_folding(std::mem::take(&mut next), following.log()));
            }
            let room = self.config.batch_commits_max.max(1).saturating_sub(next.len());
            tokio::select! {
                biased;
                folded = folded(folding) => {
                    self.tell(folded?);
                    batches = batches.wrapping_add(1);
                    if batches.is_multiple_of(self.config.head_every_batches.max(1)) {
                        let head = self.head().await?;
                        self.progress.send_modify(|progress| progress.head = progress.head.max(head));
                    }
                }
                batch = following.next_batch(room), if room > 0 => {
                    let batch = batch.ok_or(Interrupted::LogClosed)?.map_err(Interrupted::Log)?;
                    next.commits.extend(batch.commits);
                    next.foreign.extend(batch.foreign);
                    next.caught_up = batch.caught_up;
                }
                () = self.pulse.due(), if folding.is_none() => {}
            }
        }
    }

    fn begin_folding(&self, batch: Batch, log: LogIdentity) -> Folding {
        let (models, position) = (self.models.clone(), batch.last_position());
        let Batch { commits, foreign, caught_up } = batch;
        let from = FedFrom { log, foreign };
        let task = self.store.place().run(move || apply_to_all(&models, commits, &from, caught_up));
        Folding { task, folded: Folded { position, caught_up } }
    }

    fn tell(&self, folded: Folded) {
        self.progress.send_modify(|progress| {
            progress.position = folded.position.unwrap_or_default().max(progress.position);
            progress.head = progress.head.max(progress.position);
            progress.caught_up = folded.caught_up;
            self.pulse.follows(progress.position.raw(), progress.caught_up);
        });
    }

    /// Waits for something, but not beyond being told to stop.
    async fn or_stop<T>(&self, future: impl Future<Output = T>) -> Result<T, Interrupted> {
        self.stop.run_until_cancelled(future).await.ok_or(Interrupted::Stopped)
    }

    async fn head(&self) -> Result<Position, Interrupted> {
        self.or_stop(self.log.head()).await?.map_err(Interrupted::Log)
    }

    /// Checks the models' rows, tries what was parked, and answers the models' cursors.
    async fn begin(&self) -> Result<Vec<Cursor>, Interrupted> {
        let models = self.models.clone();
        let begin = move || {
            std::thread::scope(|scope| {
                let checks: Vec<_> = models.iter().map(|model| scope.spawn(|| model.verify())).collect();
                checks.into_iter().try_for_each(|check| check.join().unwrap_or_else(panicked))
            })?;
            let cursors = models.iter().map(|model| {
                model.retry_parked()?;
                model.footing()
            });
            cursors.collect::<Result<Vec<_>, StoreError>>()
        };
        Ok(self.store.place().run(begin).await.map_err(Interrupted::Task)??)
    }
}

/// A batch that is being folded.
struct Folding {
    task: JoinHandle<Result<(), StoreError>>,
    folded: Folded,
}

/// What a folded batch means for the progress.
#[derive(Clone, Copy)]
struct Folded {
    /// None for a batch that says no more than that all is seen.
    position: Option<Position>,
    caught_up: bool,
}

/// Waits for the batch that is being folded; for ever, if there is none.
async fn folded(folding: &mut Option<Folding>) -> Result<Folded, Interrupted> {
    let Some(Folding { task, folded }) = folding else { return std::future::pending().await };
    let (result, folded) = (task.await, *folded);
    *folding = None;
    result.map_err(Interrupted::Task)??;
    Ok(folded)
}

/// So many commits are decoded, then folded by all models while they are at hand. More of them are worth several
/// threads.
const SLICE_COMMITS: usize = 256;
/// The most slices that wait for a model that is slower than the decoding.
const SLICES_WAITING_MAX: usize = 4;

fn apply_to_all(
    models: &[Box<dyn Fed>],
    commits: Vec<RecordedCommit>,
    from: &FedFrom,
    caught_up: bool,
) -> Result<(), StoreError> {
    if commits.len() <= SLICE_COMMITS {
        let slice: Slice = commits.into_iter().map(Incoming::decode).collect();
        models.iter().try_for_each(|model| apply(model.as_ref(), std::iter::once(slice.clone()), from))?;
    } else {
        apply_side_by_side(models, commits, from)?;
    }
    if caught_up { models.iter().try_for_each(|model| model.set_caught_up()) } else { Ok(()) }
}

/// Each model on a thread of its own, a few slices behind the decoding.
fn apply_side_by_side(
    models: &[Box<dyn Fed>],
    commits: Vec<RecordedCommit>,
    from: &FedFrom,
) -> Result<(), StoreError> {
    std::thread::scope(|scope| {
        let lanes = models.iter().map(|model| {
            let (lane, slices) = sync_channel(SLICES_WAITING_MAX);
            (lane, scope.spawn(move || apply(model.as_ref(), slices.into_iter(), from)))
        });
        let (lanes, applying): (Vec<_>, Vec<_>) = lanes.unzip();
        decode_into(&lanes, commits);
        drop(lanes);
        // All are waited for, whatever becomes of one.
        let results: Vec<_> = applying.into_iter().map(|one| one.join().unwrap_or_else(panicked)).collect();
        results.into_iter().collect()
    })
}

fn decode_into(lanes: &[SyncSender<Slice>], commits: Vec<RecordedCommit>) {
    // Let go of here, where they were made, when no model has them any more.
    let mut in_use = VecDeque::new();
    let mut commits = commits.into_iter();
    loop {
        let slice: Slice = commits.by_ref().take(SLICE_COMMITS).map(Incoming::decode).collect();
        if slice.is_empty() {
            return;
        }
        for lane in lanes {
            // A model that failed hears no more; the others go on.
            let _ = lane.send(slice.clone());
        }
        in_use.push_back(slice);
        // One is being folded, and one was taken while the last was put.
        if in_use.len() > SLICES_WAITING_MAX + 2 {
            in_use.pop_front();
        }
    }
}

/// A panic that nothing of ours expects: the rows are as they were, and the same is tried again.
#[expect(clippy::needless_pass_by_value, reason = "what a joined thread gives")]
fn panicked<T>(panic: Box<dyn std::any::Any + Send>) -> Result<T, StoreError> {
    tracing::error!(panic = panic_text(panic.as_ref()), "a thread that folds panicked");
    Err(StoreError::Replaced)
}

fn apply(model: &dyn Fed, mut slices: impl Iterator<Item = Slice>, from: &FedFrom) -> Result<(), StoreError> {
    let applied = model.apply(&mut slices, from)?;
    if applied.parked > 0 {
        tracing::warn!(model = model.name(), applied.parked, "commits were set aside");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cuiban_event_log::{Route, StreamId, StreamVersion, Token};

    use super::*;
    use crate::scope::Scope;
    use crate::store::{MemoryDisk, StorePlace};
    use crate::{OpenClocks, StoreConfig, Timelines};

    /// Successive commits that no build can read: each is set aside.
    fn unreadable(count: u64) -> Vec<RecordedCommit> {
        let token = |text| Token::new(text).unwrap();
        let commit = |position| RecordedCommit {
            position: Position::from_raw(position),
            stream: StreamId { kind: token("branch"), id: token("B0") },
            version: StreamVersion::from_raw(position),
            route: Route { branch: token("_"), class: token("case") },
            payload: b"nothing".as_slice().into(),
        };
        (1..=count).map(commit).collect()
    }

    #[test]
    fn every_slice_reaches_every_model_that_has_not_failed() {
        let place = StorePlace::Memory(MemoryDisk::default(), "models".to_owned());
        let store = Store::open_with(place, StoreConfig::default()).unwrap();
        let sound = Model::open(&store, OpenClocks).unwrap();
        // It refuses what it is fed for as long as its cursor is not asked for.
        let failing = Model::attach(&store, Timelines, Scope::everything());
        let models: Vec<Box<dyn Fed>> = vec![Box::new(failing), Box::new(sound)];
        let count = 9 * SLICE_COMMITS as u64 + 1;
        let stand = |model: &dyn Fed| {
            let standing = model.standing().unwrap();
            (standing.position.raw(), standing.parked, standing.serving_version.is_some())
        };

        let applied = apply_to_all(&models, unreadable(count), &FedFrom::default(), true);
        assert!(matches!(applied, Err(StoreError::Replaced)), "{applied:?}");
        assert_eq!(stand(models[0].as_ref()), (0, 0, false));
        assert_eq!(stand(models[1].as_ref()), (count, count, false), "all of it, but not yet to be asked");

        models[0].verify().unwrap();
        models[0].footing().unwrap();
        apply_to_all(&models, unreadable(count), &FedFrom::default(), true).unwrap();
        for model in &models {
            assert_eq!(stand(model.as_ref()), (count, count, true), "{}", model.name());
        }
    }
}
