//! Late notices that go out as one message (R64).

use cuiban_deliveries::{Delivery, MessageId};

use super::errand::{Consignment, Errand, Returned};
use super::{Courier, Ended, Verdict, version_of};
use crate::alert::Alert;
use crate::backlog::{Form, Parcel};
use crate::ledger::{Known, Standing};
use crate::message::{Message, digest_id};

impl Courier {
    /// Settles what is not to be pushed, pushes what was begun by itself, and the rest together.
    ///
    /// No alert has a record of its own and goes in a digest too: who reads the records would not know which of them tells
    /// how it stands.
    pub(super) async fn make_digest(&self, consignment: Consignment, returned: &mut Returned) {
        let (mut begun, mut going, mut settling) = (Vec::new(), Vec::new(), Vec::new());
        for errand in consignment.errands {
            let Some(kept) = self.kept(&errand, returned) else { continue };
            match self.verdict(&kept, &errand, consignment.begins_at) {
                Verdict::Push if errand.known.is_some() => begun.push((errand, kept.alert)),
                Verdict::Push => going.push((errand, kept.alert)),
                Verdict::Settle(state) => settling.push((errand, kept.alert, state)),
            }
        }
        self.settle_many(settling, returned).await;
        for (errand, alert) in begun {
            if returned.pushes.contains(&false) {
                returned.again.push((errand.place, errand.waiting));
            } else {
                self.push_one(errand, &alert, returned).await;
            }
        }
        if returned.pushes.contains(&false) {
            let again = going.into_iter().map(|(errand, _)| (errand.place, errand.waiting));
            return returned.again.extend(again);
        }
        // One that is left alone goes under its own id: whoever has it knows it again.
        if let [(errand, alert)] = going.as_slice() {
            return self.push_one(errand.clone(), alert, returned).await;
        }
        let (errands, alerts): (Vec<_>, Vec<_>) = going.into_iter().unzip();
        self.push_digest(digest_id(&alerts), errands, &alerts, None, returned).await;
    }

    /// Pushes a digest that was begun, with the same alerts under the same id.
    pub(super) async fn repeat_digest(
        &self,
        message: MessageId,
        consignment: Consignment,
        returned: &mut Returned,
    ) {
        let mut going = Vec::new();
        for errand in consignment.errands {
            let Some(kept) = self.kept(&errand, returned) else { continue };
            going.push((errand, kept.alert));
        }
        let (errands, alerts): (Vec<_>, Vec<_>) = going.into_iter().unzip();
        self.push_digest(message, errands, &alerts, consignment.known, returned).await;
    }

    async fn push_digest(
        &self,
        id: MessageId,
        errands: Vec<Errand>,
        alerts: &[Alert],
        known: Option<Known>,
        returned: &mut Returned,
    ) {
        let (Some(first), Some(last)) = (alerts.first(), alerts.last()) else { return };
        let maybe_twice = known.as_ref().is_some_and(Known::may_have_arrived);
        let manner = self.manner(first, maybe_twice);
        let Some(message) = Message::digest(id, alerts, self.config.digest_listed_max, &manner) else {
            return;
        };
        let expected = version_of(known.as_ref());
        let before = match known.map(|known| known.standing) {
            Some(Standing::Open(before)) => *before,
            _ => self.fresh(id, last, alerts.iter().map(|alert| alert.id).collect()),
        };
        let delivery =
            Delivery { branch: last.branch.clone(), issued_at: last.issued_at, number: None, ..before };
        if let Some(state) = self.too_old(&delivery, self.now()) {
            return self.put_settled(Delivery { state, ..delivery }, expected, returned).await;
        }
        let alerts =
            |errands: Vec<Errand>| errands.into_iter().map(|errand| (errand.place, errand.waiting)).collect();
        let parcel = |errands| Parcel { alerts: alerts(errands), form: Form::Digest(Some(id)) };
        let was_begun = expected.is_some();
        match self.carry(delivery, expected, message, returned).await {
            Ended::Taken => {}
            Ended::Touched => {
                returned.touched.extend(errands.iter().map(|errand| errand.waiting.message));
                returned.touched.push(id);
            }
            Ended::NotBegun if was_begun => {
                returned.digest_again = Some((self.now() + self.delivery().delay_after(1), parcel(errands)));
            }
            Ended::NotBegun => {
                let again = errands.into_iter().map(|errand| (errand.place, self.put_off(errand.waiting)));
                returned.again.extend(again);
            }
            Ended::Failed { next_at, attempts } => {
                let mut parcel = parcel(errands);
                for (_, waiting) in &mut parcel.alerts {
                    (waiting.attempts, waiting.due_at) = (attempts, next_at);
                }
                returned.digest_again = Some((next_at, parcel));
            }
        }
    }
}
