//! What waits: the outbox, read into the queue as far as there is room.

use cuiban_deliveries::{Delivery, DeliveryState, MessageId};
use cuiban_domain::Instant;
use cuiban_projector::ReadError;

use super::{ChannelLoop, rules};
use crate::backlog::{Backlog, Form, Parcel, Waiting};
use crate::ledger::{Known, Standing};
use crate::outbox::{KeptAlert, Lane};

impl ChannelLoop {
    /// Takes in what the outbox has beyond what was read, as long as there is room.
    pub(super) fn read(&mut self, begins_at: Instant) -> Result<(), ReadError> {
        let page = self.courier.config.page_rows_max.max(1);
        for (lane, read_up_to) in Lane::ALL.into_iter().zip(0..) {
            // Emergencies are few, and are read even when there is no room.
            while lane == Lane::Express || self.backlog.len() < self.courier.config.waiting_max.max(1) {
                let rows = self.courier.outbox.page(lane, self.read_up_to[read_up_to], page)?;
                self.read_up_to[read_up_to] =
                    rows.last().map(|row| row.place).or(self.read_up_to[read_up_to]);
                let is_last = rows.len() < page;
                rows.iter().for_each(|row| self.consider(row, begins_at));
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Puts an alert in the queue, if something is to be done about it.
    pub(super) fn consider(&mut self, kept: &KeptAlert, begins_at: Instant) {
        let (alert, message) = (&kept.alert, kept.alert.message());
        if self.pushing.contains_key(&message) {
            return;
        }
        let known = self.ledger.of_alert(message).cloned();
        let open = match known.map(|known: Known| known.standing) {
            Some(Standing::Settled { .. }) => return,
            Some(Standing::Open(delivery)) if delivery.message != message => {
                return self.consider_digest(&delivery);
            }
            Some(Standing::Open(delivery)) => Some(*delivery),
            None => None,
        };
        let outlet = &self.courier.outlet;
        if open.is_none() {
            // What a build before settled is settled; what is far older than the channel is not even listed.
            let listed_from = begins_at - outlet.delivery.give_up_after();
            let settled = kept.settled_on(outlet.channel.id()).is_some();
            let before = outlet.delivery.since.is_some_and(|since| alert.issued_at < since);
            if settled || before || alert.issued_at < listed_from {
                return;
            }
        }
        let due_at = open.as_ref().map_or(alert.issued_at, |delivery| self.due_at(delivery));
        let waiting = Waiting {
            message,
            branch: alert.branch.clone(),
            severity: alert.severity(),
            late: alert.late,
            issued_at: alert.issued_at,
            attempts: open.as_ref().map_or(0, |delivery| delivery.attempts),
            due_at,
            next_at: due_at,
        };
        self.backlog.insert(kept.place, waiting);
    }

    /// Puts a digest that was begun in the queue, as it was.
    pub(super) fn consider_digest(&mut self, delivery: &Delivery) {
        let messages: Vec<_> = delivery.alerts.iter().map(|alert| MessageId::of(*alert)).collect();
        if messages.iter().any(|message| self.pushing.contains_key(message)) {
            return;
        }
        let (at, attempts) = (self.due_at(delivery), delivery.attempts);
        let kept =
            messages.into_iter().filter_map(|message| self.courier.outbox.find(message).ok().flatten());
        let alerts = kept.map(|kept| {
            let (message, severity) = (kept.alert.message(), kept.alert.severity());
            let (branch, late, issued_at) = (kept.alert.branch, kept.alert.late, kept.alert.issued_at);
            (
                kept.place,
                Waiting { message, branch, severity, late, issued_at, attempts, due_at: at, next_at: at },
            )
        });
        let parcel = Parcel { alerts: alerts.collect(), form: Form::Digest(Some(delivery.message)) };
        self.backlog.insert_digest(at, parcel);
    }

    /// When a message that was begun may go again.
    pub(super) fn due_at(&self, delivery: &Delivery) -> Instant {
        match delivery.state {
            // Also one that was marked and not pushed, as the lease ran out: it does not go again at the same instant. Never
            // later than if it had failed just now, whatever the clock showed by which it was recorded.
            DeliveryState::Failed { .. } => {
                delivery.at.min(self.courier.now())
                    + self.courier.outlet.delivery.delay_after(delivery.attempts.max(1))
            }
            // The notifier that had it in flight is gone when its lease is ours.
            _ => delivery.at,
        }
    }

    /// Whether a notice may have arrived, by the record or by what a build before wrote into the log.
    pub(super) fn has_arrived(&self, notice: MessageId) -> bool {
        if let Some(known) = self.ledger.of_alert(notice) {
            return known.may_have_arrived();
        }
        let channel = self.courier.outlet.channel.id();
        let kept = self.courier.outbox.find(notice).ok().flatten();
        kept.is_some_and(|kept| kept.settled_on(channel).is_some_and(|settled| settled.delivered))
    }

    /// Forgets what waits: the outbox is read from its beginning.
    pub(super) fn queue_anew(&mut self) {
        self.backlog = Backlog::new(rules(&self.courier));
        self.read_up_to = [None; 2];
    }
}
