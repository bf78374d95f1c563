//! The limits of a SQLite log, all named.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the file is and how much of everything is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The log's file; `-wal` and `-shm` files stand beside it while it is open.
    pub path: PathBuf,
    /// The largest commit that is taken.
    pub commit_bytes_max: usize,
    /// The most commits stored in one transaction.
    pub batch_commits_max: usize,
    /// How long a group waits for company that is expected, at most.
    pub gather_us_max: u32,
    /// How long a group waits for the next of that company.
    pub gather_gap_us_max: u32,
    /// How large the write-ahead log grows before it is copied into the file (4 KiB pages).
    pub checkpoint_pages: u32,
    /// How much of the file the writer keeps in memory.
    pub cache_kib: u32,
    /// How many appends may wait for the writer; further ones wait for a place.
    pub queue_commits_max: usize,
    /// How long a writer waits for another process's write before it answers "unavailable".
    pub busy_ms_max: u32,
    /// The most connections for reading, and so the most reads at one time.
    pub readers_max: usize,
    /// How many commits a subscriber's feeder reads at a time, and how many its channel holds.
    pub page_commits_max: u32,
    /// How many positions a feeder looks through in one read when its filter matches little.
    pub scan_positions_max: u32,
    /// How often a subscriber looks for what another process wrote.
    pub poll_ms: u32,
}

impl Config {
    /// The defaults, for one file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    pub(crate) fn busy(&self) -> Duration {
        Duration::from_millis(self.busy_ms_max.into())
    }

    pub(crate) fn gather(&self) -> Duration {
        Duration::from_micros(self.gather_us_max.into())
    }

    pub(crate) fn gather_gap(&self) -> Duration {
        Duration::from_micros(self.gather_gap_us_max.into())
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(1).into())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("cuiban.log.sqlite"),
            commit_bytes_max: 4 << 20,
            batch_commits_max: 256,
            gather_us_max: 2_000,
            gather_gap_us_max: 200,
            checkpoint_pages: 4_000,
            cache_kib: 32 << 10,
            queue_commits_max: 4_096,
            busy_ms_max: 5_000,
            readers_max: 4,
            page_commits_max: 512,
            scan_positions_max: 65_536,
            poll_ms: 200,
        }
    }
}
