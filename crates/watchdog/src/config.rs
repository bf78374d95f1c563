//! The limits of the watchdog.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Every limit that the watchdog keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many notices are under way at once: a mass breach is drained in slices of this size. Larger ones are not
    /// drained sooner, and a call that comes in waits longer behind them.
    pub notices_in_flight_max: usize,
    /// How many tickets get their due instants looked at again between two slices of notices.
    pub moves_in_flight_max: usize,
    /// How many commits are taken from the log at a time.
    pub batch_commits_max: usize,
    /// How long a ticket has to be quiet before a limit is urged that was broken before its clock was recorded (a
    /// late entry, an import), in milliseconds.
    pub settle_ms: u64,
    /// The pause after the log was away, in milliseconds.
    pub retry_delay_ms: u64,
    /// How often it is looked whether the log is still the same one, in milliseconds. Until then limits of the former one
    /// may be watched; more often costs the log a few questions each time.
    pub log_looked_at_every_ms: u64,
    /// How often a folder that another process has, or that cannot be used, is tried again before the watchdog goes on
    /// in memory. Too few, and a restart finds the former process still closing; too many, and nobody is urged meanwhile.
    pub open_retries_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            notices_in_flight_max: 24,
            moves_in_flight_max: 256,
            batch_commits_max: 1024,
            settle_ms: 5_000,
            retry_delay_ms: 500,
            log_looked_at_every_ms: 3_000,
            open_retries_max: 4,
        }
    }
}

impl Config {
    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    pub(crate) fn retry_delay(&self) -> Duration {
        Duration::from_millis(self.retry_delay_ms)
    }
}
