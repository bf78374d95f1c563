//! For how long something takes: the runtime's monotonic clock, which stands where that is paused.

use tokio::time::Instant;

#[expect(
    clippy::disallowed_methods,
    reason = "no time of day: ages of ticks, which a clock that is set must not change"
)]
pub(crate) fn ticks() -> Instant {
    Instant::now()
}
