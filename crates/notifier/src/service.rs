//! The notifier in the background: the outbox that follows the log, and one loop for each channel.

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::Handlers;
use cuiban_deliveries::Deliveries;
use cuiban_domain::alert::Alert;
use cuiban_domain::ids::BranchId;
use cuiban_domain::ticket::Ticket;
use cuiban_domain::{Aggregate, Class};
use cuiban_event_log::{EventLog, Filter, InvalidToken, Pattern, Position, Token};
use cuiban_projector::{Model, Progress, Runner, Store, StoreError, StorePlace};
use cuiban_vitals::SILENT_MAX;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, InvalidConfig, Outlet, check_ids};
use crate::courier::Courier;
use crate::lane::{ChannelLoop, ChannelStatus};
use crate::leases::Leases;
use crate::looking::{Looking, Watched, keep_looking};
use crate::outbox::{Outbox, OutboxFold};

/// A running notifier. Dropping it cuts it off; [`Notifier::stop`] lets it finish what is under way.
#[derive(Debug)]
pub struct Notifier {
    store: Store,
    runner: Runner<OutboxFold>,
    outbox: Outbox,
    channels: Vec<watch::Receiver<ChannelStatus>>,
    loops: JoinSet<()>,
    stop: CancellationToken,
}

/// How the notifier stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The last position that is folded into the outbox.
    pub position: Position,
    /// Whether the outbox has seen all that was stored when it began to follow; nothing is pushed before.
    pub caught_up: bool,
    /// How many commits could not be folded and were set aside.
    pub parked: usize,
    /// How often the outbox's store was found damaged, put aside and built anew since the start.
    pub quarantined: usize,
    /// How each channel stands.
    pub channels: Vec<ChannelStatus>,
}

/// Why the notifier did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be served.
    #[error("start the notifier: the configuration cannot be served")]
    Config(#[from] InvalidConfig),
    /// The outbox's store cannot be opened.
    #[error("start the notifier: open the outbox")]
    Store(#[from] StoreError),
    /// The branch cannot be part of a stream's address.
    #[error("start the notifier: follow the log")]
    Filter(#[from] InvalidToken),
}

impl Notifier {
    /// Starts serving these channels from the log, with the outbox kept at this place. Alerts go out as soon as the
    /// outbox has caught up.
    ///
    /// Any number of notifiers may run over one log and one record of deliveries, each with a store of its own: while
    /// nothing fails each alert goes out once. After a death, what was in flight may go out again, under the same id.
    pub async fn start(
        handlers: Arc<Handlers>,
        log: Arc<dyn EventLog>,
        deliveries: Arc<dyn Deliveries>,
        place: impl Into<StorePlace>,
        outlets: Vec<Outlet>,
        config: Config,
    ) -> Result<Self, StartError> {
        check_ids(&outlets)?;
        let filter = filter(config.branch.as_ref())?;
        let (store, model) = open(&place.into(), &config).await?;
        let projector = cuiban_projector::Config {
            store: config.store.clone(),
            log_looked_at_every_ms: config.log_looked_at_every_ms,
            ..Default::default()
        };
        let pulse = handlers.vitals().pulse("notifier.outbox", SILENT_MAX);
        let runner = Runner::start_with_pulse(log, filter, &store, model.clone(), projector, pulse);
        let outbox = Outbox::new(model, runner.progress());
        let (stop, config) = (CancellationToken::new(), Arc::new(config));
        let (mut loops, mut channels) = (JoinSet::new(), Vec::new());
        // Another one at each start: whatever it had before may be in flight still.
        let holder = handlers.new_id();
        let started_at = handlers.clock().now();
        let (vital, mut watched) = (handlers.clone(), Vec::new());
        for outlet in outlets {
            let (status, told) = watch::channel(ChannelStatus::new(outlet.channel.id().clone()));
            let (handlers, outbox, config) = (handlers.clone(), outbox.clone(), config.clone());
            let (deliveries, leases) = (deliveries.clone(), Leases::new(config.lease()));
            watched.push(Watched { channel: outlet.channel.clone(), status: told.clone() });
            let courier = Courier { handlers, deliveries, outbox, outlet, config, leases, holder };
            loops.spawn(ChannelLoop::new(courier, started_at, status).run(stop.clone()));
            channels.push(told);
        }
        let looking = Looking { handlers: vital, outbox: store.clone(), deliveries, watched };
        loops.spawn(keep_looking(looking, stop.clone()));
        Ok(Self { store, runner, outbox, channels, loops, stop })
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        let Progress { position, caught_up, .. } = *self.runner.progress().borrow();
        let channels = self.channels.iter().map(|channel| channel.borrow().clone()).collect();
        let (parked, quarantined) = (self.outbox.parked(), self.store.quarantined().len());
        Status { position, caught_up, parked, quarantined, channels }
    }

    /// How one channel stands, and each change of it; `None` for a channel that is not served.
    pub fn channel(&self, id: &cuiban_domain::ids::ChannelId) -> Option<watch::Receiver<ChannelStatus>> {
        self.channels.iter().find(|channel| channel.borrow().channel == *id).cloned()
    }

    /// How far the outbox has followed the log, and each change of it.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.outbox.progress()
    }

    /// Takes no more alerts up, lets the pushes under way finish within the grace, and closes the outbox.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.loops.join_next().await.is_some() {}
        self.runner.stop().await;
        if let Err(error) = self.store.flush() {
            // The log has everything: what is missing is folded again.
            tracing::warn!(error = &error as &dyn std::error::Error, "the outbox was not synced");
        }
    }
}

/// Opens the outbox, again after a pause while the disk does not let us: what a process before us had open, or we
/// ourselves a moment ago, may still be closing.
async fn open(place: &StorePlace, config: &Config) -> Result<(Store, Model<OutboxFold>), StoreError> {
    let mut retries = 0;
    loop {
        match open_once(place, config).await {
            Err(StoreError::Unavailable { .. }) if retries < config.open_retries_max => retries += 1,
            opened => return opened,
        }
        tokio::time::sleep(Duration::from_millis(config.open_retry_delay_ms)).await;
    }
}

/// Opening checks every row, so it is kept off the runtime's threads.
async fn open_once(place: &StorePlace, config: &Config) -> Result<(Store, Model<OutboxFold>), StoreError> {
    let (here, limits) = (place.clone(), config.store.clone());
    let opened = place.run(move || {
        let store = Store::open_with(here, limits)?;
        let model = Model::open(&store, OutboxFold)?;
        Ok((store, model))
    });
    match opened.await {
        Ok(opened) => opened,
        Err(gone) => {
            Err(StoreError::Damaged { detail: format!("the task that opens the outbox is gone: {gone}") })
        }
    }
}

/// Tickets, and what was recorded of alerts; of one branch, what comes to it from others too.
fn filter(branch: Option<&BranchId>) -> Result<Filter, InvalidToken> {
    let branch = branch.map(|branch| Token::new(branch.as_str())).transpose()?;
    let of_kind = |kind: &str| -> Result<Pattern, InvalidToken> {
        Ok(Pattern { kind: Some(Token::new(kind)?), branch: branch.clone(), ..Pattern::default() })
    };
    let mut any_of = vec![of_kind(Ticket::KIND)?, of_kind(Alert::KIND)?];
    if branch.is_some() {
        let class = Some(Token::new(Class::Transfer.as_str())?);
        any_of.push(Pattern { kind: Some(Token::new(Ticket::KIND)?), class, ..Pattern::default() });
    }
    Ok(Filter { any_of })
}
