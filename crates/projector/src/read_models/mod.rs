//! The query handle: what the gateway, the watchdog and the notifier ask of the read models.
//!
//! - [`tickets`]: tickets, timelines, possible duplicates, the repair register.
//! - [`dispatch`]: board, overdue list, load, proposals.
//! - [`notices`]: expedite notices, deliveries, open clocks.
//! - [`paging`]: how lists are cut into pages.

mod dispatch;
mod notices;
mod paging;
mod tickets;

use std::sync::Arc;
use std::time::Duration;

use cuiban_domain::ids::BranchId;
use cuiban_event_log::Position;
use cuiban_vitals::in_one_line;
use tokio::sync::watch;

use crate::follow::Fed;
use crate::model::Model;
use crate::projections::{Notices, OpenClocksByDue, Tickets, Timelines};
use crate::rows::{ModelStatus, ParkedRow};
use crate::store::{Store, StoreError};
use crate::{Config, Progress, Scope};

/// A question that cannot be answered now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The model is being built or checked: answering from a half of it would be wrong. Ask again.
    #[error("the read model {model} is being built: at position {cursor}")]
    NotReady {
        /// Which model.
        model: &'static str,
        /// How far it is.
        cursor: Position,
    },
    /// The store cannot be read: its disk refuses, or it was found damaged and is being built anew. Ask again.
    #[error("the store of the read models is unavailable: {detail}")]
    Unavailable {
        /// What is wrong.
        detail: String,
    },
    /// The cursor of a page is not one that a page before gave.
    #[error("{0:?} is not a page cursor")]
    InvalidCursor(String),
    /// The organisation that was given does not know the branch.
    #[error("the branch {0} is not known")]
    UnknownBranch(BranchId),
}

/// The read models did not come as far as was wanted in the time given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read models are at position {reached}, not yet at {wanted}")]
pub struct Lagging {
    /// The position waited for.
    pub wanted: Position,
    /// How far the slowest model came.
    pub reached: Position,
}

/// The query handle. Clones are cheap and share the models. No query waits: each reads what is folded.
#[derive(Clone, Debug)]
pub struct ReadModels {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tickets: Model<Tickets>,
    timelines: Model<Timelines>,
    notices: Model<Notices>,
    open_clocks: Model<OpenClocksByDue>,
    store: Store,
    config: Config,
    progress: watch::Receiver<Progress>,
}

impl ReadModels {
    /// All models in this store, unchecked.
    pub(crate) fn attach(
        store: &Store,
        scope: &Scope,
        config: &Config,
        progress: watch::Receiver<Progress>,
    ) -> Self {
        let shared = Shared {
            tickets: Model::attach(store, Tickets, scope.clone()),
            timelines: Model::attach(store, Timelines, scope.clone()),
            notices: Model::attach(store, Notices, scope.clone()),
            open_clocks: Model::attach(store, OpenClocksByDue, scope.clone()),
            store: store.clone(),
            config: config.clone(),
            progress,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The models as the one that follows the log sees them; those that others wait for most come first.
    pub(crate) fn fed(&self) -> Vec<Box<dyn Fed>> {
        let Shared { tickets, timelines, notices, open_clocks, .. } = self.shared.as_ref();
        vec![
            Box::new(open_clocks.clone()),
            Box::new(tickets.clone()),
            Box::new(notices.clone()),
            Box::new(timelines.clone()),
        ]
    }

    /// How each model stands.
    pub fn status(&self) -> Result<Vec<ModelStatus>, ReadError> {
        let head = self.shared.progress.borrow().head;
        let quarantined = self.shared.store.quarantined();
        let (other, damaged): (Vec<_>, Vec<_>) = quarantined.iter().partition(|one| one.of_another_log);
        let paths: Vec<_> = damaged.iter().map(|one| one.path.display().to_string()).collect();
        let of_another_log: Vec<_> =
            other.iter().map(|one| format!("{} ({})", one.path.display(), one.detail)).collect();
        let status = |model: &dyn Fed| {
            let standing = model.standing()?;
            Ok(ModelStatus {
                name: model.name().to_owned(),
                version: standing.version,
                serving_version: standing.serving_version,
                cursor: standing.position.raw(),
                lag: head.raw().saturating_sub(standing.position.raw()),
                parked: standing.parked,
                foreign: standing.foreign,
                rows: standing.rows,
                quarantined: paths.clone(),
                of_another_log: of_another_log.clone(),
            })
        };
        self.fed().iter().map(|model| status(model.as_ref())).collect::<Result<_, _>>().map_err(unavailable)
    }

    /// The commits that are set aside, at most [`Config::list_rows_max`] of each model.
    pub fn parked(&self) -> Result<Vec<ParkedRow>, ReadError> {
        let mut rows = Vec::new();
        for model in self.fed() {
            let parked = model.parked(self.shared.config.list_rows_max).map_err(unavailable)?;
            rows.extend(parked.into_iter().map(|parked| ParkedRow {
                model: model.name().to_owned(),
                position: parked.position.raw(),
                stream: parked.address,
                reason: parked.reason,
            }));
        }
        Ok(rows)
    }

    /// Whether every query can be answered.
    pub fn is_ready(&self) -> bool {
        self.fed()
            .iter()
            .all(|model| model.standing().is_ok_and(|standing| standing.serving_version.is_some()))
    }

    /// The last position that every model has folded.
    pub fn position(&self) -> Position {
        self.shared.progress.borrow().position
    }

    /// Tells of each step of the models.
    pub fn changes(&self) -> watch::Receiver<Progress> {
        self.shared.progress.clone()
    }

    /// Returns when every model has folded the commit at `position`, or when `timeout` has passed.
    ///
    /// Wait for positions of commits that this projector follows: one of a branch that it does not is never seen.
    pub async fn wait_for(&self, position: Position, timeout: Duration) -> Result<(), Lagging> {
        let mut progress = self.shared.progress.clone();
        let reached = progress.wait_for(|progress| progress.position >= position);
        match tokio::time::timeout(timeout, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Lagging { wanted: position, reached: self.position() }),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn unavailable(error: StoreError) -> ReadError {
    ReadError::Unavailable { detail: in_one_line(&error) }
}
