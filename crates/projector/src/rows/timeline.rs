//! A ticket's history, commit by commit.

use cuiban_domain::Instant;
use cuiban_domain::ids::CommandId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;

/// One commit of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// Which revision of the ticket it made.
    pub revision: u64,
    /// Its place in the log.
    pub position: u64,
    /// The commit's id, equal to its command's.
    pub commit_id: CommandId,
    /// Who did it.
    pub actor: String,
    /// When it happened (R2).
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Instant,
    /// When the system recorded it (R2).
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Instant,
    /// 补录: recorded later than it happened (R2).
    pub late_entry: bool,
    /// What happened, in order.
    pub events: Vec<TimelineEvent>,
}

/// One event of a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEvent {
    /// Its name as in `proto/`, `technician_arrived`.
    pub name: String,
    /// Its fields, by the names of `proto/`.
    pub fields: serde_json::Value,
}
