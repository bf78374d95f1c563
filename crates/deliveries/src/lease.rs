//! Leases: one notifier at a time pushes a branch's alerts through a channel.
//!
//! ```text
//!  nobody's ── take ──► mine ── take again, in time ──► mine
//!     ▲                  │
//!     └── let go, or ────┘ not taken again for as long as it lasts, by the store's clock
//! ```
//!
//! A lease keeps notifiers out of each other's way; that no message is begun twice is the work of the condition under
//! which each is marked as in flight.

use std::time::Duration;

use cuiban_domain::ids::{BranchId, ChannelId};
use uuid::Uuid;

use crate::port::{Deliveries, DeliveriesError, PutError, Version, put_surely};
use crate::record::{Key, LeaseHeld, Record};

/// Whose turn it is to push what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The channel.
    pub channel: ChannelId,
    /// The branch.
    pub branch: BranchId,
    /// Who wants it.
    pub holder: Uuid,
    /// How long it lasts after it was last taken.
    pub lasts: Duration,
}

/// What came of taking a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The lease is ours. A notifier that has followed the channel up to this version knows what was pushed under it before.
    Mine(Version),
    /// Another one has it, for so long at most if it is not taken again.
    Others(Duration),
}

impl Lease {
    /// Takes it, or takes it again.
    pub async fn take(&self, deliveries: &dyn Deliveries) -> Result<Taken, DeliveriesError> {
        let key = Key::Lease(self.channel.clone(), self.branch.clone());
        let stored = deliveries.get(&key).await?;
        let (mut expected, mut turn) = (None, 0);
        if let Some(stored) = &stored
            && let Record::Lease(lease) = &stored.record
        {
            (expected, turn) = (Some(stored.version), lease.turn);
            if lease.holder.is_some_and(|holder| holder != self.holder) {
                let age = deliveries.time().await? - stored.stored_at;
                let left = self.lasts.saturating_sub(age.to_std().unwrap_or_default());
                if !left.is_zero() {
                    return Ok(Taken::Others(left));
                }
            }
        }
        match put_surely(deliveries, &self.record(Some(self.holder), turn + 1), expected).await {
            Ok(version) => Ok(Taken::Mine(version)),
            Err(PutError::Conflict) => Ok(Taken::Others(self.lasts)),
            Err(PutError::Unavailable(source) | PutError::Unknown(source)) => {
                Err(DeliveriesError { attempted: "take a lease", source })
            }
        }
    }

    /// Lets go of it, if it is still ours, so that nobody waits for its end.
    pub async fn release(&self, deliveries: &dyn Deliveries) -> Result<(), DeliveriesError> {
        let key = Key::Lease(self.channel.clone(), self.branch.clone());
        let Some(stored) = deliveries.get(&key).await? else { return Ok(()) };
        let Record::Lease(lease) = &stored.record else { return Ok(()) };
        if lease.holder != Some(self.holder) {
            return Ok(());
        }
        match deliveries.put(&self.record(None, lease.turn + 1), Some(stored.version)).await {
            // Another notifier has taken the lease meanwhile: it does not wait for us.
            Ok(_) | Err(PutError::Conflict) => Ok(()),
            Err(PutError::Unavailable(source) | PutError::Unknown(source)) => {
                Err(DeliveriesError { attempted: "let go of a lease", source })
            }
        }
    }

    fn record(&self, holder: Option<Uuid>, turn: u64) -> Record {
        Record::Lease(LeaseHeld { channel: self.channel.clone(), branch: self.branch.clone(), holder, turn })
    }
}
