//! Power loss, at the level of the file: what a real process does to its files is recorded, and from the recording
//! every state is made that a disk may be in when the power goes.
//!
//! - `recorder.c` is preloaded into the process and records its opens, writes, truncations, syncs and unlinks, and the
//!   acknowledgements between them, in order ([`recording`]).
//! - [`disk`] cuts the recording anywhere. What was synced is there; of what came later any part may be, down to
//!   sectors of 512 bytes, and names that were made or removed may be or not until their folder was synced.
//! - [`workload`] is what the process writes, and what has to be there afterwards.
//!
//! `CUIBAN_POWER_LOSSES=1000` gives that many crash states (`just power-loss`), a few dozen otherwise.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

mod disk;
mod recording;
mod workload;

use std::path::Path;

use cuiban_event_log_sqlite::{Config, SqliteLog};
use disk::Disk;
use recording::{Recorded, Recording};
use workload::Expected;

/// How many times the process is recorded; each time but the first it begins on what a power loss left.
const GENERATIONS: usize = 4;
/// How many crash states there are when nobody says otherwise.
const POWER_LOSSES: usize = 40;

/// A folder in memory where there is one: the losses are made from the recording, the real disk has no part in it.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn power_losses() -> usize {
    std::env::var("CUIBAN_POWER_LOSSES").map_or(POWER_LOSSES, |count| count.parse().unwrap())
}

/// Not a fact by itself: the process that is recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests of this file"]
async fn appends_while_recorded() {
    let Some(folder) = std::env::var_os(recording::FOLDER) else { return };
    workload::run(Path::new(&folder)).await;
}

#[tokio::test]
async fn no_acknowledged_commit_is_lost_when_the_power_goes() {
    let losses = power_losses();
    let mut draws = fastrand::Rng::with_seed(1);
    let (mut base, mut told) = (Disk::default(), Expected::default());
    let (mut pending, mut acknowledged) = (0, 0);
    for generation in 0..GENERATIONS {
        let recording = Recording::of(&base);
        let acknowledgements = recording.acknowledgements();
        assert!(acknowledgements >= 200, "only {acknowledgements} commits were acknowledged");
        for number in 0..losses.div_ceil(GENERATIONS) {
            let seed = (generation * 1_000_000 + number) as u64;
            let crash = recording.crash(&base, seed);
            pending += usize::from(crash.lost_something);
            let expected = told.with(&recording.ops[..crash.cut]);
            acknowledged += expected.acknowledged();
            if let Err(wrong) = judge(&crash.disk, &expected).await {
                let kept = tempfile::tempdir().unwrap().keep();
                crash.disk.write(&kept);
                panic!(
                    "generation {generation}, cut {} of seed {seed}: {wrong}; see {}",
                    crash.cut,
                    kept.display()
                );
            }
        }
        // The next process begins on what one of these losses left: recovery is recorded too.
        let crash = recording.crash(&base, draws.u64(..));
        told = told.with(&recording.ops[..crash.cut]);
        told.everything_in(&crash.disk).await;
        base = crash.disk;
    }
    println!(
        "{losses} power losses, {pending} with unsynced operations lost, {acknowledged} acknowledged commits looked for"
    );
    assert!(
        pending * 4 > losses,
        "only {pending} of the crash states had lost anything: the test is too tame"
    );
}

#[tokio::test]
async fn a_disk_that_only_pretends_to_sync_loses_acknowledged_commits() {
    // The judge has teeth: the same states, made as if no sync had been asked for, are found wanting.
    let base = Disk::default();
    let mut recording = Recording::of(&base);
    recording.ops.retain(|op| !matches!(op, Recorded::Sync { .. }));
    let mut found = 0;
    for seed in 0..20 {
        let crash = recording.crash(&base, seed);
        let expected = Expected::default().with(&recording.ops[..crash.cut]);
        found += usize::from(judge(&crash.disk, &expected).await.is_err());
    }
    assert!(found >= 10, "only {found} of 20 losses were noticed");
}

/// Opens what is on the disk as after a restart: the log opens, everything acknowledged is there, nothing is there
/// that was never sent, the audit finds nothing, and the next appends work and stay.
async fn judge(disk: &Disk, expected: &Expected) -> Result<(), String> {
    let folder = scratch();
    disk.write(folder.path());
    let config = Config { checkpoint_pages: workload::CHECKPOINT_PAGES, ..workload::config(folder.path()) };
    let log = SqliteLog::open(config.clone()).map_err(|error| format!("does not open: {error:?}"))?;
    expected.check(&log).await?;
    audited(&config)?;
    let appended = workload::append_more(&log).await?;
    drop(log);
    let log = SqliteLog::open(config.clone()).map_err(|error| format!("does not open again: {error:?}"))?;
    expected.clone().and(appended).check(&log).await?;
    drop(log);
    audited(&config)
}

fn audited(config: &Config) -> Result<(), String> {
    let audit = cuiban_event_log_sqlite::audit(config, |_| ()).map_err(|error| error.to_string())?;
    match audit.faults.first() {
        Some(fault) => Err(format!("the audit found {fault:?}")),
        None => Ok(()),
    }
}
