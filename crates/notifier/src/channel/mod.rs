//! A way to people or to other systems, and how it says no.
//!
//! [`NatsChannel`] publishes to a JetStream stream of its own, [`WebhookChannel`] posts signed JSON,
//! [`MemoryChannel`] keeps what it got for tests and trials.

mod memory;
mod nats;
mod webhook;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use cuiban_domain::ids::ChannelId;

use crate::message::Message;

pub use memory::MemoryChannel;
pub use nats::{ALERTS_OUT_STREAM, ALERTS_STREAM, NatsChannel, NatsConfig};
pub use webhook::{Endpoint, InvalidWebhook, Secret, WebhookChannel, WebhookConfig};

/// One way out. It pushes what it is given, once per call, and decides nothing about when or how often.
#[async_trait]
pub trait Channel: fmt::Debug + Send + Sync + 'static {
    /// The name under which deliveries are recorded: under another name it is a new channel.
    fn id(&self) -> &ChannelId;

    /// Makes what the other side needs before it can take anything, and mends what was changed; asked at the start and every
    /// so often.
    async fn make_ready(&self) -> Result<(), PushError> {
        Ok(())
    }

    /// Pushes one message; answers when the other side has taken it. A repeated message has the same id.
    async fn push(&self, message: &Message) -> Result<(), PushError>;
}

/// Why a message was not taken. It is tried again, whatever the reason. The texts are kept and shown: they name no
/// address and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The other side is away or overloaded, and has not taken it.
    #[error("{detail}")]
    Unavailable {
        /// What was seen.
        detail: String,
        /// How long the other side wants to be left alone, with everything.
        retry_after: Option<Duration>,
    },
    /// The other side does not want this message as it is: a wrong address, a wrong secret, a wrong form. Somebody may
    /// mend that.
    #[error("{detail}")]
    Refused {
        /// What was seen.
        detail: String,
    },
    /// It went out and nothing came back: the other side may have it.
    #[error("{detail}")]
    Unanswered {
        /// What was seen.
        detail: String,
    },
}

impl PushError {
    /// Away, without a wish for when to come back.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable { detail: detail.into(), retry_after: None }
    }

    /// Sent, and not answered.
    pub fn unanswered(detail: impl Into<String>) -> Self {
        Self::Unanswered { detail: detail.into() }
    }

    /// Whether the other side may have it all the same.
    pub(crate) fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Unanswered { .. })
    }
}
