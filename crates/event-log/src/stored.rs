//! What the log keeps: our commits, and messages of others that stand among them.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Position, Route, StreamId, StreamVersion};

/// One commit as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCommit {
    /// Its place in the whole log.
    pub position: Position,
    /// The history it belongs to.
    pub stream: StreamId,
    /// The stream's version with it.
    pub version: StreamVersion,
    /// Who hears of it.
    pub route: Route,
    /// The encoded commit.
    pub payload: Bytes,
}

impl RecordedCommit {
    /// SHA-256 of the payload.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.payload)
    }
}

/// A message in the log that is none of ours: its address is no stream's and route's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Its place in the whole log.
    pub position: Position,
    /// The version of the stream for which it counts, if it counts for one.
    pub version: StreamVersion,
    /// Where it was put: its words as an address has them, `kind.id.branch.class`, one of which is no token.
    pub address: String,
    /// Whatever it is.
    pub payload: Bytes,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address is whatever somebody wrote.
        write!(f, "{:?} at position {}, {} bytes", self.address, self.position, self.payload.len())
    }
}

/// One message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// One of ours. Whether it can be decoded is another question.
    Commit(RecordedCommit),
    /// One of somebody else's.
    Foreign(Foreign),
}

impl Stored {
    /// Its place in the whole log.
    pub fn position(&self) -> Position {
        match self {
            Self::Commit(commit) => commit.position,
            Self::Foreign(foreign) => foreign.position,
        }
    }

    /// The stream's version with it.
    pub fn version(&self) -> StreamVersion {
        match self {
            Self::Commit(commit) => commit.version,
            Self::Foreign(foreign) => foreign.version,
        }
    }

    /// Its bytes.
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Commit(commit) => &commit.payload,
            Self::Foreign(foreign) => &foreign.payload,
        }
    }

    /// SHA-256 of its bytes.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(self.payload())
    }

    /// The commit, if it is one.
    pub fn into_commit(self) -> Option<RecordedCommit> {
        match self {
            Self::Commit(commit) => Some(commit),
            Self::Foreign(_) => None,
        }
    }
}

impl From<RecordedCommit> for Stored {
    fn from(commit: RecordedCommit) -> Self {
        Self::Commit(commit)
    }
}

impl From<Foreign> for Stored {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
