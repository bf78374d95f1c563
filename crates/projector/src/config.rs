//! The limits of the read side.

use serde::{Deserialize, Serialize};

/// Every limit that a projector keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The store's own limits.
    pub store: StoreConfig,
    /// How many commits are folded into one batch at most: as many as that are taken when the model is far behind.
    pub batch_commits_max: usize,
    /// After how many batches the log is asked how far it is, while catching up.
    pub head_every_batches: u32,
    /// The first pause before the log is tried again, in milliseconds; doubled each time.
    pub retry_delay_ms: u64,
    /// The longest pause before the log is tried again, in milliseconds.
    pub retry_delay_ms_max: u64,
    /// How often it is looked whether the log is still the same one, in milliseconds. Until then the models may mix what
    /// two logs say; more often costs the log a few questions each time.
    pub log_looked_at_every_ms: u64,
    /// The most rows of one page.
    pub page_rows_max: usize,
    /// How many rows a search looks at before it answers with what it has found.
    pub search_rows_max: usize,
    /// The most rows of a list that has no pages: a board, a register's day, a timeline.
    pub list_rows_max: usize,
    /// How many open tickets are compared with a new one when possible duplicates are looked for (R5).
    pub duplicates_max: usize,
}

/// The limits of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// How many bytes of pages sled keeps in memory.
    pub cache_bytes: u64,
    /// How often what was written is synced, in milliseconds. What a crash takes is folded again.
    pub flush_every_ms: u64,
    /// How long opening may go without a sign of life before the store counts as damaged, in milliseconds.
    pub open_wait_ms: u64,
    /// How long closing may take before it is left to itself, in milliseconds.
    pub close_wait_ms: u64,
    /// How many damaged directories are kept for a look at them; older ones are removed.
    pub damaged_kept_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreConfig::default(),
            batch_commits_max: 65_536,
            head_every_batches: 16,
            retry_delay_ms: 50,
            retry_delay_ms_max: 5_000,
            log_looked_at_every_ms: 3_000,
            page_rows_max: 200,
            search_rows_max: 20_000,
            list_rows_max: 5_000,
            duplicates_max: 20,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 256 << 20,
            flush_every_ms: 500,
            open_wait_ms: 30_000,
            close_wait_ms: 30_000,
            damaged_kept_max: 3,
        }
    }
}
