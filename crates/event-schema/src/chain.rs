//! The chain of hashes: each commit names its stream's previous one, so a changed past shows.

use std::collections::{HashMap, HashSet};

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

/// The part of a `CommitRecord` by which it hangs in its stream; the rest is stepped over.
#[derive(Clone, PartialEq, prost::Message)]
struct Link {
    #[prost(string, tag = "2")]
    stream_kind: String,
    #[prost(string, tag = "3")]
    stream_id: String,
    #[prost(uint64, tag = "4")]
    revision: u64,
    #[prost(bytes = "vec", tag = "11")]
    previous_hash: Vec<u8>,
}

/// Checks commits in the order of the log, stream by stream.
#[derive(Debug, Default)]
pub struct Chain {
    /// The last revision and its hash, by kind and id.
    streams: HashMap<String, HashMap<String, (u64, CommitHash)>>,
    /// The streams in which something was found that is no commit of theirs.
    broken: HashSet<(String, String)>,
    /// The hashes of what was passed over in them.
    stepped_over: HashSet<CommitHash>,
}

impl Chain {
    /// Checks the next commit of a stream, and that its bytes are a commit from end to end. After a fault the stream
    /// goes on from the commit that was found; from the bytes that were, where they are none.
    pub fn check(&mut self, stream_kind: &str, stream_id: &str, bytes: &[u8]) -> Result<(), ChainFault> {
        match CommitRecord::decode(bytes) {
            Ok(_) => self.link(stream_kind, stream_id, bytes, hash(bytes)),
            Err(error) => {
                self.pass(stream_kind, stream_id, hash(bytes));
                Err(malformed(error))
            }
        }
    }

    /// Counts something that is stored in a stream and is no commit of it: the next one names its hash.
    pub fn pass(&mut self, stream_kind: &str, stream_id: &str, hash: CommitHash) {
        let last = self.streams.get(stream_kind).and_then(|streams| streams.get(stream_id));
        let revision = last.map_or(0, |(revision, _)| *revision);
        self.put(stream_kind, stream_id, (revision.saturating_add(1), hash));
        self.broken.insert((stream_kind.to_owned(), stream_id.to_owned()));
    }

    /// Whether a later commit of the same stream passes over what has this hash
    /// ([`CommitSteppedOver`](cuiban_domain::step_over::StepOverEvent)).
    pub fn is_stepped_over(&self, hash: &CommitHash) -> bool {
        self.stepped_over.contains(hash)
    }

    /// Takes note of what a commit passes over; looked at in broken streams alone.
    fn note_steps(&mut self, stream_kind: &str, stream_id: &str, bytes: &[u8]) {
        if self.broken.is_empty() || !self.broken.contains(&(stream_kind.to_owned(), stream_id.to_owned())) {
            return;
        }
        for event in crate::decode(bytes).into_iter().flat_map(|commit| commit.events) {
            self.stepped_over.extend(event.steps_over().map(|(_, sha256)| sha256));
        }
    }

    /// The same for bytes that are known to be as they were written, by their [`hash`]: only the link is read.
    pub fn link(
        &mut self,
        stream_kind: &str,
        stream_id: &str,
        bytes: &[u8],
        hash: CommitHash,
    ) -> Result<(), ChainFault> {
        let link = match Link::decode(bytes) {
            Ok(link) => link,
            Err(error) => {
                self.pass(stream_kind, stream_id, hash);
                return Err(malformed(error));
            }
        };
        if (link.stream_kind.as_str(), link.stream_id.as_str()) != (stream_kind, stream_id) {
            self.pass(stream_kind, stream_id, hash);
            return Err(ChainFault::WrongStream {
                stored: format!("{stream_kind}/{stream_id}"),
                said: format!("{}/{}", link.stream_kind, link.stream_id),
            });
        }
        self.note_steps(stream_kind, stream_id, bytes);
        let last = self.put(stream_kind, stream_id, (link.revision, hash));
        let (revision, previous) = last.map_or((0, None), |(revision, hash)| (revision, Some(hash)));
        if link.revision != revision.saturating_add(1) {
            return Err(ChainFault::WrongRevision {
                expected: revision.saturating_add(1),
                found: link.revision,
            });
        }
        match previous {
            Some(previous) if link.previous_hash == previous => Ok(()),
            None if link.previous_hash.is_empty() => Ok(()),
            _ => Err(ChainFault::WrongPreviousHash),
        }
    }

    /// Names are copied only where they are new.
    fn put(&mut self, kind: &str, id: &str, now: (u64, CommitHash)) -> Option<(u64, CommitHash)> {
        if !self.streams.contains_key(kind) {
            self.streams.insert(kind.to_owned(), HashMap::new());
        }
        let streams = self.streams.get_mut(kind)?;
        match streams.get_mut(id) {
            Some(last) => Some(std::mem::replace(last, now)),
            None => streams.insert(id.to_owned(), now),
        }
    }

    /// How many streams were seen.
    pub fn streams(&self) -> usize {
        self.streams.values().map(HashMap::len).sum()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn malformed(error: prost::DecodeError) -> ChainFault {
    ChainFault::Malformed(error.to_string())
}

/// The revision that a commit says of itself, whatever else of it can be read.
pub fn revision(bytes: &[u8]) -> Option<u64> {
    Link::decode(bytes).ok().map(|link| link.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(revision: u64, previous: Option<CommitHash>) -> Vec<u8> {
        CommitRecord {
            stream_kind: "ticket".to_owned(),
            stream_id: "1".to_owned(),
            revision,
            schema_version: 1,
            previous_hash: previous.map(Vec::from).unwrap_or_default(),
            ..CommitRecord::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn a_stream_goes_on_from_the_bytes_that_are_no_commit() {
        let (first, garbage) = (commit(1, None), b"\xff garbage".to_vec());
        let third = commit(3, Some(hash(&garbage)));
        for foreign in [false, true] {
            let mut chain = Chain::default();
            assert_eq!(chain.check("ticket", "1", &first), Ok(()));
            if foreign {
                chain.pass("ticket", "1", hash(&garbage));
            } else {
                assert!(matches!(chain.check("ticket", "1", &garbage), Err(ChainFault::Malformed(_))));
            }
            assert_eq!(chain.check("ticket", "1", &third), Ok(()));
            assert!(!chain.is_stepped_over(&hash(&garbage)));
        }
    }
}
