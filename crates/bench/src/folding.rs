//! Folding the log into read models, beside only reading it.

use std::path::Path;
use std::sync::Arc;

use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_projector::{Model, OpenClocks, Projector, Runner, Store};

use crate::figure::{AnyError, failed};
use crate::jetstream::{Broker, drain_bare};
use crate::office::{Contents, Office, contents};
use crate::stopwatch::{per_second, timed_async};
use crate::{BenchError, Figure, Goal};

/// As many as a projector takes at a time when it is far behind.
const BATCH_COMMITS_MAX: usize = 16_384;

/// How many models are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Models {
    One,
    All,
}

impl Models {
    fn named(self) -> &'static str {
        match self {
            Self::One => "one read model (open_clocks)",
            Self::All => "all read models",
        }
    }
}

/// Commits a second from the embedded log, beside reading them without decoding.
pub(crate) async fn embedded(rounds: u32, models: Models, tickets: usize) -> Result<Figure, BenchError> {
    let what = format!("fold, {}, embedded log", models.named());
    let measured = async {
        let folder = tempfile::tempdir()?;
        let office = Office::embedded(folder.path()).await?;
        office.lives(tickets).await?;
        let found = contents(office.log.as_ref()).await?;
        let mut pairs = Vec::new();
        for round in 0..rounds {
            let ours =
                fold(&office.log, &folder.path().join(format!("models-{round}")), models, found).await?;
            let (took, read) = timed_async(drain(office.log.as_ref())).await;
            pairs.push((ours, per_second(read?, took)));
        }
        Ok::<_, AnyError>((pairs, found))
    };
    let (pairs, found) = measured.await.map_err(failed(&what))?;
    let limit = "reading the same commits through the port, undecoded";
    let figure = Figure::beside(what, "commits/s", limit, &pairs).note(said(tickets, found));
    Ok(if models == Models::One { figure.goal(Goal::AtLeast(100_000.0)) } else { figure })
}

/// Commits a second from JetStream, beside the client's own ordered consumer.
pub(crate) async fn on_jetstream(
    rounds: u32,
    models: Models,
    tickets: usize,
    broker: &Broker,
) -> Result<Figure, BenchError> {
    let what = format!("fold, {}, JetStream", models.named());
    let measured = async {
        let folder = tempfile::tempdir()?;
        let log = broker.new_log().await?;
        let office = Office::on(Arc::new(log.clone())).await?;
        office.lives(tickets).await?;
        let found = contents(office.log.as_ref()).await?;
        let mut pairs = Vec::new();
        for round in 0..rounds {
            let ours =
                fold(&office.log, &folder.path().join(format!("models-{round}")), models, found).await?;
            let (took, read) = timed_async(drain_bare(&log, found.commits)).await;
            read?;
            pairs.push((ours, per_second(found.commits, took)));
        }
        Ok::<_, AnyError>((pairs, found))
    };
    let (pairs, found) = measured.await.map_err(failed(&what))?;
    let limit = "the client library's ordered consumer, messages thrown away";
    let figure = Figure::beside(what, "commits/s", limit, &pairs).note(said(tickets, found));
    Ok(if models == Models::One { figure.goal(Goal::Ratio(0.6)) } else { figure })
}

fn said(tickets: usize, found: Contents) -> String {
    let Contents { commits, events, .. } = found;
    format!("{tickets} whole lives: {commits} commits, {events} events")
}

/// Commits a second into new models.
pub(crate) async fn fold(
    log: &Arc<dyn EventLog>,
    dir: &Path,
    models: Models,
    found: Contents,
) -> Result<f64, AnyError> {
    match models {
        Models::One => {
            let (took, built) = timed_async(build_one(log, dir)).await;
            built?.stop().await;
            Ok(per_second(found.commits, took))
        }
        Models::All => {
            let (took, built) = timed_async(build_all(log, dir, |_, _| {})).await;
            built?.stop().await;
            Ok(per_second(found.commits, took))
        }
    }
}

/// Follows the log into the open clocks until everything is folded.
async fn build_one(log: &Arc<dyn EventLog>, dir: &Path) -> Result<Runner<OpenClocks>, AnyError> {
    let store = Store::open(dir)?;
    let model = Model::open(&store, OpenClocks)?;
    let config = cuiban_projector::Config::default();
    let runner = Runner::start(log.clone(), Filter::everything(), &store, model, config);
    runner.progress().wait_for(|progress| progress.caught_up).await?;
    Ok(runner)
}

/// Follows the log into all models until everything is folded.
pub(crate) async fn build_all(
    log: &Arc<dyn EventLog>,
    dir: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Projector, AnyError> {
    let projector =
        Projector::start(log.clone(), dir, Filter::everything(), cuiban_projector::Config::default()).await?;
    let mut told = projector.progress();
    loop {
        let now = *told.borrow_and_update();
        progress(now.position.raw(), now.head.raw());
        if now.caught_up {
            return Ok(projector);
        }
        told.changed().await?;
    }
}

/// Reads everything and keeps nothing.
pub(crate) async fn drain(log: &dyn EventLog) -> Result<usize, AnyError> {
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await?;
    let mut commits = 0;
    while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
        let batch = batch?;
        commits += batch.commits.len();
        if batch.caught_up {
            break;
        }
    }
    Ok(commits)
}
