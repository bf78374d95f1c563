//! Measured time. Tests time processes from outside; no decision hangs on it.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "what is measured is real time between real processes")]
pub fn now() -> Instant {
    Instant::now()
}

/// The middle and the largest of some times; `None` for none.
pub fn median_and_max(mut times: Vec<Duration>) -> Option<(Duration, Duration)> {
    times.sort_unstable();
    Some((*times.get(times.len() / 2)?, *times.last()?))
}
