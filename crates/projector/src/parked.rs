//! Commits that were set aside, kept whole so that they can be tried again.

use bytes::Bytes;
use cuiban_event_log::{Foreign, Position, RecordedCommit, Route, StreamId, StreamVersion, Token};
use serde::{Deserialize, Serialize};

use crate::projection::{Incoming, Row};
use crate::{Key, forms};

/// A commit that was set aside because it, or an earlier one of its stream, could not be folded; or a message that is
/// none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedEntry {
    /// Its position.
    pub position: Position,
    /// The commit's stream; `None` for a message that is none of ours.
    pub stream: Option<StreamId>,
    /// The stream, or where else the message was put: whatever somebody wrote, with what is odd in it escaped.
    pub address: String,
    /// What is wrong.
    pub reason: String,
}

/// What became of parked commits that were tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// How many are folded now.
    pub folded: usize,
    /// How many are still set aside.
    pub left: usize,
}

/// A parked commit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParkedCommit {
    position: u64,
    stream_kind: Token,
    stream_id: Token,
    version: u64,
    branch: Token,
    class: Token,
    #[serde(with = "forms::block")]
    payload: Vec<u8>,
    pub(crate) reason: String,
}

impl Row for ParkedCommit {
    const TABLE: u8 = 1;
    const FORMAT: u8 = 1;
}

impl ParkedCommit {
    pub(crate) fn new(recorded: &RecordedCommit, reason: String) -> Self {
        let RecordedCommit { position, stream, version, route, payload } = recorded.clone();
        Self {
            position: position.raw(),
            stream_kind: stream.kind,
            stream_id: stream.id,
            version: version.raw(),
            branch: route.branch,
            class: route.class,
            payload: payload.to_vec(),
            reason,
        }
    }

    pub(crate) fn stream(&self) -> StreamId {
        StreamId { kind: self.stream_kind.clone(), id: self.stream_id.clone() }
    }

    /// Its key as it is stored.
    pub(crate) fn key(&self) -> Vec<u8> {
        Key::new().number(self.position).within(Self::TABLE)
    }

    pub(crate) fn position(&self) -> Position {
        Position::from_raw(self.position)
    }

    /// The commit as it came in.
    pub(crate) fn incoming(&self) -> Incoming {
        Incoming::decode(RecordedCommit {
            position: self.position(),
            stream: self.stream(),
            version: StreamVersion::from_raw(self.version),
            route: Route { branch: self.branch.clone(), class: self.class.clone() },
            payload: Bytes::from(self.payload.clone()),
        })
    }
}

impl From<ParkedCommit> for ParkedEntry {
    fn from(parked: ParkedCommit) -> Self {
        let (position, stream) = (parked.position(), parked.stream());
        Self { position, address: stream.to_string(), stream: Some(stream), reason: parked.reason }
    }
}

/// A message in the log that is none of ours: there is nothing to fold, and nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParkedForeign {
    position: u64,
    address: String,
    size_bytes: u64,
    sha256: [u8; 32],
}

impl Row for ParkedForeign {
    const TABLE: u8 = 2;
    const FORMAT: u8 = 1;
}

impl ParkedForeign {
    pub(crate) fn new(foreign: &Foreign) -> Self {
        Self {
            position: foreign.position.raw(),
            address: foreign.address.escape_debug().to_string(),
            size_bytes: foreign.payload.len() as u64,
            sha256: cuiban_event_schema::hash(&foreign.payload),
        }
    }

    /// Its key as it is stored.
    pub(crate) fn key(&self) -> Vec<u8> {
        Key::new().number(self.position).within(Self::TABLE)
    }
}

impl From<ParkedForeign> for ParkedEntry {
    fn from(foreign: ParkedForeign) -> Self {
        let ParkedForeign { position, address, size_bytes, .. } = foreign;
        let reason = format!("a message of {size_bytes} bytes that is none of ours");
        Self { position: Position::from_raw(position), stream: None, address, reason }
    }
}
