//! The alert channels: what the log recorded goes out, at least once, under one id, and each attempt is recorded.
//!
//! In comes the log: expedite notices (催办单, R60) and emergencies (特急, R4). Out go messages through [`Channel`]s,
//! and `AlertAttempted` on the stream `alert/<id>` for every attempt (R64). The cast:
//!
//! - the outbox folds the log into the alerts that some channel has not settled;
//! - a loop per channel takes them up, in the order of the log, emergencies first, within [`QuietHours`];
//! - a courier pushes, then records;
//! - [`NatsChannel`], [`WebhookChannel`] and [`MemoryChannel`] are the ways out.
//!
//! ```text
//!  log ─► outbox ─► channel loop ─► push ─► record ─► log ─► outbox: settled
//!                        ▲                    │
//!                        └── not taken: later ┘
//! ```
//!
//! A crash between push and record pushes the same id again. Two notifiers may double a push, never the record.
//!
//! This room never decides what is overdue, never retracts what was superseded (R40), and sends no customer's name,
//! phone or address (R91). Live updates in the browser are the gateway's.

mod alert;
mod backlog;
mod channel;
mod config;
mod courier;
mod lane;
mod message;
mod outbox;
mod quiet_hours;
mod service;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wording;

pub use alert::{Alert, Severity};
pub use channel::{
    ALERTS_STREAM, Channel, Endpoint, InvalidWebhook, MemoryChannel, NatsChannel, NatsConfig, PushError,
    Secret, WebhookChannel, WebhookConfig,
};
pub use config::{Config, DeliveryConfig, InvalidConfig, Outlet};
pub use lane::{ChannelStatus, Failure};
pub use message::Message;
pub use outbox::{GIVEN_UP_KEPT, GivenUpAlert};
pub use quiet_hours::{NeverAudible, QuietHours};
pub use service::{Notifier, StartError, Status};
