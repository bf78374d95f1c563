//! The roles of a process, started together and stopped in order: first nobody comes in any more, then nothing is
//! urged or pushed, then the read models are closed, and the log last.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cuiban_command_handler::{Clock, Handlers, RandomIds};
use cuiban_deliveries::Deliveries;
use cuiban_domain::ids::Actor;
use cuiban_event_log::{EventLog, Filter};
use cuiban_gateway::{Gateway, Health, Looked, Mounts};
use cuiban_notifier::Notifier;
use cuiban_projector::Projector;
use cuiban_vitals::{Role, Roll, SILENT_MAX, Vitals, keep_beating};
use cuiban_watchdog::Watchdog;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::beats::NatsBeats;
use crate::exit::{Failure, OrFailure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::DataDir;

/// What every role needs.
#[derive(Clone)]
pub(crate) struct Base {
    pub log: Arc<dyn EventLog>,
    pub handlers: Arc<Handlers>,
    /// What was pushed to whom.
    pub deliveries: Arc<dyn Deliveries>,
    pub settings: Settings,
    pub roll: Option<Roll>,
}

/// Which build this is.
const BUILD: &str = env!("CARGO_PKG_VERSION");

/// Where HTTP is served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    pub address: SocketAddr,
    /// Whether another port will do where this one is taken: nobody asked for it, and the role has other work.
    pub or_elsewhere: bool,
}

impl Listen {
    /// Where a role listens: as it was told, as the settings say, or by its own default port.
    pub(crate) fn of(role: Role, told: Option<SocketAddr>, settings: &Settings) -> Self {
        let port = match role {
            Role::Gateway | Role::All => 8080,
            Role::Projector => 8081,
            Role::Watchdog => 8082,
            Role::Notifier => 8083,
        };
        let address = told.or(settings.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)));
        let or_elsewhere = told.is_none() && matches!(role, Role::Watchdog | Role::Notifier);
        Self { address, or_elsewhere }
    }

    /// Takes the port.
    pub(crate) async fn bind(self) -> Result<TcpListener, Failure> {
        let Self { address, or_elsewhere } = self;
        match TcpListener::bind(address).await {
            Err(error) if or_elsewhere && error.kind() == std::io::ErrorKind::AddrInUse => {
                tracing::warn!(%address, "the port is taken: HTTP is served at another one");
                let elsewhere = SocketAddr::new(address.ip(), 0);
                Ok(TcpListener::bind(elsewhere).await.with_context(|| format!("listen on {elsewhere}"))?)
            }
            bound => Ok(bound.with_context(|| format!("listen on {address}"))?),
        }
    }
}

/// The vitals of this process: a name that no other has, of the machine's, the process's number and chance.
pub(crate) fn vitals(role: Role) -> Vitals {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().into_owned();
    let chance = &uuid::Uuid::new_v4().simple().to_string()[..6];
    Vitals::new(role, &format!("{machine}-{}-{chance}", std::process::id()), BUILD)
}

/// What goes on beside the roles for as long as the process lives: heartbeats, and listening to those of others.
pub(crate) struct Heart {
    stop: CancellationToken,
    beating: JoinSet<()>,
    _listening: Option<tokio::task::JoinHandle<()>>,
}

impl Heart {
    /// Begins to beat, over NATS where there is a connection; takes down on the roll what is heard.
    pub(crate) async fn begin(base: &Base, nats: Option<async_nats::Client>) -> Result<Self, Failure> {
        let (stop, mut beating, mut listening) = (CancellationToken::new(), JoinSet::new(), None);
        let vitals = base.handlers.vitals().clone();
        let clock = base.handlers.clock().clone();
        let now = move || clock.now();
        match (nats, &base.roll) {
            (Some(client), roll) => {
                let beats = NatsBeats::new(client, base.settings.jetstream.prefix.clone());
                if let Some(roll) = roll {
                    listening = Some(beats.listen(roll.clone()).await.context("listen to heartbeats")?);
                }
                beating.spawn(keep_beating(vitals, beats, now, stop.clone()));
            }
            (None, Some(roll)) => {
                beating.spawn(keep_beating(vitals, roll.clone(), now, stop.clone()));
            }
            (None, None) => {}
        }
        Ok(Self { stop, beating, _listening: listening })
    }

