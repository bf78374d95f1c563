//! One stream as the handler knows it: the folded state, and what the next commit must refer to.

use std::collections::HashMap;

use cuiban_domain::ids::CommandId;
use cuiban_domain::{Aggregate, Instant};
use cuiban_event_log::{Expected, Position, Stored, StreamId, StreamVersion};
use cuiban_event_schema::{Commit, CommitHash};

use crate::unreadable::{Pending, UnreadableCommit};

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
    /// How many commits are stored, unreadable ones included.
    pub(crate) revision: u64,
    pub(crate) last_hash: Option<CommitHash>,
    /// When the last commit was recorded.
    pub(crate) recorded_at: Option<Instant>,
    commands: HashMap<CommandId, Recorded>,
    /// The first commit that this build cannot read, and the stored ones behind it. The state is as it was before.
    pending: Option<Box<Pending>>,
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
            pending: None,
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

    /// The commit at which folding stands, if this build cannot read one.
    pub(crate) fn unreadable(&self) -> Option<&UnreadableCommit> {
        self.pending.as_ref().map(|pending| &pending.first)
    }

    /// Whether what is stored next follows on what was folded: if not, that was of another log, or of one that was cut.
    pub(crate) fn is_followed_by(&self, next: &Stored) -> bool {
        match crate::unreadable::decode(next) {
            Ok(commit) => self.last_hash.is_none() || commit.envelope.previous_hash == self.last_hash,
            Err(_) => true,
        }
    }

    /// Folds what was read next. What cannot be decoded stops the folding until it is stepped over.
    pub(crate) fn fold(&mut self, stream: &StreamId, stored: Stored) {
        let decoded = crate::unreadable::decode(&stored);
        self.store(&stored, decoded.as_ref().ok());
        match (self.pending.take(), decoded) {
            (None, Ok(commit)) => drop(self.evolve(commit)),
            (None, Err(error)) => self.pending = Some(Box::new(Pending::new(stream, stored, error))),
            (Some(pending), decoded) => {
                let (readable, still_pending) = pending.push(stored, decoded);
                for commit in readable {
                    self.evolve(commit);
                }
                self.pending = still_pending.map(Box::new);
            }
        }
    }

    /// Folds a commit that was just stored; gives its events back.
    pub(crate) fn apply(&mut self, commit: Commit, stored: &Stored) -> Vec<A::Event> {
        self.store(stored, Some(&commit));
        self.evolve(commit)
    }

    /// Counts what is stored, whatever it says.
    fn store(&mut self, stored: &Stored, commit: Option<&Commit>) {
        self.version = Some(stored.version());
        self.position = stored.position();
        self.revision += 1;
        self.last_hash = Some(stored.sha256());
        if let Some(Commit { envelope, .. }) = commit {
            let recorded = Recorded {
                position: self.position,
                revision: self.revision,
                request_fingerprint: envelope.request_fingerprint,
            };
            self.commands.insert(envelope.commit_id, recorded);
        }
    }

    fn evolve(&mut self, commit: Commit) -> Vec<A::Event> {
        let Commit { envelope, events } = commit;
        let events: Vec<A::Event> = events.into_iter().filter_map(|event| event.try_into().ok()).collect();
        for event in &events {
            self.state.evolve(event, envelope.happened);
        }
        self.recorded_at = self.recorded_at.max(Some(envelope.happened.recorded_at));
        events
    }
}
