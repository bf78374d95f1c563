//! The clock of one machine: the true time, off by what somebody set it to and by how it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DurationRound, TimeDelta};
use cuiban_command_handler::Clock;
use cuiban_domain::Instant;
use tokio::sync::Notify;

use super::scene::Scene;

/// Set back while its process runs, it goes back, as [`cuiban_command_handler::SystemClock`] does.
#[derive(Debug)]
pub(crate) struct MachineClock {
    scene: Arc<Scene>,
    state: Mutex<State>,
    set: Notify,
}

#[derive(Debug)]
struct State {
    off_by: TimeDelta,
    drift_ppm: i32,
    /// Since when it runs like that, in true time.
    since: Instant,
}

impl MachineClock {
    pub(crate) fn right(scene: Arc<Scene>) -> Self {
        let now = scene.now();
        let state = State { off_by: TimeDelta::zero(), drift_ppm: 0, since: now };
        Self { scene, state: Mutex::new(state), set: Notify::new() }
    }

    /// Somebody sets it, so that it is off by this much, and runs fast or slow from then on.
    pub(crate) fn set_off_by(&self, off_by: TimeDelta, drift_ppm: i32) {
        let since = self.scene.now();
        let mut state = self.state();
        (state.off_by, state.drift_ppm, state.since) = (off_by, drift_ppm, since);
        drop(state);
        self.set.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much such a clock runs ahead in this time.
fn drifted(drift_ppm: i32, elapsed: TimeDelta) -> TimeDelta {
    let elapsed_us = elapsed.num_microseconds().unwrap_or(i64::MAX);
    TimeDelta::microseconds(elapsed_us.saturating_mul(drift_ppm.into()) / 1_000_000)
}

fn shown(state: &State, now: Instant) -> Instant {
    now + state.off_by + drifted(state.drift_ppm, now - state.since)
}

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> Instant {
        let shown = shown(&self.state(), self.scene.now());
        shown.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(shown)
    }

    async fn sleep_until(&self, at: Instant) {
        loop {
            let set = self.set.notified();
            let Some(left) = (at - self.now()).to_std().ok().filter(|left| !left.is_zero()) else { return };
            // The runtime's timers know milliseconds.
            let left = left.max(Duration::from_millis(1));
            tokio::select! {
                biased;
                () = set => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}
