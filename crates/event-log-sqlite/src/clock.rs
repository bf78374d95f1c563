//! The log's own time: the machine's wall clock, checked against its monotonic one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use cuiban_event_log::TimeSource;

/// A difference between the wall clock's and the monotonic clock's pace that is a step, not drift.
const STEP_MIN: TimeDelta = TimeDelta::milliseconds(500);

/// Tells a time that never goes back.
///
/// A step of the wall clock is noticed by comparing with the monotonic clock, and logged. A step forward
/// is followed: it is what waking from sleep looks like. After a step back, and whenever the wall
/// clock shows less than what was told, the last told time is told again until the wall clock has reached it:
/// whatever was due by then has been seen as due, and holding still is the late side, which is the safe one.
pub(crate) struct LogTime {
    wall: TimeSource,
    monotonic: Box<dyn Fn() -> Duration + Send + Sync>,
    told: Mutex<Told>,
}

struct Told {
    last: DateTime<Utc>,
    wall: DateTime<Utc>,
    monotonic: Duration,
}

impl LogTime {
    /// The system's clocks.
    pub(crate) fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the log's own time is a source, not a reader, of `Clock`"
        )]
        let wall: TimeSource = Arc::new(Utc::now);
        Self::with_wall(wall)
    }

    /// A given wall clock beside the system's monotonic one.
    pub(crate) fn with_wall(wall: TimeSource) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the monotonic clock that the wall clock is checked against"
        )]
        let start = Instant::now();
        Self::new(wall, Box::new(move || start.elapsed()))
    }

    fn new(wall: TimeSource, monotonic: Box<dyn Fn() -> Duration + Send + Sync>) -> Self {
        let now = wall();
        let told = Mutex::new(Told { last: now, wall: now, monotonic: monotonic() });
        Self { wall, monotonic, told }
    }

    /// The time now; never before a time told earlier.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, monotonic) = ((self.wall)(), (self.monotonic)());
        let passed = TimeDelta::from_std(monotonic.saturating_sub(told.monotonic)).unwrap_or(TimeDelta::MAX);
        let step = (wall - told.wall) - passed;
        if step.abs() > STEP_MIN {
            tracing::warn!(step_ms = step.num_milliseconds(), "the wall clock was set, or the machine slept");
        }
        *told = Told { last: told.last.max(wall), wall, monotonic };
        told.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(readings_ms: &'static [(i64, u64)]) -> Vec<i64> {
        let reading = Arc::new(Mutex::new(0));
        let (wall_reading, monotonic_reading) = (reading.clone(), reading.clone());
        let time = LogTime::new(
            Arc::new(move || {
                DateTime::from_timestamp_millis(readings_ms[*wall_reading.lock().unwrap()].0).unwrap()
            }),
            Box::new(move || Duration::from_millis(readings_ms[*monotonic_reading.lock().unwrap()].1)),
        );
        let tell = |n| {
            *reading.lock().unwrap() = n;
            time.now().timestamp_millis()
        };
        (0..readings_ms.len()).map(tell).collect()
    }

    #[test]
    fn a_step_back_holds_the_time_until_the_wall_clock_has_caught_up() {
        let readings = &[(10_000, 0), (11_000, 1_000), (5_000, 2_000), (10_500, 7_500), (11_500, 8_500)];
        assert_eq!(told(readings), [10_000, 11_000, 11_000, 11_000, 11_500]);
    }

    #[test]
    fn a_step_forward_is_followed() {
        assert_eq!(told(&[(0, 0), (1_000, 1_000), (3_600_000, 2_000)]), [0, 1_000, 3_600_000]);
    }
}
