//! The only door to the time of day.
//!
//! [`SystemClock`] runs with the machine, [`ScaledClock`] faster (for the demonstration), [`ManualClock`] stands
//! still until it is told to move (for tests, replays and the simulation).

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Timelike, Utc};
use cuiban_domain::Instant;
use tokio::sync::watch;

/// A source of the present instant.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now, to the microsecond. It goes back where somebody sets a machine's clock back; [`crate::ClockGuard`] never does.
    fn now(&self) -> Instant;

    /// Returns when [`Clock::now`] is `at` or later; at once if it is already.
    async fn sleep_until(&self, at: Instant);

    /// For how long something takes: no time of day, and it cannot be set.
    fn ticks(&self) -> Ticks {
        ticks()
    }
}

/// A reading of the runtime's own clock, which stands where that is paused.
pub type Ticks = tokio::time::Instant;

/// To the microsecond, as the log keeps it.
fn to_the_microsecond(at: DateTime<Utc>) -> Instant {
    at.with_nanosecond(at.nanosecond() / 1_000 * 1_000).unwrap_or(at)
}

#[expect(clippy::disallowed_methods, reason = "the one door")]
fn machine_time() -> DateTime<Utc> {
    Utc::now()
}

/// The longest that a sleeper trusts its timer before it looks at the clock again: the clock may have been set.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);

fn time_left(now: Instant, until: Instant) -> Option<Duration> {
    (until - now).to_std().ok().filter(|left| !left.is_zero())
}

#[expect(clippy::disallowed_methods, reason = "the one door")]
fn ticks() -> Ticks {
    Ticks::now()
}

/// The machine's clock, right or wrong.
#[derive(Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        to_the_microsecond(machine_time())
    }

    async fn sleep_until(&self, at: Instant) {
        while let Some(left) = time_left(self.now(), at) {
            tokio::time::sleep(left.min(LOOK_AGAIN_AFTER)).await;
        }
    }
}

/// A clock that runs `speed` times as fast as time passes, whatever the machine's is set to.
#[derive(Debug)]
pub struct ScaledClock {
    began: Ticks,
    begins_at: Instant,
    speed: u32,
}

impl ScaledClock {
    /// Shows `begins_at` now, and runs `speed` times as fast as time passes, at least as fast.
    pub fn new(begins_at: Instant, speed: u32) -> Self {
        Self { began: ticks(), begins_at, speed: speed.max(1) }
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> Instant {
        to_the_microsecond(self.begins_at + self.began.elapsed() * self.speed)
    }

    async fn sleep_until(&self, at: Instant) {
        while let Some(left) = time_left(self.now(), at) {
            let machine_left = (left / self.speed).max(Duration::from_micros(1));
            tokio::time::sleep(machine_left.min(LOOK_AGAIN_AFTER)).await;
        }
    }
}

/// A clock that moves only when told.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Instant>,
    began: (Instant, Ticks),
}

impl ManualClock {
    /// A clock that stands at `at`.
    pub fn new(at: Instant) -> Self {
        Self { now: watch::Sender::new(at), began: (at, ticks()) }
    }

    /// Moves the clock to `at`; an earlier instant leaves it where it is.
    pub fn advance_to(&self, at: Instant) {
        self.now.send_if_modified(|now| {
            let moves = at > *now;
            *now = at.max(*now);
            moves
        });
    }

    /// Moves the clock on by `step`.
    pub fn advance_by(&self, step: Duration) {
        let at = *self.now.borrow() + step;
        self.advance_to(at);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.now.borrow()
    }

    async fn sleep_until(&self, at: Instant) {
        let mut now = self.now.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = now.wait_for(|now| *now >= at).await;
    }

    /// No more passes than it was moved by.
    fn ticks(&self) -> Ticks {
        let (at, ticks) = self.began;
        ticks + (self.now() - at).to_std().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers_and_never_goes_back() {
        let clock = ManualClock::new(DateTime::UNIX_EPOCH);
        let at = DateTime::UNIX_EPOCH + Duration::from_secs(5);
        let sleeper = clock.sleep_until(at);
        tokio::pin!(sleeper);
        assert!(futures_now(&mut sleeper).is_none());
        clock.advance_by(Duration::from_secs(6));
        sleeper.await;
        clock.advance_to(DateTime::UNIX_EPOCH);
        assert!(clock.now() > at);
    }

    fn futures_now<F: std::future::Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_scaled_clock_sleeps_an_hour_in_a_second_or_less() {
        let clock = ScaledClock::new(DateTime::UNIX_EPOCH, 36_000);
        let at = clock.now() + Duration::from_secs(3600);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
    }
}
