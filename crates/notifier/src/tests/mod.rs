//! Whole deliveries: from a notice in the log, through a channel, into the record.

mod digests;
mod nats;
mod outbox;
mod quiet;
mod retries;
mod several;
mod webhooks;
mod withdrawals;
mod world;
