//! Pushes a parcel through one channel, and keeps the record of it.
//!
//! Marked as in flight first, under the condition that nobody else has touched it; then pushed, if the lease is still
//! ours; then recorded. A crash in between pushes the same id again, counted as perhaps twice.

mod digest;
mod errand;

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::Handlers;
use cuiban_deliveries::{
    Deliveries, Delivery, DeliveryState, Key, MessageId, PutError, Record, Version, put_surely,
};
use cuiban_domain::Instant;
use cuiban_domain::people::Party;
use cuiban_vitals::in_one_line;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::alert::Alert;
use crate::backlog::{Form, Waiting};
use crate::channel::PushError;
use crate::config::{Config, DeliveryConfig, Outlet};
use crate::leases::Leases;
use crate::ledger::{Known, Standing};
use crate::message::{Manner, Message};
use crate::outbox::{KeptAlert, Lane, Outbox};
use crate::wording;
pub(crate) use errand::{Consignment, Errand, Returned};

/// Serves one channel.
#[derive(Clone)]
pub(crate) struct Courier {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) deliveries: Arc<dyn Deliveries>,
    pub(crate) outbox: Outbox,
    pub(crate) outlet: Outlet,
    pub(crate) config: Arc<Config>,
    pub(crate) leases: Leases,
    /// This notifier, among all that serve the channel.
    pub(crate) holder: Uuid,
}

/// What is to be done about an alert.
enum Verdict {
    Push,
    Settle(DeliveryState),
}

/// What the record has of a message that was marked as on its way, in place of the mark.
enum Overtaken {
    Asked(Version),
    Nothing,
}

/// How a push ended.
enum Ended {
    Taken,
    Failed {
        next_at: Instant,
        attempts: u32,
    },
    /// It was not begun.
    NotBegun,
    /// Somebody else was there.
    Touched,
}

impl Courier {
    /// Pushes a consignment, once.
    pub(crate) async fn deliver(self, consignment: Consignment) -> Returned {
        let errands = consignment.errands.iter().map(|errand| errand.waiting.message).collect();
        let mut returned = Returned { errands, ..Returned::default() };
        match consignment.form {
            Form::InOrder => {
                for errand in consignment.errands {
                    self.deliver_one(errand, consignment.begins_at, &mut returned).await;
                }
            }
            Form::Digest(None) => self.make_digest(consignment, &mut returned).await,
            Form::Digest(Some(message)) => self.repeat_digest(message, consignment, &mut returned).await,
        }
        returned
    }

    async fn deliver_one(&self, errand: Errand, begins_at: Instant, returned: &mut Returned) {
        if returned.pushes.contains(&false) {
            // One that failed in the middle of this parcel: the rest waits with it.
            return returned.again.push((errand.place, errand.waiting));
        }
        let Some(kept) = self.kept(&errand, returned) else { return };
        match self.verdict(&kept, &errand, begins_at) {
            Verdict::Settle(state) => self.settle_unpushed(errand, &kept.alert, state, returned).await,
            Verdict::Push => self.push_one(errand, &kept.alert, returned).await,
        }
    }

    async fn push_one(&self, errand: Errand, alert: &Alert, returned: &mut Returned) {
        let delivery = self.delivery_of(&errand, alert);
        let maybe_twice = errand.known.as_ref().is_some_and(Known::may_have_arrived);
        let message = Message::of(alert, &self.manner(alert, maybe_twice));
        match self.carry(delivery, version_of(errand.known.as_ref()), message, returned).await {
            Ended::Taken => {}
            Ended::Touched => returned.touched.push(errand.waiting.message),
            Ended::NotBegun => returned.again.push((errand.place, self.put_off(errand.waiting))),
            Ended::Failed { next_at, attempts } => {
                let waiting = Waiting { attempts, due_at: next_at, next_at, ..errand.waiting };
                returned.again.push((errand.place, waiting));
            }
        }
    }

