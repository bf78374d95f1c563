//! What all handlers share, and what only those with read models have.

use std::sync::Arc;

use axum::extract::FromRef;
use cuiban_command_handler::Handlers;
use cuiban_deliveries::Board;
use cuiban_domain::Instant;
use cuiban_domain::organisation::Organisation;
use cuiban_event_log::{EventLog, Position};
use cuiban_projector::ReadModels;
use tokio::sync::Semaphore;

use crate::config::{Config, InvalidConfig};
use crate::door::Door;
use crate::health::Health;

/// Shared by every handler of one server.
pub(crate) struct Front {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) config: Config,
    pub(crate) door: Door,
    pub(crate) models: Option<ReadModels>,
    pub(crate) health: Health,
    pub(crate) board: Option<Board>,
}

impl Front {
    pub(crate) fn new(gateway: crate::Gateway) -> Result<Self, InvalidConfig> {
        let crate::Gateway { handlers, models, log, deliveries, config, health } = gateway;
        let door = Door::new(&config)?;
        let board = deliveries.map(Board::start);
        Ok(Self { handlers, log, config, door, models, health, board })
    }

    /// Now, by the clock of all decisions.
    pub(crate) fn now(&self) -> Instant {
        self.handlers.clock().now()
    }

    /// Company and branches as known now.
    pub(crate) fn organisation(&self) -> Arc<Organisation> {
        self.handlers.directory().organisation()
    }

    /// Waits, bounded, until this process decides by what was recorded at `position`.
    pub(crate) async fn wait_for_directory(&self, position: Position) {
        let folded = self.handlers.directory().wait_for(position);
        if tokio::time::timeout(self.config.directory_wait(), folded).await.is_err() {
            tracing::warn!(%position, "the directory has not folded a recorded change in time");
        }
    }
}

/// What queries, pages and live updates share.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) front: Arc<Front>,
    pub(crate) models: ReadModels,
    /// One permit for each live stream that may be open.
    pub(crate) listeners: Arc<Semaphore>,
}

impl Office {
    pub(crate) fn new(front: Arc<Front>) -> Result<Self, InvalidConfig> {
        let models = front.models.clone().ok_or(InvalidConfig::ModelsMissing)?;
        let listeners = Arc::new(Semaphore::new(front.config.live_clients_max));
        Ok(Self { front, models, listeners })
    }
}

impl FromRef<Office> for Arc<Front> {
    fn from_ref(office: &Office) -> Self {
        office.front.clone()
    }
}
