//! The record of deliveries, kept in one local SQLite file.
//!
//! In comes a path and a clock, out comes a [`SqliteDeliveries`] that keeps the port's promises for one process: the file
//! is locked for as long as it is open. One thread owns the connection; what is put while it syncs goes into its next
//! transaction. A file that SQLite cannot read is put aside as `….damaged-n`, said, and begun anew: what was in it
//! counts as settled.
//!
//! It never touches the log's file.

mod file;
mod store;
mod worker;

pub use file::OpenError;
pub use store::{Config, SqliteDeliveries};