    /// Marks, pushes, records.
    async fn carry(
        &self,
        before: Delivery,
        expected: Option<Version>,
        message: Message,
        returned: &mut Returned,
    ) -> Ended {
        let twice = u32::from(message.maybe_twice);
        let marked = Delivery {
            state: DeliveryState::InFlight { holder: self.holder },
            attempts: before.attempts.saturating_add(1),
            maybe_twice: before.maybe_twice.saturating_add(twice),
            at: self.now(),
            ..before.clone()
        };
        let version = match self.put(&marked, expected).await {
            Ok(version) => version,
            Err(PutError::Conflict) => return Ended::Touched,
            Err(error) => return self.not_begun(&error),
        };
        if !self.leases.may_push(&marked.branch) {
            // Another one may be about to push it. It was not pushed: what was known before holds.
            let (attempts, maybe_arrived) = (before.attempts, message.maybe_twice);
            let state = DeliveryState::Failed { reason: "the lease ran out".to_owned(), maybe_arrived };
            self.finish(
                Delivery { state, attempts, maybe_twice: before.maybe_twice, ..marked },
                version,
                returned,
            )
            .await;
            return Ended::NotBegun;
        }
        returned.maybe_twice += u64::from(twice);
        let message = Arc::new(Message { asked_at: before.asked_at, ..message });
        let pushed = self.push(&message).await;
        self.note(&pushed, marked.attempts, returned);
        let (now, attempts) = (self.now(), marked.attempts);
        let state = match &pushed {
            Ok(()) => DeliveryState::Delivered,
            Err(error) => DeliveryState::Failed {
                reason: line(&error.to_string()),
                maybe_arrived: message.maybe_twice || error.may_have_arrived(),
            },
        };
        let told = marked.alerts.len() as u64;
        let finished = self.finish(Delivery { state, at: now, ..marked }, version, returned).await;
        match pushed {
            Ok(()) => {
                returned.delivered += told;
                Ended::Taken
            }
            Err(_) if !finished => Ended::Touched,
            Err(error) => Ended::Failed { next_at: self.next_attempt_at(attempts, &error), attempts },
        }
    }

    fn not_begun(&self, error: &PutError) -> Ended {
        let channel = self.outlet.channel.id();
        tracing::warn!(error = %in_one_line(error), %channel, "an alert waits for the record of deliveries");
        Ended::NotBegun
    }

    /// Records how a push ended; goes on until the record has it, or until this task is dropped. Answers whether it has.
    async fn finish(&self, delivery: Delivery, marked: Version, returned: &mut Returned) -> bool {
        let (mut expected, mut delay_ms) = (Some(marked), self.config.record_delay_ms);
        loop {
            let error = match self.put(&delivery, expected).await {
                Ok(version) => {
                    returned.records.push((version, delivery));
                    return true;
                }
                Err(PutError::Conflict) if delivery.state == DeliveryState::Delivered => {
                    match self.overtaken_by(&delivery).await {
                        // Asked for while it was on its way: that is done now.
                        Some(Overtaken::Asked(version)) => expected = Some(version),
                        // The record has lost it.
                        Some(Overtaken::Nothing) => expected = None,
                        // Another notifier's is its own.
                        None => return false,
                    }
                    continue;
                }
                Err(PutError::Conflict) => return false,
                Err(error) => error,
            };
            let channel = self.outlet.channel.id();
            tracing::warn!(error = %in_one_line(&error), %channel, "a delivery waits to be recorded");
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            delay_ms = delay_ms.saturating_mul(2).clamp(1, self.config.record_delay_max_ms.max(1));
        }
    }

    async fn overtaken_by(&self, delivery: &Delivery) -> Option<Overtaken> {
        let key = Key::Delivery(delivery.channel.clone(), delivery.message);
        let Some(stored) = self.deliveries.get(&key).await.ok()? else { return Some(Overtaken::Nothing) };
        let Record::Delivery(found) = stored.record else { return None };
        let asked = matches!(found.state, DeliveryState::Asked { .. });
        asked.then_some(Overtaken::Asked(stored.version))
    }

    async fn put(&self, delivery: &Delivery, expected: Option<Version>) -> Result<Version, PutError> {
        put_surely(&*self.deliveries, &Record::Delivery(delivery.clone()), expected).await
    }

    async fn settle_unpushed(
        &self,
        errand: Errand,
        alert: &Alert,
        state: DeliveryState,
        returned: &mut Returned,
    ) {
        let expected = version_of(errand.known.as_ref());
        let delivery = Delivery { state, at: self.now(), ..self.delivery_of(&errand, alert) };
        let before = returned.records.len() + returned.touched.len();
        self.put_settled(delivery, expected, returned).await;
        if returned.records.len() + returned.touched.len() == before {
            returned.again.push((errand.place, self.put_off(errand.waiting)));
        }
    }

