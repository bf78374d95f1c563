//! Why a command was not recorded.

use cuiban_domain::Rejection;
use cuiban_event_log::{AppendError, LogError};
use cuiban_event_schema::DecodeError;

/// A command that was not recorded, or of which nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// A rule of the trade says no; nothing was recorded.
    #[error("the command is refused")]
    Rejected(#[source] Box<Rejection>),
    /// The caller insisted on another revision; nothing was recorded.
    #[error("the stream is at revision {actual}, not {expected}")]
    RevisionMismatch {
        /// What the caller wanted.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// The command id was used for another request; nothing was recorded.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Other writers were faster, time after time; nothing was recorded.
    #[error("gave up after {attempts} attempts: others write to the same stream")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The log is away; nothing was recorded.
    #[error("the log is unavailable")]
    Unavailable(#[source] cuiban_event_log::BoxError),
    /// No answer came: it may or may not be recorded. The same command id may be sent again.
    #[error("the outcome is unknown")]
    Unknown(#[source] cuiban_event_log::BoxError),
    /// More than the log takes in one commit; nothing was recorded.
    #[error("the commit is too large")]
    TooLarge(#[source] AppendError),
    /// The stream holds what this build cannot read: deciding on half a history is refused.
    #[error("the stream {stream} cannot be read")]
    Unreadable {
        /// Which stream.
        stream: String,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// An id that cannot be part of a stream's address.
    #[error("not an address")]
    Address(#[source] cuiban_event_log::InvalidToken),
}

impl From<Rejection> for HandleError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}

impl From<LogError> for HandleError {
    fn from(error: LogError) -> Self {
        Self::Unavailable(error.into())
    }
}
