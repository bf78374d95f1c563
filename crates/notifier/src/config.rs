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
    /// How often it is looked whether the log is still the same one, in milliseconds. Until then alerts of the former one
    /// may go out; more often costs the log a few questions each time.
    pub log_looked_at_every_ms: u64,
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
    /// How many deliveries are recorded at a time that need no push.
    pub recordings_in_flight_max: usize,
    /// For how long one notifier has a branch's alerts on a channel to itself, in milliseconds.
    pub lease_ms: u64,
    /// The first pause before a delivery is recorded again while the record is away, in milliseconds; doubled each time.
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
            log_looked_at_every_ms: 3_000,
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
            lease_ms: 30_000,
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
/// An alert that was not taken is tried again after `first_delay_ms`, doubled with each attempt up to `delay_max_ms`,
/// until it is taken or too old. After several failures in a row the whole channel waits, and asks by one alert at a
/// time, after the same pauses; the first that is taken wakes all. So a receiver that comes back has everything within
/// a minute: a silent one is found out by `push_timeout_ms`, and asked again `delay_max_ms` later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// For how long an alert is tried after it was issued, in hours; then it is given up.
    pub give_up_after_hours: u32,
    /// After how many failures in a row the channel waits.
    pub failures_to_open: u32,
    /// The pause after the first attempt, in milliseconds; doubled each time.
    pub first_delay_ms: u64,
    /// The longest pause, in milliseconds; a minute, if more is given.
    pub delay_max_ms: u64,
    /// The longest that a receiver may ask to be left alone, in milliseconds.
    pub retry_after_max_ms: u64,
    /// How many pushes are under way at once.
    pub in_flight_max: usize,
    /// How long one push may take, whatever the channel's own limits are, in milliseconds.
    pub push_timeout_ms: u64,
    /// Quiet hours of this channel alone, instead of the common ones.
    pub quiet: Option<QuietHours>,
    /// Alerts issued before this instant are not this channel's business; from its first start on, if not given.
    pub since: Option<Instant>,
    /// Means nothing any more: alerts are given up by their age alone.
    #[serde(skip_serializing)]
    pub attempts_max: Option<u32>,
    /// Means nothing any more: alerts are given up by their age alone.
    #[serde(skip_serializing)]
    pub refused_attempts_max: Option<u32>,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            give_up_after_hours: 72,
            failures_to_open: 3,
            first_delay_ms: 1_000,
            delay_max_ms: 20_000,
            retry_after_max_ms: 15 * 60_000,
            in_flight_max: 8,
            push_timeout_ms: 30_000,
            quiet: None,
            since: None,
            attempts_max: None,
            refused_attempts_max: None,
        }
    }
}

impl DeliveryConfig {
    /// No pause is longer than this, whatever is configured: a receiver that is back hears of it within a minute.
    const DELAY_LIMIT_MS: u64 = 60_000;

    /// The pause after attempt `attempt`, counted from 1.
    pub(crate) fn delay_after(&self, attempt: u32) -> Duration {
        let doubled = 1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX);
        let delay_ms = self.first_delay_ms.saturating_mul(doubled);
        Duration::from_millis(delay_ms.min(self.delay_max_ms).min(Self::DELAY_LIMIT_MS))
    }

    /// How old an alert may become before it is given up.
    pub(crate) fn give_up_after(&self) -> Duration {
        Duration::from_secs(u64::from(self.give_up_after_hours) * 3_600)
    }

    pub(crate) fn retry_after_max(&self) -> Duration {
        Duration::from_millis(self.retry_after_max_ms)
    }

    /// Whether settings are given that mean nothing any more.
    pub(crate) fn has_old_settings(&self) -> bool {
        self.attempts_max.is_some() || self.refused_attempts_max.is_some()
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

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
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
    fn no_pause_is_longer_than_a_minute_whatever_is_configured() {
        let delivery = DeliveryConfig { delay_max_ms: 4 * 3_600_000, ..DeliveryConfig::default() };
        assert_eq!(delivery.delay_after(30).as_secs(), 60);
        let default = DeliveryConfig::default();
        let worst_ms = default.delay_max_ms + default.push_timeout_ms;
        assert!(worst_ms < 60_000, "a silent receiver that is back is asked after {worst_ms} ms");
    }

    #[test]
    fn takes_the_settings_of_the_release_before() {
        let old = r#"{"nats": {"delivery": {"attempts_max": 16, "refused_attempts_max": 3}}}"#;
        let config: Config = serde_json::from_str(old).unwrap();
        assert!(config.nats.unwrap().delivery.has_old_settings());
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
