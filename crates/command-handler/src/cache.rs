//! Folded streams by id, the least recently used ones forgotten.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::Mutex as AsyncMutex;

use crate::loaded::Loaded;

/// One stream's place: whoever holds the lock is the only one to append to the stream from here.
pub(crate) type Slot<A> = Arc<AsyncMutex<Option<Loaded<A>>>>;

/// At most so many folded streams, all of one log.
pub(crate) struct Cache<A> {
    slots: Mutex<Slots<A>>,
}

struct Slots<A> {
    log_generation: u64,
    by_id: LruCache<String, Slot<A>>,
}

impl<A> Cache<A> {
    pub(crate) fn new(streams_max: usize) -> Self {
        let streams_max = NonZeroUsize::new(streams_max).unwrap_or(NonZeroUsize::MIN);
        Self { slots: Mutex::new(Slots { log_generation: 0, by_id: LruCache::new(streams_max) }) }
    }

    /// The stream's slot. Those of a log that was exchanged since are forgotten.
    ///
    /// A slot that is forgotten while somebody holds it does no harm: the log checks every append.
    pub(crate) fn slot(&self, id: &str, log_generation: u64) -> Slot<A> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.log_generation != log_generation {
            slots.by_id.clear();
            slots.log_generation = log_generation;
        }
        if let Some(slot) = slots.by_id.get(id) {
            return slot.clone();
        }
        let slot = Slot::default();
        slots.by_id.put(id.to_owned(), slot.clone());
        slot
    }
}
