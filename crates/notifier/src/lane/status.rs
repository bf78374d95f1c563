//! How a channel stands, for people and figures.

use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use cuiban_vitals::{DeliveryResult, Reading};
use serde::Serialize;

use super::ChannelLoop;
use crate::breaker::BreakerState;
use crate::courier::Returned;

/// How a channel stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Which one.
    pub channel: ChannelId,
    /// How many alerts it has in mind that wait for their turn, or for another notifier.
    pub waiting: usize,
    /// When the oldest of them was issued.
    pub oldest_waiting: Option<Instant>,
    /// How many pushes are under way.
    pub in_flight: usize,
    /// How many alerts it has taken since the start.
    pub delivered: u64,
    /// How many attempts have failed since the start.
    pub failed_attempts: u64,
    /// How many alerts were given up since the start.
    pub given_up: u64,
    /// How many pushes since the start may have been repetitions.
    pub maybe_twice: u64,
    /// How many alerts were never pushed since the start, as they are older than the channel or its record.
    pub skipped: u64,
    /// How many alerts since the start were superseded before they were taken.
    pub withdrawn: u64,
    /// When an attempt last failed, and what was seen.
    pub last_failure: Option<Failure>,
    /// Until when the receiver wants to be left alone.
    pub throttled_until: Option<Instant>,
    /// Whether the receiver is taken for away.
    pub breaker: BreakerState,
    /// Whether the record of deliveries was heard to say when the channel began; nothing is pushed before.
    pub has_begun: bool,
    /// Whether the record of deliveries was lost while this notifier followed it.
    pub record_lost: bool,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// What was seen.
    pub detail: String,
}

impl ChannelStatus {
    pub(crate) fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            waiting: 0,
            oldest_waiting: None,
            in_flight: 0,
            delivered: 0,
            failed_attempts: 0,
            given_up: 0,
            maybe_twice: 0,
            skipped: 0,
            withdrawn: 0,
            last_failure: None,
            throttled_until: None,
            breaker: BreakerState::Closed,
            has_begun: false,
            record_lost: false,
        }
    }
}

impl ChannelLoop {
    pub(super) fn count(&self, returned: &Returned) {
        let failed = returned.pushes.iter().filter(|taken| !**taken).count() as u64;
        if let Some(metrics) = self.courier.handlers.vitals().metrics() {
            let channel = self.courier.outlet.channel.id().as_str();
            metrics.deliveries(channel, DeliveryResult::Delivered, returned.delivered);
            metrics.deliveries(channel, DeliveryResult::Failed, failed);
            metrics.deliveries(channel, DeliveryResult::GivenUp, returned.given_up);
            metrics.deliveries(channel, DeliveryResult::MaybeTwice, returned.maybe_twice);
        }
        self.status.send_modify(|status| {
            status.delivered += returned.delivered;
            status.failed_attempts += failed;
            status.given_up += returned.given_up;
            status.maybe_twice += returned.maybe_twice;
            status.skipped += returned.skipped;
            status.withdrawn += returned.withdrawn;
            if let Some((at, detail)) = returned.failure.clone() {
                status.last_failure = Some(Failure { at, detail });
            }
        });
    }

    pub(super) fn tell(&self) {
        let begun = self.ledger.begun().map(|(_, begun)| begun.begins_at);
        let record_lost = self.former_beginning.zip(begun).is_some_and(|(former, begun)| former < begun);
        let now = ChannelStatus {
            waiting: self.backlog.len(),
            oldest_waiting: self.backlog.oldest(),
            in_flight: self.under_way.len(),
            throttled_until: self.throttled_until,
            breaker: self.breaker.state(self.under_way.len()),
            has_begun: begun.is_some(),
            record_lost: record_lost || self.status.borrow().record_lost,
            ..self.status.borrow().clone()
        };
        let vitals = self.courier.handlers.vitals();
        vitals.set(Reading::AlertsWaiting(now.channel.as_str()), now.waiting as f64);
        self.status.send_if_modified(|status| {
            let changed = *status != now;
            *status = now;
            changed
        });
    }
}
