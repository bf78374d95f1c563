//! Commits that this build cannot read: where folding a stream stands still, and how it goes on.
//!
//! ```text
//!  1 ── 2 ── 3 (unreadable) ── 4 ── 5 (steps over 3)
//!  folded   └── pending ──────────────────────────► 4 and 5 are folded when 5 is read
//! ```
//!
//! A newer build's commit, damage or garbage concerns its own stream and nobody else's. Commands to that stream are
//! refused; an operator looks at the commit and records [`StepOverEvent`](cuiban_domain::step_over::StepOverEvent) behind it, or a build that reads it is started.

use std::collections::BTreeSet;
use std::sync::Arc;

use cuiban_domain::Event;
use cuiban_domain::text::Line;
use cuiban_event_log::{Position, RecordedCommit, Stored, StreamId, Token};
use cuiban_event_schema::{Commit, CommitHash, DecodeError};

use crate::HandleError;

/// A stored commit that this build cannot read.
#[derive(Clone, Debug)]
pub struct UnreadableCommit {
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the log.
    pub position: Position,
    /// The branch under which it was stored; `_` for a message that has none.
    pub branch: Token,
    /// SHA-256 of its bytes.
    pub sha256: CommitHash,
    /// What is wrong with it.
    pub reason: Arc<DecodeError>,
}

impl UnreadableCommit {
    fn new(stream: &StreamId, stored: &Stored, reason: Arc<DecodeError>) -> Self {
        let branch = match stored {
            Stored::Commit(commit) => commit.route.branch.clone(),
            Stored::Foreign(_) => Token::whole_company(),
        };
        Self { stream: stream.clone(), position: stored.position(), branch, sha256: stored.sha256(), reason }
    }

    /// Whether this event passes over it.
    pub fn is_stepped_over_by(&self, event: &Event) -> bool {
        event.steps_over() == Some((self.position.raw(), self.sha256))
    }
}

/// What an operator who has looked at an unreadable commit decides.
#[derive(Clone, Debug)]
pub struct StepOver {
    /// The commit's place in the log.
    pub position: Position,
    /// SHA-256 of its bytes.
    pub sha256: CommitHash,
    /// Why it may be passed over.
    pub reason: Line,
    /// Also if a newer build would read it.
    pub even_newer: bool,
}

impl StepOver {
    pub(crate) fn check(&self, unreadable: &UnreadableCommit) -> Result<(), HandleError> {
        let UnreadableCommit { position, sha256, reason, .. } = unreadable;
        if (self.position, self.sha256) != (*position, *sha256) {
            let sha256 = hex::encode(sha256);
            return Err(HandleError::StepsOverAnother { position: *position, sha256 });
        }
        match reason.as_ref() {
            DecodeError::Newer { found } if !self.even_newer => {
                Err(HandleError::StepsOverNewer { found: *found })
            }
            _ => Ok(()),
        }
    }
}

/// What a stored message says, if it is a commit that this build reads.
pub(crate) fn decode(stored: &Stored) -> Result<Commit, DecodeError> {
    match stored {
        Stored::Commit(RecordedCommit { stream, payload, .. }) => {
            cuiban_event_schema::decode_stored(stream.kind.as_str(), stream.id.as_str(), payload)
        }
        Stored::Foreign(foreign) => Err(DecodeError::Invalid(format!("it is none of ours: {foreign}"))),
    }
}

/// An unreadable commit, and what is stored of its stream from there on.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) first: UnreadableCommit,
    stored: Vec<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    stored: Stored,
    decoded: Result<Commit, Arc<DecodeError>>,
}

impl Pending {
    pub(crate) fn new(stream: &StreamId, unreadable: Stored, reason: DecodeError) -> Self {
        let reason = Arc::new(reason);
        let first = UnreadableCommit::new(stream, &unreadable, reason.clone());
        Self { first, stored: vec![Waiting { stored: unreadable, decoded: Err(reason) }] }
    }

    /// One more stored message of the stream. Answers what can be folded now, in order, and what is still pending.
    pub(crate) fn push(
        mut self,
        stored: Stored,
        decoded: Result<Commit, DecodeError>,
    ) -> (Vec<Commit>, Option<Self>) {
        self.stored.push(Waiting { stored, decoded: decoded.map_err(Arc::new) });
        let stepped_over: BTreeSet<(u64, CommitHash)> = self.stored.iter().flat_map(stepped_over).collect();
        let mut readable = Vec::new();
        let mut waiting = self.stored.into_iter();
        while let Some(Waiting { stored, decoded }) = waiting.next() {
            match decoded {
                Ok(commit) => readable.push(commit),
                Err(reason) => {
                    let first = UnreadableCommit::new(&self.first.stream, &stored, reason.clone());
                    if !stepped_over.contains(&(first.position.raw(), first.sha256)) {
                        let mut stored = vec![Waiting { stored, decoded: Err(reason) }];
                        stored.extend(waiting);
                        return (readable, Some(Self { first, stored }));
                    }
                }
            }
        }
        (readable, None)
    }
}

fn stepped_over(waiting: &Waiting) -> impl Iterator<Item = (u64, CommitHash)> + '_ {
    waiting.decoded.iter().flat_map(|commit| &commit.events).filter_map(Event::steps_over)
}
