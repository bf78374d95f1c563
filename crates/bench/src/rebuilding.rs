//! Building all read models anew: the models of a system that has had so many tickets.

use std::time::Duration;

use crate::figure::{AnyError, failed};
use crate::folding::build_all;
use crate::office::{Contents, Office, contents};
use crate::stopwatch::timed_async;
use crate::table::Progress;
use crate::{BenchError, Figure, Goal};

/// What the figure speaks of.
const EVENTS: f64 = 8e6;

/// Seconds for a rebuild of 8 M events: measured where `tickets` make as many, otherwise at the rate measured.
pub(crate) async fn rebuild(
    rounds: u32,
    tickets: usize,
    progress: &Progress<'_>,
) -> Result<Figure, BenchError> {
    let what = "rebuild of all read models, 8 M events";
    let (took, found) = measure(rounds, tickets, progress).await.map_err(failed(what))?;
    let seconds: Vec<f64> =
        took.iter().map(|took| took.as_secs_f64() * EVENTS / found.events as f64).collect();
    let measured = Figure::new(what, "s", seconds.iter().copied());
    let events_a_second = EVENTS / measured.ours.median;
    let commits_a_second = events_a_second * found.commits as f64 / found.events as f64;
    let how = if found.events as f64 >= EVENTS { "measured" } else { "extrapolated from the rate" };
    let note = format!(
        "{how}: {tickets} whole lives, {} commits, {} events; {commits_a_second:.0} commits/s, {events_a_second:.0} events/s",
        found.commits, found.events
    );
    Ok(measured.goal(Goal::AtMost(90.0)).note(note))
}

async fn measure(
    rounds: u32,
    tickets: usize,
    progress: &Progress<'_>,
) -> Result<(Vec<Duration>, Contents), AnyError> {
    let folder = tempfile::tempdir()?;
    let office = Office::embedded(folder.path()).await?;
    progress.said(&format!("{tickets} whole lives into the log"));
    office.lives(tickets).await?;
    let found = contents(office.log.as_ref()).await?;
    let mut took = Vec::new();
    for round in 0..rounds {
        let dir = folder.path().join("models");
        let tell = |at, of| progress.share(&format!("rebuild, round {}", round + 1), at, of);
        let (round_took, built) = timed_async(build_all(&office.log, &dir, tell)).await;
        built?.stop().await;
        std::fs::remove_dir_all(&dir)?;
        took.push(round_took);
    }
    Ok((took, found))
}
