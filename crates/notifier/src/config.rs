//! The limits of the notifier, and which channels it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::Clock;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use serde::{Deserialize, Serialize};

use crate::channel::{Channel, InvalidWebhook, NatsChannel, NatsConfig, WebhookChannel, WebhookConfig};
use crate::quiet_hours::QuietHours;

/// Every limit that the notifier keeps, and its channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Only this branch's alerts; everyone's, if `None`.
    pub branch: Option<BranchId>,
    /// Quiet hours by rung, for channels that have none of their own; none, unless set.
    pub quiet: QuietHours,
    /// From how many on a branch's late notices that are pending at once go out as one digest (R64).
    pub digest_from: usize,
    /// The most notices in one digest; a larger backfill goes out as several, in order.
    pub digest_alerts_max: usize,
    /// How many of a digest's notices are listed in it, the oldest; the rest is counted.
    pub digest_listed_max: usize,
    /// How long late notices wait for others of their branch after the last one came, in milliseconds.
    pub late_gather_ms: u64,
    /// How long they wait at most, in milliseconds.
    pub late_gather_max_ms: u64,
    /// How many pending alerts a channel has in mind; more stay in the outbox until these are settled.
    pub waiting_max: usize,
    /// How many alerts are read from the outbox at a time.
    pub page_rows_max: usize,
    /// How many attempts of one digest are recorded at a time.
    pub recordings_in_flight_max: usize,
    /// The first pause before an attempt is recorded again while the log is away, in milliseconds; doubled each time.
    pub record_delay_ms: u64,
    /// The longest such pause, in milliseconds.
    pub record_delay_max_ms: u64,
    /// The pause before the outbox is read again after it could not be, in milliseconds.
    pub read_again_delay_ms: u64,
    /// How often opening the outbox is tried again while the disk does not let us.
    pub open_retries_max: u32,
    /// The pause before that, in milliseconds.
    pub open_retry_delay_ms: u64,
    /// The limits of the outbox's own store.
    pub store: cuiban_projector::StoreConfig,
    /// How long a stop waits for pushes under way, in milliseconds.
    pub stop_grace_ms: u64,
    /// The channel to NATS, if there is one.
    pub nats: Option<NatsConfig>,
    /// The webhooks.
    pub webhooks: Vec<WebhookConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            branch: None,
            quiet: QuietHours::default(),
            digest_from: 10,
            digest_alerts_max: 10_000,
            digest_listed_max: 20,
            late_gather_ms: 2_000,
            late_gather_max_ms: 30_000,
            waiting_max: 200_000,
            page_rows_max: 1_000,
            recordings_in_flight_max: 64,
            record_delay_ms: 100,
            record_delay_max_ms: 10_000,
            read_again_delay_ms: 1_000,
            open_retries_max: 40,
            open_retry_delay_ms: 50,
            store: cuiban_projector::StoreConfig {
                cache_bytes: 16 << 20,
                ..cuiban_projector::StoreConfig::default()
            },
            stop_grace_ms: 5_000,
            nats: None,
            webhooks: Vec::new(),
        }
    }
}

/// How one channel is served.
///
/// Attempt `n` is followed by a pause of `first_delay_ms`·2ⁿ⁻¹, at most `delay_max_ms`: by default 16 attempts over
/// 18 hours. The schedule has no jitter: attempts of different alerts are apart already, and `in_flight_max`
/// bounds what a receiver that comes back has to take at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// After how many attempts an alert is given up.
    pub attempts_max: u32,
    /// After how many attempts an alert is given up that the receiver answers but refuses.
    pub refused_attempts_max: u32,
    /// The pause after the first attempt, in milliseconds; doubled each time.
    pub first_delay_ms: u64,
    /// The longest pause, in milliseconds; also the longest that a receiver may ask for.
    pub delay_max_ms: u64,
    /// How many pushes are under way at once.
    pub in_flight_max: usize,
    /// How long one push may take, whatever the channel's own limits are, in milliseconds.
    pub push_timeout_ms: u64,
    /// Quiet hours of this channel alone, instead of the common ones.
    pub quiet: Option<QuietHours>,
    /// Alerts issued before this instant are not this channel's business: set it for a channel that is added
    /// to a system with a history.
    pub since: Option<Instant>,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            attempts_max: 16,
            refused_attempts_max: 3,
            first_delay_ms: 5_000,
            delay_max_ms: 4 * 3_600_000,
            in_flight_max: 8,
            push_timeout_ms: 30_000,
            quiet: None,
            since: None,
        }
    }
}

