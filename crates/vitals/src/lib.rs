//! What a process says of itself: which of its loops went round and when, what is wrong, and figures.
//!
//! The other rooms write into it; pages, probes, metrics and heartbeats read from it:
//!
//! ```text
//!  loops ── Pulse::turn ──┐                 ┌─► /metrics          ([`Vitals::render`])
//!  rooms ── Problem ──────┤─► Vitals ───────┼─► /readyz, pages    ([`Vitals::problems`])
//!  rooms ── Metrics ──────┘                 └─► Beat ─► Beats ─► Roll of whoever listens
//! ```
//!
//! - [`Vitals`] is the registry of one process. Clones are cheap and share it.
//! - [`Pulse`] belongs to one loop, declared with the longest that it may be silent.
//! - [`Problem`] is something that is wrong, with a stable code; it stops the role's own work, or is a warning.
//! - [`Beat`] is what an instance says every few seconds; [`Beats`] carries it, [`Roll`] keeps what was heard and
//!   knows which [`Post`] nobody attends.
//!
//! This room decides nothing, stores nothing and calls nobody but the [`Beats`] that carry its word.

mod beat;
mod heartbeat;
mod metrics;
mod problem;
mod pulse;
mod roll;
mod ticks;
mod vitals;

pub use beat::{BEAT_VERSION, Beat, BeatError, Beats, LoopBeat, UnreadableBeat};
pub use heartbeat::{BEAT_EVERY, keep_beating};
pub use metrics::{DeliveryResult, Metrics, Reading};
pub use problem::{Problem, in_one_line};
pub use pulse::{Pulse, SILENT_MAX};
pub use roll::{HEARD_MAX, Heard, LISTENING_MIN, Post, Roll, Unattended};
pub use ticks::ticks;
pub use vitals::{Role, Vitals};
