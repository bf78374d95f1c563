//! Whole deliveries: from a notice in the log, through a channel, back into the log.

mod digests;
mod nats;
mod outbox;
mod quiet;
mod retries;
mod several;
mod webhooks;
mod world;
