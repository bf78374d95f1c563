//! How cost grows with the number of tickets: the same system measured at one size after the other.

use serde::Serialize;

use crate::figure::{AnyError, failed};
use crate::folding::build_all;
use crate::machine::{forget_peak, peak_mib};
use crate::office::{FILLING_WRITERS, Office, contents};
use crate::stopwatch::{per_second, timed_async};
use crate::table::{Hear, Progress};
use crate::watching::restarted;
use crate::{BenchError, Spread};

/// How many commands a second are measured with at each size, and how often. Few, as each leaves a ticket open.
const COMMANDS: usize = 2_000;
const COMMAND_ROUNDS: usize = 5;

/// A system of so many tickets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Tickets that have lived their whole lives; the commands measured at each size leave 10,000 more open.
    pub tickets: usize,
    /// Durable commands a second by 128 writers on top of them, the median of five rounds.
    pub commands_per_s: f64,
    /// Commits a second folded into all read models, from nothing.
    pub fold_commits_per_s: f64,
    /// Seconds from the start of a watchdog that knows them to its first notice.
    pub restart_s: f64,
    /// The most memory that was held meanwhile, in MiB.
    pub peak_memory_mib: u64,
}

/// One system, grown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// From small to large.
    pub stages: Vec<Stage>,
}

/// Grows one system to these sizes in turn, and measures it at each.
pub fn grow(sizes: &[usize], hear: &Hear<'_>) -> Result<Growth, BenchError> {
    let what = "how cost grows";
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed(what))?;
    let progress = Progress::to(hear);
    runtime.block_on(stages(sizes, &progress)).map(|stages| Growth { stages }).map_err(failed(what))
}

async fn stages(sizes: &[usize], progress: &Progress<'_>) -> Result<Vec<Stage>, AnyError> {
    let mut folder = tempfile::tempdir()?;
    let mut stages = Vec::new();
    let mut lived = 0;
    for &tickets in sizes {
        forget_peak();
        let office = Office::embedded(folder.path()).await?;
        progress.said(&format!("{tickets} tickets"));
        office.lives(tickets.saturating_sub(lived)).await?;
        lived = lived.max(tickets);
        let mut commands = Vec::new();
        for _ in 0..COMMAND_ROUNDS {
            let (took, registered) = timed_async(office.registrations(FILLING_WRITERS, COMMANDS)).await;
            registered?;
            commands.push(per_second(COMMANDS, took));
        }
        let commands_per_s = Spread::of(commands).median;
        let found = contents(office.log.as_ref()).await?;
        let models = folder.path().join("models");
        let tell = |at, of| progress.share("fold", at, of);
        let (took, built) = timed_async(build_all(&office.log, &models, tell)).await;
        built?.stop().await;
        std::fs::remove_dir_all(&models)?;
        let fold_commits_per_s = per_second(found.commits, took);
        let (restart_took, same_folder) = restarted(office, folder).await?;
        folder = same_folder;
        let restart_s = restart_took.as_secs_f64();
        let peak_memory_mib = peak_mib().unwrap_or_default();
        stages.push(Stage { tickets, commands_per_s, fold_commits_per_s, restart_s, peak_memory_mib });
    }
    Ok(stages)
}
