//! How alerts stand, for pages and the command line: the records of the port, followed into memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cuiban_domain::ids::ChannelId;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::port::{Deliveries, Follow, Stored, Version};
use crate::record::{Delivery, MessageId, Record};

/// The pause before a store that could not be followed is followed again.
const FOLLOW_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What one message's record says, with the version that another put has to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The record's version.
    pub version: Version,
    /// The record.
    pub delivery: Delivery,
}

/// Every delivery that is still kept. It lies behind the store by as long as a message travels.
#[derive(Debug)]
pub struct Board {
    deliveries: Arc<dyn Deliveries>,
    kept: Arc<RwLock<Kept>>,
    following: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    by_message: BTreeMap<(ChannelId, MessageId), Standing>,
    /// The messages that tell of an alert.
    by_alert: HashMap<Uuid, Vec<(ChannelId, MessageId)>>,
}

impl Board {
    /// Follows this store until it is dropped.
    pub fn start(deliveries: Arc<dyn Deliveries>) -> Self {
        let kept = Arc::new(RwLock::new(Kept::default()));
        let following = tokio::spawn(run(deliveries.clone(), kept.clone()));
        Self { deliveries, kept, following }
    }

    /// The store that it follows.
    pub fn deliveries(&self) -> &Arc<dyn Deliveries> {
        &self.deliveries
    }

    /// How an alert stands on each channel, by message; digests that tell of it included.
    pub fn of_alert(&self, alert: Uuid) -> Vec<Standing> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let messages = kept.by_alert.get(&alert).into_iter().flatten();
        messages.filter_map(|message| kept.by_message.get(message).cloned()).collect()
    }

    /// At most `limit` messages for which `wanted` holds, the latest put first; only what was put before a version, if given.
    pub fn list(
        &self,
        before: Option<Version>,
        limit: usize,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Vec<Standing> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&Standing> =
            kept.by_message.values().filter(|standing| wanted(&standing.delivery)).collect();
        found.retain(|standing| before.is_none_or(|before| standing.version < before));
        found.sort_by_key(|standing| std::cmp::Reverse(standing.version));
        found.into_iter().take(limit).cloned().collect()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.following.abort();
    }
}

async fn run(deliveries: Arc<dyn Deliveries>, kept: Arc<RwLock<Kept>>) {
    loop {
        if let Ok(follow) = deliveries.follow(None, Version::START).await {
            *kept.write().unwrap_or_else(PoisonError::into_inner) = Kept::default();
            listen(follow, &kept).await;
        }
        tokio::time::sleep(FOLLOW_AGAIN_AFTER).await;
    }
}

async fn listen(mut follow: Follow, kept: &RwLock<Kept>) {
    while let Some(stored) = follow.next().await {
        kept.write().unwrap_or_else(PoisonError::into_inner).take(stored);
    }
}

impl Kept {
    fn take(&mut self, stored: Stored) {
        let Record::Delivery(delivery) = stored.record else { return };
        let key = (delivery.channel.clone(), delivery.message);
        for alert in &delivery.alerts {
            let messages = self.by_alert.entry(*alert).or_default();
            if !messages.contains(&key) {
                messages.push(key.clone());
            }
        }
        self.by_message.insert(key, Standing { version: stored.version, delivery });
    }
}
