//! The breaker of one channel: a receiver that is away is asked by one alert at a time until it is back.
//!
//! ```text
//!            several failures, no success between      a moment later
//!   closed ──────────────────────────────────► open ──────────────► half open: one push is under way
//!     ▲                                         ▲                      │
//!     │                                         └─── it failed: the ───┤
//!     │                                              pause is doubled  │
//!     └────────────── it was taken: everybody who waits goes ──────────┘
//! ```
//!
//! Values only: no IO, no clock.

use cuiban_domain::Instant;
use serde::Serialize;

use crate::config::DeliveryConfig;

/// How a channel's breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Alerts go out as they come.
    #[default]
    Closed,
    /// The receiver is away; nothing goes out for a moment.
    Open,
    /// One alert asks whether it is back.
    HalfOpen,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    probe_at: Instant,
    probes: u32,
}

/// Whether something may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// So many pushes at a time.
    AtOnce(usize),
    /// Nothing before this instant, or before what is under way has come back.
    From(Option<Instant>),
}

impl Breaker {
    /// A push was taken; answers whether everybody who waits may go now.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }

    /// A push failed.
    pub(crate) fn failed(&mut self, now: Instant, delivery: &DeliveryConfig) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            // One that was begun before the breaker opened says nothing new.
            Some(open) if open.probe_at > now => {}
            Some(open) => {
                open.probes = open.probes.saturating_add(1);
                open.probe_at = now + delivery.delay_after(open.probes);
            }
            None if self.failures >= delivery.failures_to_open.max(1) => {
                self.open = Some(Open { probe_at: now + delivery.delay_after(1), probes: 1 });
            }
            None => {}
        }
    }

    pub(crate) fn allows(&self, now: Instant, under_way: usize, in_flight_max: usize) -> Allowed {
        match self.open {
            None => Allowed::AtOnce(in_flight_max.max(1)),
            Some(_) if under_way > 0 => Allowed::From(None),
            Some(open) if open.probe_at > now => Allowed::From(Some(open.probe_at)),
            Some(_) => Allowed::AtOnce(1),
        }
    }

    pub(crate) fn state(&self, under_way: usize) -> BreakerState {
        match self.open {
            None => BreakerState::Closed,
            Some(_) if under_way > 0 => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Instant {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn delivery() -> DeliveryConfig {
        DeliveryConfig {
            failures_to_open: 2,
            first_delay_ms: 1_000,
            delay_max_ms: 4_000,
            ..Default::default()
        }
    }

    #[test]
    fn opens_after_failures_without_a_success_between() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0), &delivery());
        assert!(!breaker.succeeded());
        breaker.failed(at(0), &delivery());
        assert_eq!(breaker.allows(at(0), 0, 8), Allowed::AtOnce(8));
        breaker.failed(at(0), &delivery());
        assert_eq!(breaker.state(0), BreakerState::Open);
        assert_eq!(breaker.allows(at(0), 0, 8), Allowed::From(Some(at(1))));
    }

    #[test]
    fn asks_with_one_at_a_time_ever_more_rarely_up_to_the_limit() {
        let mut breaker = Breaker::default();
        (0..2).for_each(|_| breaker.failed(at(0), &delivery()));
        let mut now = 1;
        for pause in [2, 4, 4, 4] {
            assert_eq!(breaker.allows(at(now), 0, 8), Allowed::AtOnce(1));
            assert_eq!(breaker.allows(at(now), 1, 8), Allowed::From(None));
            breaker.failed(at(now), &delivery());
            // Another one, begun while it was closed, comes back late and changes nothing.
            breaker.failed(at(now), &delivery());
            assert_eq!(breaker.allows(at(now), 0, 8), Allowed::From(Some(at(now + pause))));
            now += pause;
        }
        assert!(breaker.succeeded());
        assert_eq!(
            (breaker.state(0), breaker.allows(at(now), 0, 8)),
            (BreakerState::Closed, Allowed::AtOnce(8))
        );
    }
}
