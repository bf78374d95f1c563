//! Folded streams by id, the least recently used ones forgotten.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::Mutex as AsyncMutex;

use crate::loaded::Loaded;

/// One stream's place: whoever holds the lock is the only one to append to the stream from here.
pub(crate) type Slot<A> = Arc<AsyncMutex<Option<Loaded<A>>>>;

/// At most so many folded streams.
pub(crate) struct Cache<A> {
    slots: Mutex<LruCache<String, Slot<A>>>,
}

impl<A> Cache<A> {
    pub(crate) fn new(streams_max: usize) -> Self {
        let streams_max = NonZeroUsize::new(streams_max).unwrap_or(NonZeroUsize::MIN);
        Self { slots: Mutex::new(LruCache::new(streams_max)) }
    }

    /// The stream's slot. A slot that is forgotten while somebody holds it does no harm: the log checks every append.
    pub(crate) fn slot(&self, id: &str) -> Slot<A> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(id) {
            return slot.clone();
        }
        let slot = Slot::default();
        slots.put(id.to_owned(), slot.clone());
        slot
    }
}