    /// Settles them a few at a time: a record that was lost may leave thousands.
    async fn settle_many(&self, settling: Vec<(Errand, Alert, DeliveryState)>, returned: &mut Returned) {
        let mut under_way = JoinSet::new();
        let mut left = settling.into_iter();
        loop {
            while under_way.len() < self.config.recordings_in_flight_max.max(1) {
                let Some((errand, alert, state)) = left.next() else { break };
                let courier = self.clone();
                under_way.spawn(async move {
                    let mut settled = Returned::default();
                    courier.settle_unpushed(errand, &alert, state, &mut settled).await;
                    settled
                });
            }
            match under_way.join_next().await {
                Some(Ok(settled)) => returned.absorb(settled),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    async fn put_settled(&self, delivery: Delivery, expected: Option<Version>, returned: &mut Returned) {
        match self.put(&delivery, expected).await {
            Ok(version) => {
                let told = delivery.alerts.len() as u64;
                match &delivery.state {
                    DeliveryState::GivenUp { reason, .. } => {
                        let (channel, message) = (&delivery.channel, delivery.message);
                        tracing::warn!(%channel, %message, reason, "an alert was given up; `cuiban alerts resend` sends it");
                        returned.given_up += told;
                    }
                    DeliveryState::Skipped => returned.skipped += told,
                    DeliveryState::Withdrawn { .. } => returned.withdrawn += told,
                    // Not settled so.
                    DeliveryState::InFlight { .. }
                    | DeliveryState::Failed { .. }
                    | DeliveryState::Delivered
                    | DeliveryState::Asked { .. } => {}
                }
                returned.records.push((version, delivery));
            }
            Err(PutError::Conflict) => returned.touched.push(delivery.message),
            Err(error) => {
                self.not_begun(&error);
            }
        }
    }

    /// What is to be done about it, by what was known when it set out.
    fn verdict(&self, kept: &KeptAlert, errand: &Errand, begins_at: Instant) -> Verdict {
        let (alert, now) = (&kept.alert, self.now());
        let maybe_arrived = errand.known.as_ref().is_some_and(Known::may_have_arrived);
        // Nor if somebody asks for it: it holds no more.
        if (alert.withdrawn && !errand.notice_arrived) || (kept.superseded && !alert.withdrawn) {
            return Verdict::Settle(DeliveryState::Withdrawn { maybe_arrived });
        }
        let asked = match errand.known.as_ref().map(|known| &known.standing) {
            Some(Standing::Open(delivery)) => {
                if let Some(state) = self.too_old(&self.delivery_of(errand, alert), now) {
                    return Verdict::Settle(state);
                }
                delivery.asked_at.is_some()
            }
            _ => false,
        };
        if asked {
            return Verdict::Push;
        }
        if errand.known.is_none() && alert.issued_at < begins_at && !errand.was_waiting {
            return Verdict::Settle(DeliveryState::Skipped);
        }
        match self.too_old(&self.delivery_of(errand, alert), now) {
            Some(state) => Verdict::Settle(state),
            None => Verdict::Push,
        }
    }

    /// How it ends, if it has been tried for long enough. Its age alone counts.
    fn too_old(&self, delivery: &Delivery, now: Instant) -> Option<DeliveryState> {
        let since = delivery.asked_at.unwrap_or(delivery.issued_at);
        let age = (now - since).to_std().unwrap_or_default();
        let reason = delivery.state.reason().unwrap_or("never tried").to_owned();
        let maybe_arrived = delivery.attempts > 0 && delivery.state.may_have_arrived();
        (age >= self.delivery().give_up_after()).then_some(DeliveryState::GivenUp { reason, maybe_arrived })
    }

    /// The record to go on with. What the alert is, the log says: restored, it may have it again in another branch.
    fn delivery_of(&self, errand: &Errand, alert: &Alert) -> Delivery {
        match errand.known.as_ref().map(|known| &known.standing) {
            Some(Standing::Open(delivery)) => Delivery {
                branch: alert.branch.clone(),
                number: alert.number.clone(),
                issued_at: alert.issued_at,
                ..(**delivery).clone()
            },
            _ => self.fresh(alert.message(), alert, vec![alert.id]),
        }
    }

    /// The record of a message that was never begun.
    fn fresh(&self, message: MessageId, alert: &Alert, alerts: Vec<Uuid>) -> Delivery {
        Delivery {
            channel: self.outlet.channel.id().clone(),
            message,
            branch: alert.branch.clone(),
            alerts,
            number: alert.number.clone(),
            issued_at: alert.issued_at,
            state: DeliveryState::Failed { reason: "never tried".to_owned(), maybe_arrived: false },
            attempts: 0,
            maybe_twice: 0,
            asked_at: None,
            at: self.now(),
        }
    }

    /// The alert as the outbox has it; one that is not kept any more is nobody's business.
    fn kept(&self, errand: &Errand, returned: &mut Returned) -> Option<KeptAlert> {
        match self.outbox.at(Lane::of(errand.waiting.severity), errand.place) {
            // Built anew from another log meanwhile, it may have another alert there.
            Ok(kept) => kept.filter(|kept| kept.alert.message() == errand.waiting.message),
            Err(error) => {
                let channel = self.outlet.channel.id();
                tracing::warn!(error = &error as &dyn std::error::Error, %channel, "an alert waits for the outbox");
                returned.again.push((errand.place, self.put_off(errand.waiting.clone())));
                None
            }
        }
    }

    /// Pushes within the time limit; a channel that panics has failed.
    async fn push(&self, message: &Arc<Message>) -> Result<(), PushError> {
        let (channel, message) = (self.outlet.channel.clone(), message.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { channel.push(&message).await });
        let limit = Duration::from_millis(self.delivery().push_timeout_ms);
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(Ok(pushed))) => pushed,
            Ok(_) => Err(PushError::unanswered("the channel broke down")),
            Err(_) => Err(PushError::unanswered("no answer in time")),
        }
    }

    fn next_attempt_at(&self, attempts: u32, error: &PushError) -> Instant {
        let delay = self.delivery().delay_after(attempts);
        match error {
            PushError::Unavailable { retry_after: Some(asked), .. } => {
                self.now() + delay.max((*asked).min(self.delivery().retry_after_max()))
            }
            PushError::Unavailable { .. } | PushError::Refused { .. } | PushError::Unanswered { .. } => {
                self.now() + delay
            }
        }
    }

    fn put_off(&self, waiting: Waiting) -> Waiting {
        let next_at = self.now() + self.delivery().delay_after(waiting.attempts.saturating_add(1));
        Waiting { next_at, ..waiting }
    }

    fn note(&self, pushed: &Result<(), PushError>, attempt: u32, returned: &mut Returned) {
        returned.pushes.push(pushed.is_ok());
        let Err(error) = pushed else { return };
        let (now, channel) = (self.now(), self.outlet.channel.id());
        tracing::warn!(error = error as &dyn std::error::Error, %channel, attempt, "an alert was not taken");
        returned.failure = Some((now, line(&error.to_string())));
        if let PushError::Unavailable { retry_after: Some(asked), .. } = error {
            returned.throttled_until = Some(now + (*asked).min(self.delivery().retry_after_max()));
        }
    }

    fn manner(&self, alert: &Alert, maybe_twice: bool) -> Manner {
        Manner { place: self.place_of(alert), now: self.now(), maybe_twice }
    }

    /// Where an alert is read. A branch that is not known keeps the company's zone.
    fn place_of(&self, alert: &Alert) -> wording::Place {
        let (organisation, branch) = (self.handlers.directory().organisation(), &alert.branch);
        let Ok(view) = organisation.branch(branch) else {
            let zone = organisation.company().calendar().zone();
            return wording::Place { branch: branch.to_string(), zone, addressee: None };
        };
        let member = match &alert.addressee {
            Some(Party::Staff(staff)) => view.branch.staff.get(staff),
            Some(Party::Department(_)) | None => None,
        };
        let name = view.branch.name.as_ref().map(|name| wording::single_line(name).to_string());
        wording::Place {
            branch: name.unwrap_or_else(|| branch.to_string()),
            zone: view.calendar.calendar().zone(),
            addressee: member.map(|member| (member.name.clone(), member.role)),
        }
    }

    fn delivery(&self) -> &DeliveryConfig {
        &self.outlet.delivery
    }

    pub(crate) fn now(&self) -> Instant {
        self.handlers.clock().now()
    }
}

fn version_of(known: Option<&Known>) -> Option<Version> {
    known.map(|known| known.version)
}

/// A text of any origin as one line of the record.
fn line(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_line_of_the_record() {
        assert_eq!(line("a\u{0}b\nc"), "a b c");
        assert_eq!(line(&"长".repeat(1_000)).chars().count(), 300);
    }
}
