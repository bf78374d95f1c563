//! What goes wrong with a store, and what it means.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::codec::CodecError;
use cuiban_vitals::in_one_line;

/// What went wrong with the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another handle of this one, has the store open. This is not damage.
    #[error("open the store {}: in use by another process", dir.display())]
    InUse {
        /// Which directory.
        dir: PathBuf,
    },
    /// The store is not what we wrote. It is put aside and built anew from the log.
    #[error("the store is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The rows come from another log than the one that is there now. They are put aside, and built anew from that.
    #[error("the store is of another log: {detail}")]
    OfAnotherLog {
        /// What showed it.
        detail: String,
    },
    /// The disk refuses: full, read-only, away. What is stored may be sound.
    #[error("{attempted}: the disk refuses")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The rows were lost since the cursor was asked for: ask for it again and feed from there.
    #[error("the rows were lost since the cursor was asked for")]
    Replaced,
    /// A row that cannot be written: a defect of the fold, not of the store.
    #[error("write a row")]
    Unwritable(#[source] Arc<CodecError>),
}

impl StoreError {
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged { detail: detail.into() }
    }

    pub(crate) fn io(attempted: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unavailable { attempted, source: Arc::new(source) }
    }

    /// A row that cannot be read is damage; one that cannot be written is not.
    pub(crate) fn codec(error: CodecError) -> Self {
        match error {
            CodecError::Encode(_) => Self::Unwritable(Arc::new(error)),
            _ => Self::damaged(in_one_line(&error)),
        }
    }

    /// What sled says, sorted into damage and a disk that refuses.
    pub(crate) fn sled(attempted: &'static str, error: sled::Error) -> Self {
        use io::ErrorKind as Kind;
        match error {
            sled::Error::Io(source) if is_refusal(source.kind()) => Self::io(attempted)(source),
            sled::Error::Io(source) if source.kind() == Kind::Interrupted => Self::io(attempted)(source),
            // Our own lock keeps others out: this is a database of ours that is still being closed.
            sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
                Self::io(attempted)(source)
            }
            error => Self::damaged(format!("{attempted}: {error}")),
        }
    }
}

/// The refusals of a disk that say nothing about what is stored on it.
fn is_refusal(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        kind,
        Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::FileTooLarge
            | Kind::ReadOnlyFilesystem
            | Kind::PermissionDenied
            | Kind::OutOfMemory
            | Kind::TimedOut
            | Kind::StaleNetworkFileHandle
    )
}