impl DeliveryConfig {
    /// The pause after attempt `attempt`, counted from 1.
    pub(crate) fn delay_after(&self, attempt: u32) -> Duration {
        let doubled = 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
        let delay_ms = self.first_delay_ms.saturating_mul(doubled);
        Duration::from_millis(delay_ms.min(self.delay_max_ms))
    }
}

/// A channel and how it is served.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// The way out.
    pub channel: Arc<dyn Channel>,
    /// When, how often and how many at once.
    pub delivery: DeliveryConfig,
}

/// A configuration that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// A webhook that cannot be.
    #[error("webhook {channel} cannot be served")]
    Webhook {
        /// Which.
        channel: ChannelId,
        /// Why.
        #[source]
        source: InvalidWebhook,
    },
    /// A channel to NATS without a connection to it.
    #[error("a channel to NATS is configured, but there is no connection to NATS")]
    NoNats,
    /// Attempts are recorded by channel id, so two channels cannot share one.
    #[error("two channels have the id {channel}")]
    SameId {
        /// Which.
        channel: ChannelId,
    },
}

impl Config {
    /// The channels of this configuration, ready to be served. `nats` is the connection for the channel to NATS.
    pub fn outlets(
        &self,
        nats: Option<async_nats::Client>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Vec<Outlet>, InvalidConfig> {
        let mut outlets = Vec::new();
        if let Some(config) = &self.nats {
            let client = nats.ok_or(InvalidConfig::NoNats)?;
            let channel = Arc::new(NatsChannel::new(config.clone(), client));
            outlets.push(Outlet { channel, delivery: config.delivery.clone() });
        }
        for config in &self.webhooks {
            let channel = WebhookChannel::new(config.clone(), clock.clone())
                .map_err(|source| InvalidConfig::Webhook { channel: config.id.clone(), source })?;
            outlets.push(Outlet { channel: Arc::new(channel), delivery: config.delivery.clone() });
        }
        check_ids(&outlets)?;
        Ok(outlets)
    }

    pub(crate) fn late_gather(&self) -> Duration {
        Duration::from_millis(self.late_gather_ms)
    }

    pub(crate) fn late_gather_max(&self) -> Duration {
        Duration::from_millis(self.late_gather_max_ms)
    }
}

/// Refuses two channels under one id.
pub(crate) fn check_ids(outlets: &[Outlet]) -> Result<(), InvalidConfig> {
    let mut seen = BTreeSet::new();
    match outlets.iter().map(|outlet| outlet.channel.id()).find(|id| !seen.insert((*id).clone())) {
        Some(channel) => Err(InvalidConfig::SameId { channel: channel.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_the_limit() {
        let delivery = DeliveryConfig { first_delay_ms: 5, delay_max_ms: 60, ..DeliveryConfig::default() };
        let delays: Vec<_> = (1..=6).map(|n| delivery.delay_after(n).as_millis()).collect();
        assert_eq!(delays, [5, 10, 20, 40, 60, 60]);
        assert_eq!(delivery.delay_after(u32::MAX).as_millis(), 60);
    }

    #[test]
    fn the_default_schedule_ends_within_a_day() {
        let delivery = DeliveryConfig::default();
        let total: Duration = (1..delivery.attempts_max).map(|n| delivery.delay_after(n)).sum();
        assert_eq!(total.as_secs() / 3600, 17);
    }

    #[test]
    fn refuses_fields_that_it_does_not_know() {
        assert!(serde_json::from_str::<Config>(r#"{"digest_form": 3}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"nats": {"delivery": {"attempts": 3}}}"#).is_err());
        let config: Config =
            serde_json::from_str(r#"{"quiet": {"breach": ["22:00-07:00"]}, "nats": {}}"#).unwrap();
        assert_eq!(config.nats.unwrap().id.as_str(), "nats");
    }
}
