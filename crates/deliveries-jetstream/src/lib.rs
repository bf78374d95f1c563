//! The record of deliveries, kept in a JetStream stream of its own.
//!
//! In comes a connection, out comes a [`JetStreamDeliveries`] that keeps the port's promises for any number of
//! processes. The stream keeps one message a subject, the latest, and drops what is older than its retention:
//!
//! ```text
//!  <prefix>.deliveries.<channel>.begun
//!  <prefix>.deliveries.<channel>.lease.<branch>
//!  <prefix>.deliveries.<channel>.delivery.<message>
//! ```
//!
//! A put expects its subject's last sequence, which is the record's version. A stream that somebody removed is made
//! again; followers of the removed one end. It never touches the log's stream.

mod config;
mod follow;
mod store;

pub use config::Config;
pub use store::JetStreamDeliveries;
