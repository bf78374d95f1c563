//! The roles of a process, started together and stopped in order: first nobody comes in any more, then nothing is
//! urged or pushed, then the read models are closed, and the log last.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use cuiban_command_handler::{Clock, Handlers, RandomIds};
use cuiban_domain::ids::Actor;
use cuiban_event_log::{EventLog, Filter};
use cuiban_gateway::{Gateway, Mounts};
use cuiban_notifier::Notifier;
use cuiban_projector::Projector;
use cuiban_watchdog::Watchdog;
use tokio::net::TcpListener;

use crate::exit::{Failure, OrFailure, Outcome};
use crate::settings::Settings;

/// What every role needs.
#[derive(Clone)]
pub(crate) struct Base {
    pub log: Arc<dyn EventLog>,
    pub handlers: Arc<Handlers>,
    pub settings: Settings,
}

impl Base {
    /// Handlers over this log, by this clock.
    pub(crate) async fn start(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, Failure> {
        let (ids, process) = (Arc::new(RandomIds), Actor::new("cuiban")?);
        let config = settings.command_handler.clone();
        let handlers = Handlers::start(log.clone(), clock, ids, process, config).await.or_unreachable()?;
        Ok(Self { log, handlers: Arc::new(handlers), settings })
    }

    pub(crate) fn watchdog(&self, dir: &Path) -> Watchdog {
        Watchdog::start(self.handlers.clone(), self.log.clone(), dir, self.settings.watchdog.clone())
    }

    pub(crate) async fn projector(&self, dir: &Path, filter: Filter) -> Result<Projector, Failure> {
        let config = self.settings.projector.clone();
        let projector = Projector::start(self.log.clone(), dir, filter, config).await;
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
        let notifier = Notifier::start(self.handlers.clone(), self.log.clone(), dir, outlets, config).await;
        Ok(notifier.with_context(|| format!("open the outbox in {}", dir.display()))?)
    }

    /// Serves HTTP until `shutdown`; says where, as soon as it can be reached.
    pub(crate) async fn serve(
        &self,
        listen: SocketAddr,
        models: Option<cuiban_projector::ReadModels>,
        mounts: Mounts,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Outcome {
        let config = self.settings.gateway.clone();
        config.check(listen).or_usage()?;
        let grace = config.stop_grace();
        let gateway = Gateway { handlers: self.handlers.clone(), models, log: self.log.clone(), config };
        let router = cuiban_gateway::router(gateway, mounts).or_usage()?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
        eprintln!("cuiban: http://{}", listener.local_addr()?);
        cuiban_gateway::serve(listener, router, shutdown, grace).await?;
        Ok(())
    }
}

/// Returns at SIGTERM or Ctrl-C.
pub(crate) async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return drop(tokio::signal::ctrl_c().await);
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
