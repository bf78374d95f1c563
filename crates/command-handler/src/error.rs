//! Why a command was not recorded.

use cuiban_domain::Rejection;
use cuiban_event_log::{AppendError, LogError};
use cuiban_event_schema::{DecodeError, EncodeError};

use crate::UnreadableCommit;

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
    /// Nobody has confirmed the clock: without it there is no time to decide by; nothing was recorded.
    #[error("the clock is to be confirmed")]
    ClockToBeConfirmed(#[source] LogError),
    /// No answer came: it may or may not be recorded. The same command id may be sent again.
    #[error("the outcome is unknown")]
    Unknown(#[source] cuiban_event_log::BoxError),
    /// More than the log takes in one commit; nothing was recorded.
    #[error("the commit is too large")]
    TooLarge(#[source] AppendError),
    /// The stream holds a commit that this build cannot read: deciding on half a history is refused. Nothing was
    /// recorded, and nothing will be until an operator steps over the commit or a build that reads it is started.
    #[error("the commit at position {} of {} cannot be read", .0.position, .0.stream)]
    Unreadable(Box<UnreadableCommit>),
    /// What was decided is no commit that may be written: ours to mend.
    #[error("the commit cannot be written")]
    NotWritten(#[source] EncodeError),
    /// Our own commit could not be read back, so it was not stored.
    #[error("the commit could not be read back")]
    NotReadBack(#[source] DecodeError),
    /// The stream can be read to its end.
    #[error("nothing to step over: this build reads the stream to its end")]
    NothingToStepOver,
    /// The commit at which folding stands is another one than the caller looked at.
    #[error("folding stands at position {position} ({sha256}), not at what was named")]
    StepsOverAnother {
        /// Where folding stands.
        position: cuiban_event_log::Position,
        /// The commit's hash, hex.
        sha256: String,
    },
    /// The commit is of a newer build: starting that build reads it, stepping over loses what it says.
    #[error("the commit is of schema version {found}, which a newer build reads: start that one, or insist")]
    StepsOverNewer {
        /// The commit's version.
        found: u32,
    },
    /// A step over a commit of a numbering stream that does not say where numbers go on.
    #[error("say which number is the next: above every number known")]
    NextNumberMissing,
    /// An id that cannot be part of a stream's address.
    #[error("not an address")]
    Address(#[source] cuiban_event_log::InvalidToken),
}

impl HandleError {
    /// Its one word, for figures.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::RevisionMismatch { .. } => "revision_mismatch",
            Self::KeyReused => "key_reused",
            Self::Contended { .. } => "contended",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "unknown",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
            Self::ClockToBeConfirmed(_) => "clock_to_be_confirmed",
            Self::NotWritten(_) | Self::NotReadBack(_) => "not_written",
            Self::NothingToStepOver
            | Self::StepsOverAnother { .. }
            | Self::StepsOverNewer { .. }
            | Self::NextNumberMissing => "not_stepped_over",
            Self::Address(_) => "address",
        }
    }
}

impl From<Rejection> for HandleError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(Box::new(rejection))
    }
}

impl From<LogError> for HandleError {
    fn from(error: LogError) -> Self {
        match error {
            error @ LogError::ClockToBeConfirmed { .. } => Self::ClockToBeConfirmed(error),
            error @ (LogError::Unavailable { .. } | LogError::Damaged { .. } | LogError::Replaced { .. }) => {
                Self::Unavailable(error.into())
            }
        }
    }
}

impl From<AppendError> for HandleError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict { .. } => Self::Contended { attempts: 1 },
            AppendError::Unknown { source, .. } => Self::Unknown(source),
            AppendError::Unavailable { source, .. } => Self::Unavailable(source),
            error @ AppendError::TooLarge { .. } => Self::TooLarge(error),
        }
    }
}
