//! What a courier takes along, and what it brings back.

use cuiban_deliveries::{Delivery, MessageId, Version};
use cuiban_domain::Instant;

use crate::backlog::{Form, Parcel, Waiting};
use crate::ledger::Known;
use crate::outbox::Place;

/// An alert on its way.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) place: Place,
    pub(crate) waiting: Waiting,
    /// What the record said when it set out.
    pub(crate) known: Option<Known>,
    /// Whether the notice may have arrived that this one takes back.
    pub(crate) notice_arrived: bool,
    /// Whether it was waiting when the record of deliveries was lost, which knows nothing of it any more.
    pub(crate) was_waiting: bool,
}

/// Alerts on their way together.
#[derive(Clone, Debug)]
pub(crate) struct Consignment {
    pub(crate) errands: Vec<Errand>,
    pub(crate) form: Form,
    /// What the record said of a digest that was begun.
    pub(crate) known: Option<Known>,
    /// When the channel began: what is older is not pushed.
    pub(crate) begins_at: Instant,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// All that was on the way.
    pub(crate) errands: Vec<MessageId>,
    /// Records that were put.
    pub(crate) records: Vec<(Version, Delivery)>,
    /// Alerts that are to be tried again, one by one.
    pub(crate) again: Vec<(Place, Waiting)>,
    /// A digest that is to be tried again as it is.
    pub(crate) digest_again: Option<(Instant, Parcel)>,
    /// Alerts of which somebody else has changed the record.
    pub(crate) touched: Vec<MessageId>,
    /// Until when the other side wants to be left alone.
    pub(crate) throttled_until: Option<Instant>,
    /// How the pushes ended, in order.
    pub(crate) pushes: Vec<bool>,
    /// How many alerts were taken, given up, perhaps pushed twice, never pushed, withdrawn before they were pushed.
    pub(crate) delivered: u64,
    pub(crate) given_up: u64,
    pub(crate) maybe_twice: u64,
    pub(crate) skipped: u64,
    pub(crate) withdrawn: u64,
    /// What was seen last when something failed.
    pub(crate) failure: Option<(Instant, String)>,
}

impl Returned {
    pub(super) fn absorb(&mut self, other: Self) {
        self.records.extend(other.records);
        self.again.extend(other.again);
        self.touched.extend(other.touched);
        self.given_up += other.given_up;
        self.skipped += other.skipped;
        self.withdrawn += other.withdrawn;
    }
}
