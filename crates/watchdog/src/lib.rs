//! The deadline index and the 催办 loop: a command goes out at the instant a limit is broken.
//!
//! In comes the log; out go commands, on the same road as anybody's. The cast:
//!
//! - [`DeadlineIndex`] knows every running and paused clock and which is due first.
//! - [`Expediting`] waits for that one, issues its notice (R60), and moves due instants when calendar, policy or
//!   area change (R36).
//! - [`Succession`] passes on what a person owed who left (R6), and frees visits that are not needed any more.
//! - [`Aside`] are the tickets that cannot be read: put aside with their clocks, so that no other waits for them.
//! - [`Watchdog`] runs them in the background, each from a cursor of its own.
//!
//! This room computes no due instant, appends nothing by itself and alerts nobody. Two watchdogs are harmless.

mod aside;
mod config;
mod error;
mod expediting;
mod index;
mod saving;
mod service;
mod succession;

pub use aside::Aside;
pub use config::Config;
pub use error::WatchError;
pub use expediting::{Expediting, Issued};
pub use index::{DeadlineIndex, DueClock};
pub use service::{Status, Watchdog};
pub use succession::Succession;
