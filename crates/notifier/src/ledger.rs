//! What one channel's loop knows of the record of deliveries. Values only: no IO, no clock.

use std::collections::HashMap;

use cuiban_deliveries::{ChannelBegun, Delivery, MessageId, Record, Stored, Version};
use uuid::Uuid;

/// One channel's records.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Everything up to here is known.
    followed: Version,
    begun: Option<(Version, ChannelBegun)>,
    messages: HashMap<MessageId, Known>,
    /// The digest that tells of an alert.
    digests: HashMap<Uuid, MessageId>,
    /// The alerts of each digest.
    alerts: HashMap<MessageId, Vec<Uuid>>,
}

/// What is known of a message. Of one that is settled, which most are, next to nothing is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) version: Version,
    pub(crate) standing: Standing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Settled { may_have_arrived: bool },
    Open(Box<Delivery>),
}

impl Known {
    pub(crate) fn may_have_arrived(&self) -> bool {
        match &self.standing {
            Standing::Settled { may_have_arrived } => *may_have_arrived,
            Standing::Open(delivery) => delivery.state.may_have_arrived(),
        }
    }
}

/// What a record changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// How a message stands.
    Message(MessageId),
    /// A lease, or a channel's beginning.
    Other,
    /// Nothing: it was known.
    Nothing,
}

impl Ledger {
    /// Takes in what was followed.
    pub(crate) fn follow(&mut self, stored: Stored) -> Change {
        self.followed = self.followed.max(stored.version);
        match stored.record {
            Record::Channel(begun) => {
                // Nothing was recorded before it happened: by a clock that was far ahead a channel would never begin.
                let (begins_at, confirmed_at) =
                    (begun.begins_at.min(stored.stored_at), begun.confirmed_at.min(stored.stored_at));
                self.begun = Some((stored.version, ChannelBegun { begins_at, confirmed_at, ..begun }));
                Change::Other
            }
            // Whoever asks for it is told who has it.
            Record::Lease(_) | Record::Unreadable(_) => Change::Other,
            Record::Delivery(delivery) => self.take(stored.version, delivery),
        }
    }

    /// Takes in how a message stands: what was followed, or what we have just put ourselves.
    pub(crate) fn take(&mut self, version: Version, delivery: Delivery) -> Change {
        let message = delivery.message;
        if self.messages.get(&message).is_some_and(|known| known.version >= version) {
            return Change::Nothing;
        }
        if let [_, _, ..] = delivery.alerts.as_slice() {
            self.digests.extend(delivery.alerts.iter().map(|alert| (*alert, message)));
            self.alerts.insert(message, delivery.alerts.clone());
        }
        let standing = if delivery.state.is_settled() {
            Standing::Settled { may_have_arrived: delivery.state.may_have_arrived() }
        } else {
            Standing::Open(Box::new(delivery))
        };
        self.messages.insert(message, Known { version, standing });
        Change::Message(message)
    }

    /// Everything up to here is known.
    pub(crate) fn followed(&self) -> Version {
        self.followed
    }

    /// When the channel began.
    pub(crate) fn begun(&self) -> Option<&(Version, ChannelBegun)> {
        self.begun.as_ref()
    }

    /// The alerts that a digest tells of.
    pub(crate) fn alerts_of(&self, digest: MessageId) -> Vec<MessageId> {
        self.alerts.get(&digest).into_iter().flatten().map(|alert| MessageId::of(*alert)).collect()
    }

    /// The record of a message itself.
    pub(crate) fn of_message(&self, message: MessageId) -> Option<&Known> {
        self.messages.get(&message)
    }

    /// How an alert stands: by its own message, else by the digest that tells of it.
    pub(crate) fn of_alert(&self, message: MessageId) -> Option<&Known> {
        self.messages.get(&message).or_else(|| self.messages.get(&self.digest_of(message)?))
    }

    /// The digest that tells of an alert.
    pub(crate) fn digest_of(&self, message: MessageId) -> Option<MessageId> {
        if message.withdrawn { None } else { self.digests.get(&message.id).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_began_no_later_than_its_beginning_was_stored() {
        let at = |text: &str| -> cuiban_domain::Instant { text.parse().unwrap() };
        let (stored_at, far) = (at("2026-11-20T08:00:00Z"), at("2096-01-01T00:00:00Z"));
        let channel = cuiban_domain::ids::ChannelId::new("desk").unwrap();
        let begun = ChannelBegun { channel, begins_at: far, confirmed_at: far };
        let mut ledger = Ledger::default();
        ledger.follow(Stored { version: Version(1), stored_at, record: Record::Channel(begun) });
        let (_, begun) = ledger.begun().unwrap();
        assert_eq!((begun.begins_at, begun.confirmed_at), (stored_at, stored_at));
    }
}
