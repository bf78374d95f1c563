//! One stream as the handler knows it: the folded state, and what the next commit must refer to.

use std::collections::HashMap;

use cuiban_domain::ids::CommandId;
use cuiban_domain::{Aggregate, Instant};
use cuiban_event_log::{Expected, Position, RecordedCommit, StreamVersion};
use cuiban_event_schema::{Commit, CommitHash, DecodeError};

/// Where a command of this stream was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) position: Position,
    pub(crate) revision: u64,
    pub(crate) request_fingerprint: u64,
}

/// A folded stream.
pub(crate) struct Loaded<A> {
    pub(crate) state: A,
    pub(crate) version: Option<StreamVersion>,
    pub(crate) position: Position,
    pub(crate) revision: u64,
    pub(crate) last_hash: Option<CommitHash>,
    /// When the last commit was recorded.
    pub(crate) recorded_at: Option<Instant>,
    commands: HashMap<CommandId, Recorded>,
}

impl<A: Default> Default for Loaded<A> {
    fn default() -> Self {
        Self {
            state: A::default(),
            version: None,
            position: Position::START,
            revision: 0,
            last_hash: None,
            recorded_at: None,
            commands: HashMap::new(),
        }
    }
}

impl<A: Aggregate> Loaded<A> {
    /// What the next append expects.
    pub(crate) fn expected(&self) -> Expected {
        self.version.map_or(Expected::NoStream, Expected::At)
    }

    /// Where a command was recorded, however long ago.
    pub(crate) fn recorded(&self, command: CommandId) -> Option<Recorded> {
        self.commands.get(&command).copied()
    }

    /// Folds a commit that was read.
    pub(crate) fn fold(&mut self, recorded: &RecordedCommit) -> Result<(), DecodeError> {
        let commit = cuiban_event_schema::decode(&recorded.payload)?;
        self.apply(commit, recorded.position, recorded.version, cuiban_event_schema::hash(&recorded.payload));
        Ok(())
    }

    /// Folds a commit that was just stored or read; gives its events back.
    pub(crate) fn apply(
        &mut self,
        commit: Commit,
        position: Position,
        version: StreamVersion,
        hash: CommitHash,
    ) -> Vec<A::Event> {
        let Commit { envelope, events } = commit;
        let events: Vec<A::Event> = events.into_iter().filter_map(|event| event.try_into().ok()).collect();
        for event in &events {
            self.state.evolve(event, envelope.happened);
        }
        self.version = Some(version);
        self.position = position;
        self.revision = envelope.revision;
        self.last_hash = Some(hash);
        self.recorded_at = self.recorded_at.max(Some(envelope.happened.recorded_at));
        let request_fingerprint = envelope.request_fingerprint;
        let recorded = Recorded { position, revision: envelope.revision, request_fingerprint };
        self.commands.insert(envelope.commit_id, recorded);
        events
    }
}