    /// Says that the process leaves.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while self.beating.join_next().await.is_some() {}
    }
}

impl Base {
    /// Handlers over this log, by this clock.
    pub(crate) async fn start(
        log: Arc<dyn EventLog>,
        deliveries: Arc<dyn Deliveries>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        (vitals, roll): (Vitals, Option<Roll>),
    ) -> Result<Self, Failure> {
        let (ids, process) = (Arc::new(RandomIds), Actor::new("cuiban")?);
        let config = settings.command_handler.clone();
        let handlers = Handlers::start_with_vitals(log.clone(), clock, ids, process, config, vitals);
        let handlers = Arc::new(handlers.await.or_unreachable()?);
        Ok(Self { log, handlers, deliveries, settings, roll })
    }

    pub(crate) fn watchdog(&self, dir: &Path) -> Watchdog {
        Watchdog::start(self.handlers.clone(), self.log.clone(), dir, self.settings.watchdog.clone())
    }

    pub(crate) async fn projector(&self, dir: &Path, filter: Filter) -> Result<Projector, Failure> {
        let config = self.settings.projector.clone();
        let pulse = self.handlers.vitals().pulse("projector.following", SILENT_MAX);
        let projector = Projector::start_with_pulse(self.log.clone(), dir, filter, config, pulse).await;
        Ok(projector.with_context(|| format!("open the read models in {}", dir.display()))?)
    }

    /// The notifier, with the channels of the settings; `nats` is what it publishes through.
    pub(crate) async fn notifier(
        &self,
        dir: &Path,
        nats: Option<async_nats::Client>,
    ) -> Result<Notifier, Failure> {
        let config = self.settings.notifier.clone();
        let outlets = config.outlets(nats, self.handlers.clock()).or_usage()?;
        let (handlers, log, deliveries) = (self.handlers.clone(), self.log.clone(), self.deliveries.clone());
        let notifier = Notifier::start(handlers, log, deliveries, dir, outlets, config).await;
        Ok(notifier.with_context(|| format!("open the outbox in {}", dir.display()))?)
    }

    /// Serves HTTP until `shutdown`; says where, as soon as it can be reached.
    pub(crate) async fn serve(
        &self,
        listener: TcpListener,
        data: &DataDir,
        models: Option<cuiban_projector::ReadModels>,
        mounts: Mounts,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        let config = self.settings.gateway.clone();
        let grace = config.stop_grace();
        let (handlers, log) = (self.handlers.clone(), self.log.clone());
        let looked = Looked {
            handlers: handlers.clone(),
            log: log.clone(),
            models: models.clone(),
            roll: self.roll.clone(),
            stores: data.stores(),
        };
        let health = Health::new(looked, &config);
        let closed = CancellationToken::new();
        let looking = tokio::spawn(health.clone().keep_looking(closed.clone()));
        let deliveries = Some(self.deliveries.clone());
        let gateway = Gateway { handlers, models, log, deliveries, config, health };
        let router = cuiban_gateway::router(gateway, mounts).or_usage()?;
        output::note(format_args!("cuiban: http://{}", listener.local_addr()?));
        let served = cuiban_gateway::serve(listener, router, shutdown, grace).await;
        closed.cancel();
        // Whatever became of it, the log and the models are let go of.
        let _ = looking.await;
        Ok(served?)
    }

    /// As [`Self::serve`], for a role whose work is another: that the server fails is no reason to end it.
    pub(crate) async fn serve_beside(
        &self,
        listener: TcpListener,
        data: &DataDir,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        if let Err(failure) = self.serve(listener, data, None, Mounts::NOTHING, shutdown).await {
            tracing::error!(%failure, "HTTP is not served any more");
            stop_signal().await;
        }
        Ok(())
    }
}

/// Returns at SIGTERM or Ctrl-C. They are listened for from this call on, not only once it is waited for.
pub(crate) fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            return drop(tokio::signal::ctrl_c().await);
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
