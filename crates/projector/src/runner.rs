//! Following the log with one model, for whoever keeps a model of its own.

use std::sync::Arc;

use cuiban_event_log::{EventLog, Filter};
use cuiban_vitals::Pulse;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::follow::{Fed, Follower};
use crate::model::Model;
use crate::projection::Projection;
use crate::store::Store;
use crate::{Config, Progress};

/// Keeps one model up to date. Survives failures of the log and of the store; ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Runner<P> {
    model: Model<P>,
    task: FollowTask,
    progress: watch::Receiver<Progress>,
}

impl<P: Projection> Runner<P> {
    /// Follows the log from the model's cursor on, within a tokio runtime. The model has to be one of this store.
    pub fn start(
        log: Arc<dyn EventLog>,
        filter: Filter,
        store: &Store,
        model: Model<P>,
        config: Config,
    ) -> Self {
        Self::start_with_pulse(log, filter, store, model, config, Pulse::default())
    }

    /// As [`Self::start`], with the pulse of the loop that follows.
    pub fn start_with_pulse(
        log: Arc<dyn EventLog>,
        filter: Filter,
        store: &Store,
        model: Model<P>,
        config: Config,
        pulse: Pulse,
    ) -> Self {
        let (told, progress) = watch::channel(Progress::default());
        let models: Vec<Box<dyn Fed>> = vec![Box::new(model.clone())];
        let task = FollowTask::start(log, filter, store, models, config, (told, pulse));
        Self { model, task, progress }
    }

    /// The model that is kept up to date.
    pub fn model(&self) -> &Model<P> {
        &self.model
    }

    /// How far it has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Stops following; returns when nothing is written any more.
    pub async fn stop(self) {
        self.task.stop().await;
    }
}

/// The task that follows the log. Ends when it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct FollowTask {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl FollowTask {
    pub(crate) fn start(
        log: Arc<dyn EventLog>,
        filter: Filter,
        store: &Store,
        models: Vec<Box<dyn Fed>>,
        config: Config,
        (progress, pulse): (watch::Sender<Progress>, Pulse),
    ) -> Self {
        let stop = CancellationToken::new();
        let (store, models) = (store.clone(), Arc::new(models));
        let follower = Follower { log, filter, store, models, config, progress, pulse, stop: stop.clone() };
        Self { stop, task: tokio::spawn(follower.run()) }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        // Ends at once, or after the batch in hand; a panic in it was told by the runtime.
        let _ = (&mut self.task).await;
    }
}

impl Drop for FollowTask {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
