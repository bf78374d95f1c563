//! The port.
//!
//! ```text
//!  put(record, expected)      stored, if its key holds just this version; else Conflict, and nothing has changed
//!  get(key)                   the key's latest record, from the server that may accept a put
//!  follow(channel, after)     the latest record of every key that was put after `after`, by version; then each put
//! ```
//!
//! - Versions grow with every put, over all keys. A key that was never put, or whose record was forgotten, has none.
//! - A record is forgotten when it was put longer ago than the adapter's retention, and may be from then on.
//! - A follower hears of every key's latest record, and of every put that is not overtaken by another put of its key. It
//!   hears nothing twice, and nothing older after something newer. Where the store was lost or replaced it ends.
//! - Bytes that nobody can read hold up nobody: `get` gives them as [`Record::Unreadable`], a follower does not hear of them, and
//!   [`put_surely`] puts over them.
//! - `time` and a record's `stored_at` are of one clock, the store's own.

use std::fmt;

use async_trait::async_trait;
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::record::{Key, Record};

/// An error of any origin.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A record's place in the order of all puts. Opaque: only compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u64);

impl Version {
    /// Before the first.
    pub const START: Self = Self(0);
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its version.
    pub version: Version,
    /// When it was put, by the store's clock.
    pub stored_at: Instant,
    /// The record.
    pub record: Record,
}

/// The store did not answer, or not with what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{attempted} in the record of deliveries")]
pub struct DeliveriesError {
    /// What was tried.
    pub attempted: &'static str,
    /// Why it failed.
    #[source]
    pub source: BoxError,
}

/// A record was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The key holds another version: somebody else was there. Nothing has changed.
    #[error("put into the record of deliveries: somebody else was there first")]
    Conflict,
    /// The store is away. Nothing has changed.
    #[error("put into the record of deliveries: it is away")]
    Unavailable(#[source] BoxError),
    /// No answer in time: it is stored, will be, or never is.
    #[error("put into the record of deliveries: no answer in time")]
    Unknown(#[source] BoxError),
}

/// The record of deliveries. See the module for what every adapter promises.
#[async_trait]
pub trait Deliveries: fmt::Debug + Send + Sync + 'static {
    /// The latest record under a key.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError>;

    /// Puts a record under its key, if the key holds this version, or nothing if `expected` is `None`.
    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError>;

    /// Follows one channel's records, or all, from after a version on.
    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError>;

    /// The store's own time.
    async fn time(&self) -> Result<Instant, DeliveriesError>;

    /// Settings of the store, changed by somebody else, under which it forgets or refuses what it is for: each as
    /// `name is this (wanted: that)`. A store whose settings nobody else can change has none.
    async fn differing_settings(&self) -> Result<Vec<String>, DeliveriesError> {
        Ok(Vec::new())
    }
}

/// The records of a store as they are put. Dropping it ends the following.
#[derive(Debug)]
pub struct Follow(mpsc::Receiver<Stored>);

/// An adapter's end of a [`Follow`].
pub type FollowSender = mpsc::Sender<Stored>;

/// How many records a follower may lie behind before its adapter waits for it.
const FOLLOW_RECORDS_MAX: usize = 1_024;

impl Follow {
    /// A follower, and the adapter's end: dropping that ends the following.
    pub fn new() -> (FollowSender, Self) {
        let (sender, receiver) = mpsc::channel(FOLLOW_RECORDS_MAX);
        (sender, Self(receiver))
    }

    /// The next record; `None` when the store was lost or replaced, or is not to be trusted any more: whoever follows
    /// forgets what it knows and begins anew. Nothing is lost when this future is dropped.
    pub async fn next(&mut self) -> Option<Stored> {
        self.0.recv().await
    }

    /// The next record, if it is here already.
    pub fn next_here(&mut self) -> Option<Stored> {
        self.0.try_recv().ok()
    }
}

/// Puts a record, over one that cannot be read if need be, and finds out what became of it when no answer came.
pub async fn put_surely(
    deliveries: &dyn Deliveries,
    record: &Record,
    expected: Option<Version>,
) -> Result<Version, PutError> {
    let lost = match deliveries.put(record, expected).await {
        Err(PutError::Unknown(lost)) => lost,
        Err(PutError::Conflict) => match deliveries.get(&record.key()).await {
            Ok(Some(Stored { version, record: Record::Unreadable(_), .. })) if Some(version) != expected => {
                return deliveries.put(record, Some(version)).await;
            }
            Ok(_) | Err(_) => return Err(PutError::Conflict),
        },
        answered => return answered,
    };
    match deliveries.get(&record.key()).await {
        Ok(Some(stored)) if stored.record == *record => Ok(stored.version),
        // It may come still; a writer that puts again expects the same version, so only one of both is stored.
        Ok(found) if found.as_ref().map(|stored| stored.version) == expected => {
            Err(PutError::Unavailable(lost))
        }
        Ok(_) => Err(PutError::Conflict),
        Err(_) => Err(PutError::Unknown(lost)),
    }
}
