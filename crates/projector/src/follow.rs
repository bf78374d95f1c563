//! Following the log: one subscription, each commit decoded once and fed to one or many models.
//!
//! ```text
//!  check the rows ─► ask the cursors ─► subscribe after the least ─► batch ─► apply to each ─┐
//!        ▲                                        ▲                    ▲─────────────────────┘
//!        └── the store was replaced, or refused ──┴── the log failed (wait, longer each time)
//! ```

use std::sync::Arc;
use std::time::Duration;

use cuiban_event_log::{Batch, EventLog, Filter, LogError, Position, RecordedCommit, Subscription};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{Applied, Model};
use crate::parked::ParkedEntry;
use crate::projection::{Incoming, Projection};
use crate::store::{Store, StoreError};
use crate::{Config, Progress};

/// A model as the one that follows the log sees it.
pub(crate) trait Fed: Send + Sync + 'static {
    fn name(&self) -> &'static str;
    fn verify(&self) -> Result<(), StoreError>;
    fn cursor(&self) -> Result<Position, StoreError>;
    fn apply(&self, incoming: &[Incoming]) -> Result<Applied, StoreError>;
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
    pub(crate) rows: u64,
}

impl<P: Projection> Fed for Model<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn verify(&self) -> Result<(), StoreError> {
        Self::verify(self)
    }

    fn cursor(&self) -> Result<Position, StoreError> {
        Self::cursor(self)
    }

    fn apply(&self, incoming: &[Incoming]) -> Result<Applied, StoreError> {
        Self::apply(self, incoming)
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
                Ok(()) | Err(Interrupted::Store(StoreError::Replaced)) => {
                    tracing::warn!("the store of the read models was replaced; they are built anew");
                }
                Err(error) => {
                    tracing::warn!(
                        error = crate::store::chain(&error),
                        ?delay,
                        "the read models stand still"
                    );
                    if self.or_stop(tokio::time::sleep(delay)).await.is_err() {
                        return;
                    }
                    delay = (delay * 2).min(Duration::from_millis(self.config.retry_delay_ms_max));
                }
            }
        }
    }

    /// Follows the log from the models' cursors; returns when the store was replaced.
    async fn follow(&self) -> Result<(), Interrupted> {
        let mut generations = self.store.generations();
        let from = self.begin().await?;
        let generation = *generations.borrow_and_update();
        let head = self.head().await?;
        if head < from && self.is_ahead_still(from).await? {
            let detail = format!("the models are at {from}, the log ends at {head}: it is another log");
            self.store.failed(generation, &StoreError::Damaged { detail });
            return Ok(());
        }
        self.progress.send_replace(Progress { position: from, head: head.max(from), caught_up: false });
        let subscribing = self.log.subscribe(self.filter.clone(), from);
        let mut subscription = self.or_stop(subscribing).await?.map_err(Interrupted::Log)?;
        let mut batches = 0_u32;
        loop {
            let batch = tokio::select! {
                batch = self.or_stop(subscription.next_batch(self.batch_max())) => batch?,
                _ = generations.wait_for(|present| *present != generation) => return Ok(()),
            };
            let batch = batch.ok_or(Interrupted::LogClosed)?.map_err(Interrupted::Log)?;
            let (batch, failed) = self.fill(batch, &mut subscription).await;
            batches = batches.wrapping_add(1);
            if !batch.caught_up && batches.is_multiple_of(self.config.head_every_batches.max(1)) {
                let head = self.head().await?;
                self.progress.send_modify(|progress| progress.head = progress.head.max(head));
            }
            self.feed(batch).await?;
            if let Some(error) = failed {
                return Err(Interrupted::Log(error));
            }
        }
    }

    /// Waits for something, but not beyond being told to stop.
    async fn or_stop<T>(&self, future: impl Future<Output = T>) -> Result<T, Interrupted> {
        self.stop.run_until_cancelled(future).await.ok_or(Interrupted::Stopped)
    }

    async fn head(&self) -> Result<Position, Interrupted> {
        self.or_stop(self.log.head()).await?.map_err(Interrupted::Log)
    }

    fn batch_max(&self) -> usize {
        self.config.batch_commits_max.max(1)
    }

    /// Checks the models' rows, tries what was parked, and answers the position from which all can go on.
    async fn begin(&self) -> Result<Position, Interrupted> {
        let models = self.models.clone();
        let begin = move || {
            std::thread::scope(|scope| {
                let checks: Vec<_> = models.iter().map(|model| scope.spawn(|| model.verify())).collect();
                checks.into_iter().try_for_each(|check| check.join().unwrap_or(Err(StoreError::Replaced)))
            })?;
            let mut from = None;
            for model in models.iter() {
                model.retry_parked()?;
                let cursor = model.cursor()?;
                from = Some(from.map_or(cursor, |from: Position| from.min(cursor)));
            }
            Ok::<_, StoreError>(from.unwrap_or(Position::START))
        };
        Ok(tokio::task::spawn_blocking(begin).await.map_err(Interrupted::Task)??)
    }

    /// Whether the log still ends before the models' cursors when it is asked again.
    async fn is_ahead_still(&self, from: Position) -> Result<bool, Interrupted> {
        self.or_stop(tokio::time::sleep(Duration::from_millis(self.config.retry_delay_ms))).await?;
        Ok(self.head().await? < from)
    }

    /// While there is much to catch up with, larger batches are cheaper: takes what is there already.
    async fn fill(&self, mut batch: Batch, subscription: &mut Subscription) -> (Batch, Option<LogError>) {
        while !batch.caught_up && batch.commits.len() < self.batch_max() {
            let left = self.batch_max() - batch.commits.len();
            let more = tokio::select! {
                biased;
                more = subscription.next_batch(left) => more,
                () = std::future::ready(()) => break,
            };
            match more {
                Some(Ok(more)) => {
                    batch.commits.extend(more.commits);
                    batch.caught_up = more.caught_up;
                }
                Some(Err(error)) => return (batch, Some(error)),
                None => break,
            }
        }
        (batch, None)
    }

    async fn feed(&self, batch: Batch) -> Result<(), Interrupted> {
        let Batch { commits, caught_up } = batch;
        let last = commits.last().map(|commit| commit.position);
        let models = self.models.clone();
        let apply = move || apply_to_all(&models, commits, caught_up);
        tokio::task::spawn_blocking(apply).await.map_err(Interrupted::Task)??;
        self.progress.send_modify(|progress| {
            progress.position = last.unwrap_or(progress.position).max(progress.position);
            progress.head = progress.head.max(progress.position);
            progress.caught_up = caught_up;
        });
        Ok(())
    }
}

fn apply_to_all(
    models: &[Box<dyn Fed>],
    commits: Vec<RecordedCommit>,
    caught_up: bool,
) -> Result<(), StoreError> {
    let incoming: Vec<Incoming> = commits.into_iter().map(Incoming::decode).collect();
    for model in models {
        let applied = model.apply(&incoming)?;
        if applied.parked > 0 {
            tracing::warn!(model = model.name(), applied.parked, "commits were set aside");
        }
        if caught_up {
            model.set_caught_up()?;
        }
    }
    Ok(())
}
