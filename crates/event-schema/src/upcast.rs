//! What older writers wrote, in today's words: the one place that knows former versions.
//!
//! A commit says which schema version its writer knew. Each step below brings a commit of one version to the
//! next, on the wire types, before the table turns it into the domain's events.

use crate::commit::SCHEMA_VERSION;
use crate::proto::CommitRecord;

/// From the version of its place in this list, plus one, to the next.
const STEPS: &[fn(CommitRecord) -> CommitRecord] = &[without_episodes];

const _: () = assert!(STEPS.len() + 1 == SCHEMA_VERSION as usize, "each version but the last has a step");

/// A notice that names no episode is of episode 0, as the wire has it.
fn without_episodes(commit: CommitRecord) -> CommitRecord {
    commit
}

/// The commit as a writer of today would have written it.
pub(crate) fn upcast(commit: CommitRecord) -> CommitRecord {
    let first = usize::try_from(commit.schema_version.saturating_sub(1)).unwrap_or(usize::MAX);
    STEPS.iter().skip(first).fold(commit, |commit, step| step(commit))
}
