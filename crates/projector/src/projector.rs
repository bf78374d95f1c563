//! All read models of one process: one store, one subscription, decoded once.

use std::path::Path;
use std::sync::Arc;

use cuiban_event_log::{EventLog, Filter, Position};
use tokio::sync::watch;

use crate::{Config, ReadModels, StoreError};

/// How far following the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last position that is folded.
    pub position: Position,
    /// The log's last position, as far as known.
    pub head: Position,
    /// Everything that was stored when following began is folded.
    pub caught_up: bool,
}

/// The running read models.
#[derive(Debug)]
pub struct Projector {
    models: ReadModels,
    progress: watch::Receiver<Progress>,
}

#[expect(clippy::unused_async, clippy::needless_pass_by_value, unused_variables, reason = "interim")]
impl Projector {
    /// Opens the store in `store_dir` and follows the log from there on. Queries answer
    /// [`crate::ReadError::NotReady`] until they can be answered rightly.
    pub async fn start(
        log: Arc<dyn EventLog>,
        store_dir: &Path,
        filter: Filter,
        config: Config,
    ) -> Result<Self, StoreError> {
        Ok(Self { models: ReadModels {}, progress: watch::Sender::default().subscribe() })
    }

    /// The query handle.
    pub fn models(&self) -> ReadModels {
        self.models.clone()
    }

    /// How far the models have come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Stops following, syncs the store and closes it.
    pub async fn stop(self) {}
}
