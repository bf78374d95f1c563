//! Why the watchdog could not start or go on.

use cuiban_event_log::LogError;
use cuiban_projector::StoreError;

/// The watchdog could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The log cannot be followed.
    #[error("follow the log")]
    Log(#[from] LogError),
    /// The watchdog's own read models cannot be kept.
    #[error("keep the watchdog's read models")]
    Store(#[from] StoreError),
    /// Keeping them ended in the middle.
    #[error("a task of the watchdog did not end well")]
    Task(#[from] tokio::task::JoinError),
    /// A loop panicked; what it said is on stderr.
    #[error("a loop of the watchdog panicked")]
    Panicked,
}
