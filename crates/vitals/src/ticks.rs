//! The other door to a clock: the runtime's monotonic one.

use tokio::time::Instant;

/// For how long something takes: no time of day, and it cannot be set. It stands where the runtime is paused.
#[expect(
    clippy::disallowed_methods,
    reason = "no time of day: ages of ticks, which a clock that is set must not change"
)]
pub fn ticks() -> Instant {
    Instant::now()
}
