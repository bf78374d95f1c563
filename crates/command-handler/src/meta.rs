//! What is said of a command besides the command itself.

use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, CommandId, CorrelationId};
use uuid::Uuid;

/// Who asks, when it happened, and under which id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandMeta {
    /// The command's identity: obeyed once, however often it is sent.
    pub command_id: CommandId,
    /// Who asks.
    pub actor: Actor,
    /// The piece of business that it belongs to.
    pub correlation_id: CorrelationId,
    /// The commit that led to it, if one did.
    pub causation_id: Option<CommandId>,
    /// When the thing happened (R2); the time of the decision, if `None`.
    pub occurred_at: Option<Instant>,
    /// Hash of the request under an idempotency key; 0 if there is none to compare.
    pub request_fingerprint: u64,
    /// The revision that the stream must have, if the caller insists.
    pub expected_revision: Option<u64>,
}

impl CommandMeta {
    /// The meta of a command that stands for itself.
    pub fn new(command_id: CommandId, actor: Actor) -> Self {
        Self {
            command_id,
            actor,
            correlation_id: CorrelationId(command_id.0),
            causation_id: None,
            occurred_at: None,
            request_fingerprint: 0,
            expected_revision: None,
        }
    }

    /// The meta of a command that follows from this one; its id is derived, so that a retry sends the same.
    pub fn following(&self, purpose: &str) -> Self {
        Self {
            command_id: CommandId(Uuid::new_v5(&self.command_id.0, purpose.as_bytes())),
            actor: self.actor.clone(),
            correlation_id: self.correlation_id,
            causation_id: Some(self.command_id),
            occurred_at: self.occurred_at,
            request_fingerprint: 0,
            expected_revision: None,
        }
    }
}
