//! The clock, held back when it runs ahead of the log's own time: emitting early is worse than late.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_command_handler::Clock;
use cuiban_domain::Instant;
use cuiban_event_log::EventLog;

use crate::Config;

/// Tells the time by which limits are judged broken.
#[derive(Debug)]
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    log: Arc<dyn EventLog>,
    ahead_max: Option<TimeDelta>,
    fresh_for: TimeDelta,
    checked_at: Option<Instant>,
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
            fresh_for: delta(config.log_time_fresh_ms),
            checked_at: None,
            held_back_by: TimeDelta::zero(),
            latest: None,
        }
    }

    /// Now, never ahead of the log's own time by more than the bound, and never going back.
    ///
    /// While the log cannot be asked, what was known of it last is used.
    pub async fn now(&mut self) -> Instant {
        let now = self.clock.now();
        if let (Some(ahead_max), true) = (self.ahead_max, self.is_stale(now)) {
            self.compare(now, ahead_max).await;
        }
        let judged = now - self.held_back_by;
        let judged = self.latest.map_or(judged, |latest| latest.max(judged));
        self.latest = Some(judged);
        judged
    }

    /// When the clock will show what must be waited for, if it goes on being held back as now.
    pub fn clock_shows(&self, judged: Instant) -> Instant {
        judged + self.held_back_by
    }

    /// Whether the clock is held back: an alarm for people.
    pub fn clock_suspect(&self) -> bool {
        self.held_back_by > TimeDelta::zero()
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.checked_at.is_none_or(|checked_at| now - checked_at >= self.fresh_for)
    }

    async fn compare(&mut self, now: Instant, ahead_max: TimeDelta) {
        match self.log.time().await {
            Ok(log_time) => {
                self.checked_at = Some(now);
                let ahead = now - log_time;
                let was_suspect = self.clock_suspect();
                self.held_back_by = if ahead > ahead_max { ahead } else { TimeDelta::zero() };
                if self.clock_suspect() && !was_suspect {
                    let ahead_ms = ahead.num_milliseconds();
                    tracing::error!(
                        ahead_ms,
                        "clock_suspect: the clock runs ahead of the log's own time and is held back"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the log's own time cannot be asked"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use cuiban_command_handler::ManualClock;
    use cuiban_event_log::MemoryLog;

    use super::*;

    #[tokio::test]
    async fn a_clock_that_runs_ahead_is_held_back_to_the_logs_time() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_time(Arc::new(move || start)));
        let clock = Arc::new(ManualClock::new(start));
        let mut guard = ClockGuard::new(clock.clone(), log, &Config::default());
        assert_eq!(guard.now().await, start);
        clock.advance_by(Duration::from_secs(3600));
        assert_eq!(guard.now().await, start);
        assert!(guard.clock_suspect());
    }

    #[tokio::test]
    async fn a_clock_within_the_bound_is_believed() {
        let start = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::with_time(Arc::new(move || start)));
        let clock = Arc::new(ManualClock::new(start + Duration::from_millis(900)));
        let mut guard = ClockGuard::new(clock.clone(), log, &Config::default());
        assert_eq!(guard.now().await, clock.now());
        assert!(!guard.clock_suspect());
    }
}
