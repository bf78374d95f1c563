//! Load, fold, decide, append: the one road by which anything is recorded.
//!
//! In comes a command with its [`CommandMeta`] (who, since when, under which id); out goes where it was recorded,
//! or why it was not. The gateway, the watchdog and the notifier all come this way.
//!
//! - [`CommandHandler`] keeps one aggregate's streams: a cache of folded states, one append in flight per stream,
//!   retry on conflict, dedupe by command id at any age.
//! - [`Handlers`] holds one of them per aggregate, and the few commands that touch two streams.
//! - [`Directory`] is company and branches folded in memory: the context of every decision.
//! - [`Numbers`] hands out ticket numbers from reserved blocks.
//! - [`UnreadableCommit`] stops its own stream and no other; [`StepOver`] is an operator's way past it.
//! - [`Clock`] is the only door to the time of day, with a manual and a scaled twin; [`ClockGuard`] decides by the log's own
//!   time where the two differ.
//!
//! This room knows no HTTP, no read model and no rule of the trade.

mod cache;
mod clock;
mod clock_guard;
mod config;
mod directory;
mod error;
mod handler;
mod handlers;
mod ids;
mod loaded;
mod meta;
mod notices_first;
mod numbers;
mod unreadable;

pub use clock::{Clock, ManualClock, ScaledClock, SystemClock, Ticks};
pub use clock_guard::{Apart, ClockGuard, ClockStanding};
pub use config::Config;
pub use directory::Directory;
pub use error::HandleError;
pub use handler::{CommandHandler, Handled, Outcome};
pub use handlers::{Handlers, SteppedOver};
pub use ids::{IdSource, RandomIds, SeededIds};
pub use meta::CommandMeta;
pub use numbers::Numbers;
pub use unreadable::{StepOver, UnreadableCommit};
