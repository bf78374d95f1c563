//! The clock of decisions: held back when it runs ahead of the log's own time, because early is worse than late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_domain::Instant;
use cuiban_event_log::{EventLog, LogError};

use crate::clock::ticks;
use crate::{Clock, Config};

/// Tells the time by which everything is decided and recorded. Shared by all handlers of a process.
#[derive(Debug)]
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    log: Arc<dyn EventLog>,
    ahead_max: Option<TimeDelta>,
    fresh_for: TimeDelta,
    /// Held while the log is asked: one asks, the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    asked_at: Option<Instant>,
    held_back_by: TimeDelta,
    latest: Option<Instant>,
}

impl ClockGuard {
    /// A guard over this clock and this log.
    pub fn new(clock: Arc<dyn Clock>, log: Arc<dyn EventLog>, config: &Config) -> Self {
        let delta =
            |millis: u64| TimeDelta::from_std(Duration::from_millis(millis)).unwrap_or(TimeDelta::MAX);
        Self {
            clock,
            log,
            ahead_max: config.clock_ahead_max_ms.map(delta),
            fresh_for: delta(config.log_time_fresh_ms.max(1)),
            asking: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The clock itself.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Now, never ahead of the log's own time by more than the bound, and never going back.
    ///
    /// While the log does not tell its time there is none: the clock may have been set since it last did, and what is
    /// decided now could be recorded the moment the log is back.
    pub async fn now(&self) -> Result<Instant, LogError> {
        let mut shown = self.clock.now();
        while let (Some(ahead_max), true) = (self.ahead_max, self.is_stale_at(shown)) {
            let _asking = self.asking.lock().await;
            if self.is_stale_at(self.clock.now()) {
                self.ask(ahead_max).await?;
            }
            // Looked at again: it may have been set meanwhile.
            shown = self.clock.now();
        }
        let mut known = self.known();
        let judged = shown - known.held_back_by;
        let judged = known.latest.map_or(judged, |latest| latest.max(judged));
        known.latest = Some(judged);
        Ok(judged)
    }

    /// When the clock will show what must be waited for, if it goes on being held back as now.
    pub fn clock_shows(&self, judged: Instant) -> Instant {
        judged + self.known().held_back_by
    }

    /// Whether the clock is held back: an alarm for people.
    pub fn clock_suspect(&self) -> bool {
        self.known().held_back_by > TimeDelta::zero()
    }

    fn is_stale_at(&self, shown: Instant) -> bool {
        let asked_at = self.known().asked_at;
        asked_at.is_none_or(|asked_at| shown - asked_at >= self.fresh_for)
    }

    async fn ask(&self, ahead_max: TimeDelta) -> Result<(), LogError> {
        let (asked_at, asking) = (self.clock.now(), ticks());
        let log_time = self.log.time().await?;
        let (now, waited) = (self.clock.now(), TimeDelta::from_std(asking.elapsed()).unwrap_or_default());
        let mut known = self.known();
        known.asked_at = Some(now);
        // The log answered at some instant in between: a slow answer is no clock that runs ahead. But one that went
        // on by more than was waited was set meanwhile.
        let asked_at = asked_at.max(now - waited);
        let (ahead, was_suspect) = (asked_at - log_time, known.held_back_by > TimeDelta::zero());
        let is_suspect = ahead > ahead_max;
        known.held_back_by = if is_suspect { now - log_time } else { TimeDelta::zero() };
        if is_suspect && !was_suspect {
            let ahead_ms = ahead.num_milliseconds();
            tracing::error!(
                ahead_ms,
                "clock_suspect: the clock runs ahead of the log's own time and is held back"
            );
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use cuiban_event_log::MemoryLog;

    use super::*;
    use crate::ManualClock;

    #[tokio::test]
    async fn a_clock_that_runs_ahead_is_held_back_to_the_logs_time() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_time(Arc::new(move || start)));
        let clock = Arc::new(ManualClock::new(start));
        let guard = ClockGuard::new(clock.clone(), log, &Config::default());
        assert_eq!(guard.now().await.unwrap(), start);
        clock.advance_by(Duration::from_secs(3600));
        assert_eq!(guard.now().await.unwrap(), start);
        assert!(guard.clock_suspect());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_forward_while_the_log_is_asked_is_held_back() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let set = clock.clone();
        let log = MemoryLog::with_time(Arc::new(move || {
            set.advance_to(start + Duration::from_secs(3600));
            start
        }));
        let guard = ClockGuard::new(clock.clone(), Arc::new(log), &Config::default());
        assert_eq!(guard.now().await.unwrap(), start);
        assert!(guard.clock_suspect() && clock.now() > start);
    }

    #[tokio::test]
    async fn a_clock_within_the_bound_is_believed() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_time(Arc::new(move || start)));
        let clock = Arc::new(ManualClock::new(start + Duration::from_millis(900)));
        let guard = ClockGuard::new(clock.clone(), log, &Config::default());
        assert_eq!(guard.now().await.unwrap(), clock.now());
        assert!(!guard.clock_suspect());
    }
}
