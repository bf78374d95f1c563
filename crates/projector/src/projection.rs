//! What a fold is: a pure function of a commit and the rows so far.

use cuiban_domain::Event;
use cuiban_event_log::{Position, RecordedCommit, StreamId};
use cuiban_event_schema::{Commit, DecodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{StoreError, View};

/// A commit as the log keeps it and what it says: decoded once, fed to many models.
#[derive(Debug)]
pub struct Incoming {
    /// As the log keeps it.
    pub recorded: RecordedCommit,
    /// What it says, if this build can read it.
    pub commit: Result<Commit, DecodeError>,
}

impl Incoming {
    /// Reads the commit.
    pub fn decode(recorded: RecordedCommit) -> Self {
        let StreamId { kind, id } = &recorded.stream;
        let commit = cuiban_event_schema::decode_stored(kind.as_str(), id.as_str(), &recorded.payload);
        Self { recorded, commit }
    }

    /// Its position and the SHA-256 of its bytes: what [`Event::steps_over`] names.
    pub fn identity(&self) -> (u64, [u8; 32]) {
        (self.recorded.position.raw(), cuiban_event_schema::hash(&self.recorded.payload))
    }

    /// The identities of the commits that it passes over.
    pub fn steps_over(&self) -> impl Iterator<Item = (u64, [u8; 32])> + '_ {
        self.commit.iter().flat_map(|commit| &commit.events).filter_map(Event::steps_over)
    }
}

/// A row of a read model.
pub trait Row: Serialize + DeserializeOwned {
    /// Its table within the projection: its own, from [`crate::FIRST_TABLE`] up.
    const TABLE: u8;
    /// The first byte of each of its values. Another layout of the fields gets another one.
    const FORMAT: u8;
}

/// A fold of the log into rows.
///
/// `project` depends on nothing but the commit and the rows that it reads through the view; it waits for nothing
/// and asks no clock, so that folding the log again gives the same bytes.
pub trait Projection: Send + Sync + 'static {
    /// Its name: one word, as in `cuiban models status`.
    const NAME: &'static str;
    /// Counted up whenever rows or fold change: then the model is built anew, beside the old one.
    const VERSION: u32;
    /// The oldest version whose rows this build still reads: one of these answers until the new one is built.
    const READABLE_SINCE: u32 = Self::VERSION;

    /// Folds one commit. An error leaves the view as it was, and the commit is parked.
    fn project(&self, commit: &Commit, position: Position, view: &mut View<'_>) -> Result<(), Unfoldable>;
}

/// Why a commit was not folded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unfoldable {
    /// The commit makes no sense to this fold: it is parked, and the stream's later ones behind it.
    #[error("{0}")]
    Commit(String),
    /// The rows could not be read: nothing is wrong with the commit.
    #[error("read the rows so far")]
    Store(#[from] StoreError),
}

impl Unfoldable {
    /// A commit that this fold cannot use, and why.
    pub fn commit(reason: impl Into<String>) -> Self {
        Self::Commit(reason.into())
    }
}
