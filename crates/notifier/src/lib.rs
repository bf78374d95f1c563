//! The alert channels: what the log recorded goes out, under one id, and what became of it is kept.
//!
//! In comes the log: expedite notices (催办单, R60), emergencies (特急, R4), and notices that count no more (R40). Out go
//! messages through [`Channel`]s, and records of deliveries (`cuiban-deliveries`, decision 3). The cast:
//!
//! - the outbox folds the log into the alerts that are young enough to be told;
//! - a loop per channel takes them up, in the order of the log, emergencies first, within [`QuietHours`];
//! - its ledger follows the record of deliveries: what is settled, what is in flight, who has leased which branch;
//! - its breaker asks a receiver that is away by one alert at a time, and wakes all when one is taken;
//! - a courier marks, pushes, records;
//! - [`NatsChannel`], [`WebhookChannel`] and [`MemoryChannel`] are the ways out.
//!
//! ```text
//!  log ─► outbox ─► channel loop ─► mark ─► push ─► record ─► ledger: settled
//!                        ▲                            │
//!                        └──────── not taken: later ──┘
//! ```
//!
//! With any number of notifiers and no faults, nothing goes out twice. A death between mark and record pushes the same
//! id again, and says that it may be a repetition.
//!
//! This room never decides what is overdue, writes nothing into the log, and sends no customer's name, phone or address
//! (R91). Live updates in the browser are the gateway's.

mod alert;
mod backlog;
mod breaker;
mod channel;
mod config;
mod courier;
mod lane;
mod leases;
mod ledger;
mod looking;
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
pub use breaker::BreakerState;
pub use channel::{
    ALERTS_OUT_STREAM, ALERTS_STREAM, Channel, Endpoint, InvalidWebhook, MemoryChannel, NatsChannel,
    NatsConfig, PushError, Secret, WebhookChannel, WebhookConfig,
};
pub use config::{Config, DeliveryConfig, InvalidConfig, Outlet};
pub use lane::{ChannelStatus, Failure};
pub use message::Message;
pub use quiet_hours::{NeverAudible, QuietHours};
pub use service::{Notifier, StartError, Status};
