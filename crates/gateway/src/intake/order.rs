//! A request as an order to the command handlers: the command, who gives it, and under which id.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use cuiban_command_handler::CommandMeta;
use cuiban_domain::ids::{Actor, CommandId, TicketId};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::extract::json_bytes;
use crate::front::Front;
use crate::headers;
use crate::intake::parse::parse;
use crate::refusal::Refusal;

/// The namespace of all ids that derive from an idempotency key.
const KEYS: Uuid = Uuid::from_u128(0x8f0c_53c2_52a1_4b1e_9a51_3a5c_7f27_64d0);

/// A command with everything that is said of it.
#[derive(Debug)]
pub(crate) struct Order<C> {
    pub(crate) command: C,
    pub(crate) meta: CommandMeta,
}

impl<C> Order<C> {
    /// The id of the ticket that this order registers: the same for the same idempotency key.
    pub(crate) fn new_ticket(&self, front: &Front) -> TicketId {
        if self.meta.request_fingerprint == 0 {
            TicketId(front.handlers.new_id())
        } else {
            TicketId(Uuid::new_v5(&self.meta.command_id.0, b"ticket"))
        }
    }
}

impl<C: DeserializeOwned + Send> FromRequest<Arc<Front>> for Order<C> {
    type Rejection = Refusal;

    async fn from_request(request: Request, front: &Arc<Front>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let actor = parts.extensions.get::<Actor>().cloned().ok_or(Refusal::Unauthenticated)?;
        let expected_revision = headers::expected_revision(&parts.headers)?;
        let key = headers::idempotency_key(&parts.headers)?.map(str::to_owned);
        let bytes = json_bytes(&parts.headers, body, front.config.body_bytes_max).await?;
        let parsed = parse::<C>(&bytes)?;
        let path = parts.uri.path();
        let meta = match key {
            Some(key) => CommandMeta {
                request_fingerprint: fingerprint(path, &bytes),
                ..CommandMeta::new(command_id(path, &key), actor)
            },
            None => CommandMeta::new(CommandId(front.handlers.new_id()), actor),
        };
        let meta = CommandMeta { occurred_at: parsed.occurred_at, expected_revision, ..meta };
        Ok(Self { command: parsed.command, meta })
    }
}

/// The same path and key give the same id, whichever process is asked.
fn command_id(path: &str, key: &str) -> CommandId {
    CommandId(Uuid::new_v5(&KEYS, format!("{path}\n{key}").as_bytes()))
}

/// By which a key that is used for another request is found out; never 0, which says that there was no key.
fn fingerprint(path: &str, body: &[u8]) -> u64 {
    let digest = Sha256::new().chain_update(path).chain_update("\n").chain_update(body).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first).max(1)
}
