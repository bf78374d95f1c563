//! All read models of one process: one store, one subscription, each commit decoded once.

use std::sync::Arc;

use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_vitals::{Pulse, in_one_line};
use tokio::sync::watch;

use crate::runner::FollowTask;
use crate::store::{Store, StorePlace};
use crate::{Config, ReadModels, Scope, StoreError};

/// How far following the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last position that every model has folded. Goes back when a damaged store is built anew.
    pub position: Position,
    /// The log's last position, as far as known.
    pub head: Position,
    /// Everything that was stored when following began is folded.
    pub caught_up: bool,
    /// Counted up each time that the store is opened anew: after damage, and when the log is another one.
    pub generation: u64,
}

/// The running read models. Ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Projector {
    store: Store,
    models: ReadModels,
    task: FollowTask,
}

impl Projector {
    /// Opens the store at this place and follows the log from where it is. Returns without waiting for the models:
    /// queries answer [`crate::ReadError::NotReady`] until they can be answered rightly.
    ///
    /// A store that another process holds is refused; a damaged one is put aside and built anew.
    pub async fn start(
        log: Arc<dyn EventLog>,
        place: impl Into<StorePlace>,
        filter: Filter,
        config: Config,
    ) -> Result<Self, StoreError> {
        Self::start_with_pulse(log, place, filter, config, Pulse::default()).await
    }

    /// As [`Self::start`], with the pulse of the loop that follows.
    pub async fn start_with_pulse(
        log: Arc<dyn EventLog>,
        place: impl Into<StorePlace>,
        filter: Filter,
        config: Config,
        pulse: Pulse,
    ) -> Result<Self, StoreError> {
        let (place, store_config) = (place.into(), config.store.clone());
        let opening = place.clone().run(move || Store::open_with(place, store_config));
        let gone = |_| StoreError::Damaged { detail: "the task that opens the store is gone".to_owned() };
        let store = opening.await.map_err(gone)??;
        let (told, progress) = watch::channel(Progress::default());
        let models = ReadModels::attach(&store, &Scope::of(&filter), &config, progress.clone());
        let task = FollowTask::start(log, filter, &store, models.fed(), config, (told, pulse));
        Ok(Self { store, models, task })
    }

    /// The query handle.
    pub fn models(&self) -> ReadModels {
        self.models.clone()
    }

    /// How far the models have come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.models.changes()
    }

    /// Stops following and syncs the store. It is closed when the last [`ReadModels`] is gone.
    pub async fn stop(self) {
        let Self { store, models, task } = self;
        task.stop().await;
        let closing = store.place().run(move || {
            if let Err(error) = store.flush() {
                tracing::warn!(error = in_one_line(&error), "the store was not synced; it catches up");
            }
            drop((models, store));
        });
        // What was not synced is folded again.
        let _ = closing.await;
    }
}
