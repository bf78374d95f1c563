//! How the read models stand.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// The version that this build folds.
    pub version: u32,
    /// The version that answers queries; another one while the new one is being built, none before the first is.
    pub serving_version: Option<u32>,
    /// The last position that was folded.
    pub cursor: u64,
    /// How many positions the log is ahead, as far as known.
    pub lag: u64,
    /// How many commits are set aside because they cannot be folded.
    pub parked: u64,
    /// How many messages of the log are none of ours; nothing waits for them.
    #[serde(default)]
    pub foreign: u64,
    /// How many rows there are, indexes included.
    pub rows: u64,
    /// Where damaged stores were put aside, as long as they are there.
    pub quarantined: Vec<String>,
    /// Where stores were put aside that were folded from another log, and what showed it, as long as they are there.
    #[serde(default)]
    pub of_another_log: Vec<String>,
}

/// A commit that was set aside because it, or an earlier one of its stream, cannot be folded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParkedRow {
    /// The model that set it aside.
    pub model: String,
    /// The commit's position.
    pub position: u64,
    /// The commit's stream, `ticket.<id>`.
    pub stream: String,
    /// What is wrong.
    pub reason: String,
}
