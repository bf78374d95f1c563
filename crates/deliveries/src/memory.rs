//! Deliveries in memory: for the simulation, for tests, and for a trial that keeps nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use tokio::sync::watch;

use crate::port::{Deliveries, DeliveriesError, Follow, PutError, Stored, Version};
use crate::record::{Key, Record};

/// Keeps records until it is dropped. Clones are the same store.
#[derive(Clone)]
pub struct MemoryDeliveries {
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    by_key: BTreeMap<Key, Stored>,
    by_version: BTreeMap<Version, Key>,
    last: Version,
    /// Where each follower hears of the last version, in the order in which they came: several receivers of one channel
    /// would be woken in an order that nobody knows.
    told: Vec<watch::Sender<Version>>,
}

impl fmt::Debug for MemoryDeliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDeliveries").field("last", &self.kept().last).finish_non_exhaustive()
    }
}

impl MemoryDeliveries {
    /// An empty store with this clock.
    pub fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), kept: Arc::default() }
    }

    /// Every record, in the order in which they were put.
    pub fn records(&self) -> Vec<Stored> {
        let kept = self.kept();
        kept.by_version.values().filter_map(|key| kept.by_key.get(key).cloned()).collect()
    }

    /// Forgets every record, as when somebody removes the stream or the file, and ends every [`Follow`].
    pub fn lose(&self) {
        let mut kept = self.kept();
        *kept = Kept { last: kept.last, ..Kept::default() };
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear_of_the_last(&self) -> watch::Receiver<Version> {
        let mut kept = self.kept();
        let (told, last) = watch::channel(kept.last);
        kept.told.push(told);
        last
    }

    fn next_after(&self, channel: Option<&ChannelId>, after: Version) -> Option<Stored> {
        let kept = self.kept();
        let after = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let mut keys = kept.by_version.range(after).map(|(_, key)| key);
        let key = keys.find(|key| channel.is_none_or(|channel| key.channel() == channel))?;
        kept.by_key.get(key).cloned()
    }
}

#[async_trait]
impl Deliveries for MemoryDeliveries {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError> {
        Ok(self.kept().by_key.get(key).cloned())
    }

    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError> {
        let (key, stored_at) = (record.key(), (self.now)());
        let mut kept = self.kept();
        let found = kept.by_key.get(&key).map(|stored| stored.version);
        if found != expected {
            return Err(PutError::Conflict);
        }
        let version = Version(kept.last.0 + 1);
        if let Some(overtaken) = found {
            kept.by_version.remove(&overtaken);
        }
        kept.by_version.insert(version, key.clone());
        kept.by_key.insert(key, Stored { version, stored_at, record: record.clone() });
        kept.last = version;
        // Still locked, so that versions are told in order.
        kept.told.retain(|told| told.send(version).is_ok());
        Ok(version)
    }

    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError> {
        let (sender, follow) = Follow::new();
        let mut last = self.hear_of_the_last();
        let (store, channel) = (self.clone(), channel.cloned());
        tokio::spawn(async move {
            let mut after = after;
            loop {
                while let Some(stored) = store.next_after(channel.as_ref(), after) {
                    after = stored.version;
                    if sender.send(stored).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    changed = last.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(follow)
    }

    async fn time(&self) -> Result<Instant, DeliveriesError> {
        Ok((self.now)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_what_the_port_promises() {
        let now = Arc::new(Mutex::new(Instant::UNIX_EPOCH));
        let clock = now.clone();
        let store = MemoryDeliveries::new(move || *clock.lock().unwrap());
        let pass = move |span| *now.lock().unwrap() += span;
        crate::conformance::judge(Arc::new(store), crate::conformance::TimePasses::ByHand(&pass)).await;
    }
}
