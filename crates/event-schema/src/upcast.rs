//! What older writers wrote, in today's words: the one place that knows former versions.
//!
//! A commit says which schema version its writer knew. Each step below brings a commit of one version to the
//! next, on the wire types, before the table turns it into the domain's events. There is one version so far, so
//! there is no step; what a step looks like is told by its signature.

use crate::commit::SCHEMA_VERSION;
use crate::proto::CommitRecord;

/// From the version of its place in this list, plus one, to the next.
const STEPS: &[fn(CommitRecord) -> CommitRecord] = &[];

const _: () = assert!(STEPS.len() + 1 == SCHEMA_VERSION as usize, "each version but the last has a step");

/// The commit as a writer of today would have written it.
pub(crate) fn upcast(commit: CommitRecord) -> CommitRecord {
    let first = usize::try_from(commit.schema_version.saturating_sub(1)).unwrap_or(usize::MAX);
    STEPS.iter().skip(first).fold(commit, |commit, step| step(commit))
}
