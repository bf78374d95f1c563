//! Folding the log into one read model, beside only reading it.

use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_projector::{Incoming, Model, OpenClocks, Store};

use crate::embedded::{register, system};
use crate::figure::{failed, per_second, timed_async};
use crate::{BenchError, Figure};

const WHAT: &str = "folding one read model";
const TICKETS: usize = 20_000;
const WRITERS: usize = 64;
const BATCH_COMMITS_MAX: usize = 1024;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Commits a second from the embedded log into the open clocks.
pub(crate) async fn one_model(rounds: u32) -> Result<Figure, BenchError> {
    let dir = tempfile::tempdir()?;
    let (log, handlers) = system(dir.path()).await.map_err(failed(WHAT))?;
    register(handlers, WRITERS, TICKETS).await.map_err(failed(WHAT))?;
    let mut pairs = Vec::new();
    for round in 0..rounds {
        let store = Store::open(dir.path().join(format!("models-{round}"))).map_err(failed(WHAT))?;
        let model = Model::open(&store, OpenClocks).map_err(failed(WHAT))?;
        let (took, folded) =
            timed_async(read(log.as_ref(), |incoming| Ok(model.apply(&incoming).map(drop)?))).await;
        let folded = per_second(folded.map_err(failed(WHAT))?, took);
        let (took, count) = timed_async(drain(log.as_ref())).await;
        pairs.push((folded, per_second(count.map_err(failed(WHAT))?, took)));
    }
    let what = "fold, one read model, embedded log".to_owned();
    Ok(Figure::beside(what, "commits/s", "reading the same commits without decoding them", &pairs))
}

async fn read(
    log: &dyn EventLog,
    mut take: impl FnMut(Vec<Incoming>) -> Result<(), AnyError>,
) -> Result<usize, AnyError> {
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await?;
    let mut commits = 0;
    while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
        let batch = batch?;
        commits += batch.commits.len();
        take(batch.commits.into_iter().map(Incoming::decode).collect())?;
        if batch.caught_up {
            break;
        }
    }
    Ok(commits)
}

async fn drain(log: &dyn EventLog) -> Result<usize, AnyError> {
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
