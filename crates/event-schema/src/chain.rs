//! The chain of hashes: each commit names its stream's previous one, so a changed past shows.

use std::collections::HashMap;

use prost::Message as _;

use crate::proto::CommitRecord;
use crate::{CommitHash, hash};

/// What is wrong with a commit's place in its stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// The bytes are no commit.
    #[error("not a commit: {0}")]
    Malformed(String),
    /// The commit says that it belongs to another stream.
    #[error("stored in {stored}, but says that it belongs to {said}")]
    WrongStream {
        /// Where it was found.
        stored: String,
        /// What it says.
        said: String,
    },
    /// A commit is missing, doubled or out of order.
    #[error("revision {found} where {expected} should be")]
    WrongRevision {
        /// What should come next.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The previous commit was changed, or this one was.
    #[error("names another previous commit than the one before it")]
    WrongPreviousHash,
}

/// Checks commits in the order of the log, stream by stream.
#[derive(Debug, Default)]
pub struct Chain {
    streams: HashMap<(String, String), (u64, CommitHash)>,
}

impl Chain {
    /// Checks the next commit of a stream. After a fault the stream goes on from the commit that was found.
    pub fn check(&mut self, stream_kind: &str, stream_id: &str, bytes: &[u8]) -> Result<(), ChainFault> {
        let record = CommitRecord::decode(bytes).map_err(|error| ChainFault::Malformed(error.to_string()))?;
        let last = self
            .streams
            .insert((stream_kind.to_owned(), stream_id.to_owned()), (record.revision, hash(bytes)));
        if (record.stream_kind.as_str(), record.stream_id.as_str()) != (stream_kind, stream_id) {
            return Err(ChainFault::WrongStream {
                stored: format!("{stream_kind}/{stream_id}"),
                said: format!("{}/{}", record.stream_kind, record.stream_id),
            });
        }
        let (revision, previous) = last.map_or((0, None), |(revision, hash)| (revision, Some(hash)));
        if record.revision != revision.saturating_add(1) {
            return Err(ChainFault::WrongRevision {
                expected: revision.saturating_add(1),
                found: record.revision,
            });
        }
        match previous {
            Some(previous) if record.previous_hash == previous => Ok(()),
            None if record.previous_hash.is_empty() => Ok(()),
            _ => Err(ChainFault::WrongPreviousHash),
        }
    }

    /// How many streams were seen.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}
