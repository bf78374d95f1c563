//! What the record of deliveries says, by whomever it was put, and what is asked of it: leases, and when the channel began.

use std::collections::BTreeSet;
use std::time::Duration;

use cuiban_deliveries::{
    ChannelBegun, DeliveriesError, Follow, Key, Lease, MessageId, PutError, Record, Stored, Taken, Version,
    put_surely,
};
use cuiban_domain::Instant;
use cuiban_domain::ids::BranchId;
use cuiban_vitals::in_one_line;

use super::ChannelLoop;
use crate::courier::Courier;
use crate::leases::Asked;
use crate::ledger::{Change, Ledger, Standing};

/// How often a channel's beginning is confirmed: a record that nobody confirms is forgotten with the retention.
const CONFIRMED_EVERY: Duration = Duration::from_secs(86_400);
/// The pause before the record of deliveries is followed again, or asked again when a channel began.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How many records are taken in before something is pushed again.
const RECORDS_AT_ONCE: usize = 1_000;

/// What came of asking the record of deliveries.
pub(super) enum Answer {
    Lease { branch: BranchId, asked: Asked, taken: Option<Taken> },
    Beginning,
}

impl ChannelLoop {
    /// Follows the record of deliveries, as soon as it can be.
    pub(super) async fn follow_again(&self) -> Follow {
        let channel = self.courier.outlet.channel.id();
        loop {
            match self.courier.deliveries.follow(Some(channel), Version::START).await {
                Ok(follow) => return follow,
                Err(error) => {
                    tracing::warn!(error = %in_one_line(&error), %channel, "alerts wait for the record of deliveries");
                    tokio::time::sleep(ASK_AGAIN_AFTER).await;
                }
            }
        }
    }

    pub(super) fn heard(&mut self, stored: Option<Stored>) {
        let Some(stored) = stored else { return self.begin_anew() };
        self.take_in(stored);
        for _ in 1..RECORDS_AT_ONCE {
            let Some(stored) = self.follow.as_mut().and_then(Follow::next_here) else { break };
            self.take_in(stored);
        }
    }

    /// What another notifier, a person, or we ourselves have recorded.
    pub(super) fn take_in(&mut self, stored: Stored) {
        if let Record::Lease(lease) = &stored.record {
            self.ledger.follow(stored.clone());
            match lease.holder {
                // Ours is usable once this is heard.
                Some(holder) if holder == self.courier.holder => self.backlog.wake(Some(&lease.branch)),
                Some(_) => {}
                None => {
                    self.courier.leases.look_again(&lease.branch);
                    self.backlog.wake(Some(&lease.branch));
                }
            }
            return;
        }
        if let Change::Message(message) = self.ledger.follow(stored) {
            self.reconsider(message);
        }
    }

    /// How a message stands has changed, and not by what is under way here.
    pub(super) fn reconsider(&mut self, message: MessageId) {
        let Some(known) = self.ledger.of_message(message).cloned() else { return };
        match known.standing {
            Standing::Settled { .. } => {
                self.backlog.remove_digest(message);
                let alerts = self.ledger.alerts_of(message);
                for message in alerts.into_iter().chain([message]) {
                    if let Ok(Some(kept)) = self.courier.outbox.find(message) {
                        self.backlog.remove(kept.place);
                    }
                }
            }
            Standing::Open(delivery) if delivery.alerts.len() > 1 => self.consider_digest(&delivery),
            Standing::Open(_) => {
                // While another notifier holds the lease it is that one's; it waits here for that to end.
                if let (Ok(Some(kept)), Some(begun)) = (self.courier.outbox.find(message), self.begun()) {
                    self.consider(&kept, begun);
                }
            }
        }
    }

    /// The record of deliveries is another one than was followed: nothing that was known holds.
    pub(super) fn begin_anew(&mut self) {
        let channel = self.courier.outlet.channel.id();
        tracing::warn!(%channel, "the record of deliveries ended or is another one: it is read anew");
        self.follow = None;
        self.epoch += 1;
        // A record that was lost does not say which alerts the channel took, so those are not pushed again; these were waiting.
        self.carried.extend(self.backlog.messages());
        self.former_beginning =
            self.ledger.begun().map(|(_, begun)| begun.begins_at).or(self.former_beginning);
        self.ledger = Ledger::default();
        self.courier.leases.forget();
        self.held_back.clear();
        self.wanted.clear();
        self.queue_anew();
        // What was issued since the start may be settled, for all that this record knows.
        self.started_at = None;
    }

