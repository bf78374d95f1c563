//! Which log it is, and where in it somebody stands: what tells a log from another in its place.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Position;

/// A log's id: the SHA-256 of the first message that it ever stored. Printed in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(pub [u8; 32]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of which log it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIdentity {
    /// Its id; `None` while nothing is stored.
    pub id: Option<LogId>,
    /// When its place was made, where the log's technology keeps that. Another instant is another log.
    pub made_at: Option<DateTime<Utc>>,
}

impl LogIdentity {
    /// Why `found` cannot be this log at a later time; `None` if it can. An empty log can have become any that has been
    /// kept in the same place since; what one of the two does not know tells nothing.
    pub fn exchanged_for(&self, found: &Self) -> Option<String> {
        if let (Some(ours), Some(theirs)) = (self.made_at, found.made_at)
            && ours != theirs
        {
            return Some(format!("it was made at {theirs}, the one before at {ours}"));
        }
        match (self.id, found.id) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Some(format!("its id is {theirs}, that of the one before {ours}"))
            }
            (Some(ours), None) => Some(format!("it is empty, and was {ours}")),
            _ => None,
        }
    }

    /// Both pieces of knowledge together; `later` counts where they differ.
    pub(crate) fn and(self, later: Self) -> Self {
        Self { id: later.id.or(self.id), made_at: later.made_at.or(self.made_at) }
    }
}

/// Where a follower stands: on which log, how far, and on what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The log; unknown in a cursor that an older build kept.
    pub log: LogIdentity,
    /// Everything up to here has been taken.
    pub position: Position,
    /// SHA-256 of the message that is stored there; unknown at the start and in a cursor that an older build kept.
    pub sha256: Option<[u8; 32]>,
}

impl Cursor {
    /// Before the first commit of any log.
    pub const START: Self =
        Self { log: LogIdentity { id: None, made_at: None }, position: Position::START, sha256: None };

    /// A position alone, as an older build kept it: it is taken for one of whatever log reaches it.
    pub fn at(position: Position) -> Self {
        Self { position, ..Self::START }
    }
}
