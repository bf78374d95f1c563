//! The limits of command handling.

use serde::{Deserialize, Serialize};

/// Every limit that a command handler keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many folded streams are kept per aggregate.
    pub cached_streams_max: usize,
    /// How often a command is decided again after a conflict or an unknown outcome.
    pub retries_max: u32,
    /// The first pause before a retry after an unknown outcome, in milliseconds; doubled each time.
    pub retry_delay_ms: u64,
    /// How far the clock may differ from the log's own time before it is suspect, in milliseconds. Ahead by less it is
    /// believed; a notice can be early by so much. `None` where the two are not the same time: a scaled clock.
    pub clock_ahead_max_ms: Option<u64>,
    /// How long an answer about the log's own time is good for, in milliseconds.
    pub log_time_fresh_ms: u64,
    /// The pause before company and branches are followed again after the log failed, in milliseconds.
    pub directory_retry_delay_ms: u64,
    /// How often it is looked whether the log is still the same one, in milliseconds. Until then decisions rest on what
    /// the former one said; more often costs the log a few questions each time.
    pub log_looked_at_every_ms: u64,
    /// How long a command may take altogether, in milliseconds. Then its caller is told that the outcome is unknown and
    /// can send it again: a broker that says nothing is not waited for attempt by attempt.
    pub answer_ms_max: u64,
    /// How many ticket numbers a process reserves at a time, when few are wanted.
    pub number_block: u64,
    /// How many it reserves at a time at most, when blocks are used up within a second.
    pub number_block_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cached_streams_max: 20_000,
            retries_max: 8,
            retry_delay_ms: 20,
            clock_ahead_max_ms: Some(1_000),
            log_time_fresh_ms: 2_000,
            directory_retry_delay_ms: 500,
            log_looked_at_every_ms: 3_000,
            answer_ms_max: 10_000,
            number_block: 50,
            number_block_max: 4_096,
        }
    }
}
