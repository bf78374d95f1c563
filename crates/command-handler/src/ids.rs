//! Where new ids come from: random in service, drawn by seed in the simulation.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use cuiban_domain::Instant;
use uuid::{NoContext, Timestamp, Uuid};

/// A source of UUIDv7s (R3).
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// An id that nobody has yet, sorted by `now`.
    fn new_id(&self, now: Instant) -> Uuid;
}

/// Ids whose random part is the operating system's.
#[derive(Debug, Default)]
pub struct RandomIds;

impl IdSource for RandomIds {
    fn new_id(&self, now: Instant) -> Uuid {
        Uuid::new_v7(timestamp(now))
    }
}

/// Ids that are the same in each run with the same seed.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    drawn: AtomicU64,
}

impl SeededIds {
    /// The ids of this seed, from the first.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: AtomicU64::new(0) }
    }
}

impl IdSource for SeededIds {
    fn new_id(&self, now: Instant) -> Uuid {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let name = [self.seed.to_be_bytes(), drawn.to_be_bytes()].concat();
        let hashed = Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).into_bytes();
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let mut random = [0; 10];
        random.copy_from_slice(&hashed[6..]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

fn timestamp(now: Instant) -> Timestamp {
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos())
}