    pub(super) fn begun(&self) -> Option<Instant> {
        let since = self.courier.outlet.delivery.since;
        self.ledger.begun().map(|(_, begun)| since.unwrap_or(begun.begins_at))
    }

    /// When the channel began; asks for it, and confirms it from time to time.
    pub(super) fn begins_at(&mut self, now: Instant) -> Option<Instant> {
        let is_confirmed =
            self.ledger.begun().is_some_and(|(_, begun)| now < begun.confirmed_at + CONFIRMED_EVERY);
        if !is_confirmed && !self.asking_beginning {
            self.asking_beginning = true;
            let (courier, started_at) = (self.courier.clone(), self.started_at);
            self.asking.spawn(async move {
                if let Err(error) = begin(&courier, started_at).await {
                    let channel = courier.outlet.channel.id();
                    tracing::warn!(error = %in_one_line(&*error), %channel, "when the channel began cannot be asked now");
                }
                // Whatever came of it: the record's time may be behind ours, and then it is confirmed already.
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
                Answer::Beginning
            });
        }
        self.begun()
    }

    pub(super) fn ask_for_leases(&mut self) {
        let branches: BTreeSet<_> = self.wanted.iter().chain(self.pushing.values()).cloned().collect();
        for branch in branches {
            if !self.courier.leases.is_to_be_asked(&branch) {
                continue;
            }
            let asked = self.courier.leases.asking(&branch);
            let courier = self.courier.clone();
            self.asking.spawn(async move {
                let taken = lease(&courier, branch.clone()).take(&*courier.deliveries).await;
                let taken = taken.inspect_err(|error| {
                    tracing::warn!(error = %in_one_line(error), %branch, "a lease cannot be asked for now");
                });
                Answer::Lease { branch, asked, taken: taken.ok() }
            });
        }
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Beginning => self.asking_beginning = false,
            Answer::Lease { branch, asked, taken } => {
                self.courier.leases.answered(&branch, asked, taken);
                self.backlog.wake(Some(&branch));
            }
        }
    }
}

pub(super) async fn next(follow: &mut Option<Follow>) -> Option<Stored> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

pub(super) fn lease(courier: &Courier, branch: BranchId) -> Lease {
    let (channel, holder, lasts) =
        (courier.outlet.channel.id().clone(), courier.holder, courier.leases.lasts());
    Lease { channel, branch, holder, lasts }
}

/// Records that the channel begins, if it has not begun, or that it is served still.
///
/// A channel that was served by a build that kept its attempts in the log goes on where that one ended, if that is not
/// too long ago.
pub(super) async fn begin(
    courier: &Courier,
    started_at: Option<Instant>,
) -> Result<(), cuiban_deliveries::BoxError> {
    let (deliveries, channel) = (&courier.deliveries, courier.outlet.channel.id().clone());
    let now = deliveries.time().await?;
    let stored = deliveries.get(&Key::Channel(channel.clone())).await?;
    let (expected, begins_at) = match &stored {
        Some(Stored { version, record: Record::Channel(begun), .. }) => {
            if now < begun.confirmed_at + CONFIRMED_EVERY {
                return Ok(());
            }
            (Some(*version), begun.begins_at)
        }
        _ => {
            let served = courier.outbox.served_before(&channel)?;
            let oldest = now - courier.outlet.delivery.give_up_after();
            let first_start = started_at.map_or(now, |started_at| started_at.min(now));
            (None, served.filter(|served| (oldest..now).contains(served)).unwrap_or(first_start))
        }
    };
    let begun = Record::Channel(ChannelBegun { channel, begins_at, confirmed_at: now });
    match put_surely(&**deliveries, &begun, expected).await {
        // Another notifier was faster; what it wrote is heard.
        Ok(_) | Err(PutError::Conflict) => Ok(()),
        Err(PutError::Unavailable(source) | PutError::Unknown(source)) => {
            Err(DeliveriesError { attempted: "begin a channel", source }.into())
        }
    }
}
