//! The loop that serves one channel: its own queue, its own leases, its own breaker, its own pace.
//!
//! ```text
//!  outbox ──► backlog ──► courier ──► channel
//!               ▲            │
//!               └─ ledger ◄──┴── record of deliveries ◄── other notifiers, people who ask
//! ```
//!
//! [`waiting`] fills the queue, [`recorded`] hears the record, [`status`] tells how it stands.
//!
//! A slow or failing receiver holds up nobody but the alerts of its own that are under way.

mod recorded;
mod status;
mod waiting;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cuiban_deliveries::{Follow, MessageId};
use cuiban_domain::Instant;
use cuiban_domain::ids::BranchId;
use cuiban_projector::Progress;
use cuiban_vitals::SILENT_MAX;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::Severity;
use crate::backlog::{Backlog, Form, Parcel, Rules, Waiting};
use crate::breaker::{Allowed, Breaker};
use crate::courier::{Consignment, Courier, Errand, Returned};
use crate::leases::{Held, ticks};
use crate::ledger::{Known, Ledger, Standing};
use crate::outbox::Place;
use recorded::{Answer, lease, next};
pub use status::{ChannelStatus, Failure};

/// How long an alert whose branch is another notifier's is left alone; the lease wakes it earlier.
const PARKED: Duration = Duration::from_secs(3_600);
/// By how much time goes back when a clock was wrong, and not only rounded.
const STEP_BACK_MIN: Duration = Duration::from_secs(2);

/// Serves one channel until it is stopped.
pub(crate) struct ChannelLoop {
    courier: Courier,
    progress: watch::Receiver<Progress>,
    status: watch::Sender<ChannelStatus>,
    backlog: Backlog,
    /// The last place that was read of each lane.
    read_up_to: [Option<Place>; 2],
    /// Which outbox that was: one that is built anew from another log has others at the same places.
    outbox_generation: u64,
    ledger: Ledger,
    follow: Option<Follow>,
    /// When the notifier started: a channel that was never served begins then.
    started_at: Option<Instant>,
    /// How often the record of deliveries was found to be another one: what comes back from before is not known to it.
    epoch: u64,
    breaker: Breaker,
    under_way: JoinSet<(Standpoint, Returned)>,
    /// What waited when the record of deliveries was lost: that record has nothing of it, and it goes all the same.
    carried: BTreeSet<MessageId>,
    /// When the channel began, by the record that was followed before.
    former_beginning: Option<Instant>,
    /// What is under way, and of which branch.
    pushing: BTreeMap<MessageId, BranchId>,
    /// Withdrawals that wait for their notices to come back, by these.
    held_back: BTreeMap<MessageId, (Place, Waiting)>,
    asking: JoinSet<Answer>,
    asking_beginning: bool,
    /// Branches that have something to push and no lease.
    wanted: BTreeSet<BranchId>,
    throttled_until: Option<Instant>,
    /// When it was last looked what may go out.
    served_at: Option<Instant>,
}

/// By which outbox and which record of deliveries something set out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standpoint {
    epoch: u64,
    outbox_generation: u64,
}

impl ChannelLoop {
    pub(crate) fn new(courier: Courier, started_at: Instant, status: watch::Sender<ChannelStatus>) -> Self {
        let channel = courier.outlet.channel.id();
        if courier.outlet.delivery.has_old_settings() {
            tracing::warn!(%channel, "attempts_max and refused_attempts_max mean nothing any more: see give_up_after_hours");
        }
        Self {
            progress: courier.outbox.progress(),
            backlog: Backlog::new(rules(&courier)),
            courier,
            status,
            read_up_to: [None; 2],
            outbox_generation: 0,
            ledger: Ledger::default(),
            follow: None,
            started_at: Some(started_at),
            epoch: 0,
            breaker: Breaker::default(),
            under_way: JoinSet::new(),
            carried: BTreeSet::new(),
            former_beginning: None,
            pushing: BTreeMap::new(),
            held_back: BTreeMap::new(),
            asking: JoinSet::new(),
            asking_beginning: false,
            wanted: BTreeSet::new(),
            throttled_until: None,
            served_at: None,
        }
    }

    /// Runs until `stop`; pushes that are under way then have the grace of the configuration.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let name = format!("notifier.channel.{}", self.courier.outlet.channel.id());
        let pulse = self.courier.handlers.vitals().pulse(&name, SILENT_MAX);
        while !stop.is_cancelled() {
            pulse.turn().await;
            if self.follow.is_none() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    follow = pulse.idle(self.follow_again()) => self.follow = Some(follow),
                }
            }
            let wakes_at = self.turn();
            let asks_at = self.courier.leases.asks_at(self.wanted.iter().chain(self.pushing.values()));
            let clock = self.courier.handlers.clock().clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(returned) = self.under_way.join_next() => self.take_back(returned),
                Some(Ok(answer)) = self.asking.join_next() => self.answered(answer),
                stored = next(&mut self.follow) => self.heard(stored),
                changed = self.progress.changed() => if changed.is_err() { break },
                () = async { clock.sleep_until(wakes_at.unwrap_or_default()).await }, if wakes_at.is_some() => {}
                () = async { tokio::time::sleep_until(asks_at.unwrap_or_else(ticks)).await }, if asks_at.is_some() => {}
                () = pulse.due() => {}
            }
        }
        let grace = Duration::from_millis(self.courier.config.stop_grace_ms);
        // What is cut off here is marked as in flight, and is pushed again by the notifier that takes the lease.
        let _ = tokio::time::timeout(grace, self.finish()).await;
    }

    /// Lets what is under way come back, then lets go of the leases: nobody has to wait for their end.
    async fn finish(&mut self) {
        while self.under_way.join_next().await.is_some() {}
        for branch in self.courier.leases.forget() {
            if let Err(error) = lease(&self.courier, branch).release(&*self.courier.deliveries).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a lease is left to its end");
            }
        }
    }

    /// Reads what is new, starts what may go out; answers when to look again if nothing else happens.
    fn turn(&mut self) -> Option<Instant> {
        // An outbox that has not caught up does not know yet what was superseded.
        let Progress { caught_up, generation, .. } = *self.progress.borrow_and_update();
        if caught_up && std::mem::replace(&mut self.outbox_generation, generation) != generation {
            self.queue_anew();
        }
        let wakes_at = if caught_up { self.serve() } else { None };
        self.ask_for_leases();
        self.tell();
        wakes_at
    }

    fn serve(&mut self) -> Option<Instant> {
        let now = self.courier.now();
        if self.served_at.replace(now).is_some_and(|served_at| now < served_at - STEP_BACK_MIN) {
            // What waits was put off by a clock that was wrong.
            (self.breaker, self.throttled_until) = (Breaker::default(), None);
            self.queue_anew();
        }
        let begins_at = self.begins_at(now)?;
        let reads_again_at = self.read(begins_at).err().map(|error| {
            let channel = self.courier.outlet.channel.id();
            tracing::warn!(error = &error as &dyn std::error::Error, %channel, "the outbox cannot be read now");
            now + Duration::from_millis(self.courier.config.read_again_delay_ms)
        });
        let push_again_at = self.push(now, begins_at);
        [push_again_at, reads_again_at].into_iter().flatten().min()
    }

    /// Starts what may go out now; answers when something else may.
    fn push(&mut self, now: Instant, begins_at: Instant) -> Option<Instant> {
        self.throttled_until = self.throttled_until.filter(|until| *until > now);
        if self.throttled_until.is_some() {
            return self.throttled_until;
        }
        let organisation = self.courier.handlers.directory().organisation();
        let (config, delivery) = (self.courier.config.clone(), self.courier.outlet.delivery.clone());
        let quiet = delivery.quiet.as_ref().unwrap_or(&config.quiet);
        let (leases, followed) = (self.courier.leases.clone(), self.ledger.followed());
        let wanted = RefCell::new(BTreeSet::new());
        let held_until = |branch: &BranchId, severity: Severity| {
            let zone = organisation.branch(branch).map(|view| view.calendar.calendar().zone());
            let zone = zone.unwrap_or_else(|_| organisation.company().calendar().zone());
            let quiet_until = quiet.held_until(severity, now, zone);
            if quiet_until.is_none() && leases.held(branch, followed) == Held::No {
                wanted.borrow_mut().insert(branch.clone());
                return Some(now + PARKED);
            }
            quiet_until
        };
        let wakes_at = loop {
            let at_once = match self.breaker.allows(now, self.under_way.len(), delivery.in_flight_max) {
                Allowed::AtOnce(at_once) => at_once,
                Allowed::From(at) => break at,
            };
            if self.under_way.len() >= at_once {
                break None;
            }
            let Some(parcel) = self.backlog.next(now, &held_until) else { break self.backlog.wakes_at() };
            self.send(parcel, begins_at);
        };
        // Asked for until it is ours: what is parked meanwhile does not ask again.
        self.wanted.append(&mut wanted.into_inner());
        self.wanted.retain(|branch| leases.held(branch, followed) == Held::No);
        wakes_at
    }

    /// Hands a parcel to a courier, without what another notifier has settled while it was out or on its way back.
    fn send(&mut self, mut parcel: Parcel, begins_at: Instant) {
        match parcel.form {
            Form::Digest(Some(message)) if is_settled(self.ledger.of_message(message)) => return,
            // It goes again as it was.
            Form::Digest(Some(_)) => {}
            Form::Digest(None) | Form::InOrder => {
                parcel.alerts.retain(|(_, waiting)| !is_settled(self.ledger.of_alert(waiting.message)));
            }
        }
        let known = match parcel.form {
            Form::Digest(Some(message)) => self.ledger.of_message(message).cloned(),
            Form::Digest(None) | Form::InOrder => None,
        };
        let mut errands = Vec::with_capacity(parcel.alerts.len());
        for (place, waiting) in parcel.alerts {
            let notice = MessageId::of(waiting.message.id);
            if waiting.message.withdrawn && self.pushing.contains_key(&notice) {
                self.held_back.insert(notice, (place, waiting));
                continue;
            }
            let notice_arrived = waiting.message.withdrawn && self.has_arrived(notice);
            let known = self.ledger.of_message(waiting.message).cloned();
            self.pushing.insert(waiting.message, waiting.branch.clone());
            let was_waiting = self.carried.contains(&waiting.message);
            errands.push(Errand { place, waiting, known, notice_arrived, was_waiting });
        }
        if errands.is_empty() {
            return;
        }
        let consignment = Consignment { errands, form: parcel.form, known, begins_at };
        let (courier, set_out_from) = (self.courier.clone(), self.standpoint());
        self.under_way.spawn(async move { (set_out_from, courier.deliver(consignment).await) });
    }

    fn standpoint(&self) -> Standpoint {
        Standpoint { epoch: self.epoch, outbox_generation: self.outbox_generation }
    }

    fn take_back(&mut self, returned: Result<(Standpoint, Returned), tokio::task::JoinError>) {
        let (set_out_from, returned) = match returned {
            Ok(returned) => returned,
            Err(error) => {
                // Ours, not the channel's: a channel's panic is caught where it pushes. Begin again from the records.
                tracing::error!(error = &error as &dyn std::error::Error, "a delivery broke down");
                self.pushing.clear();
                return self.begin_anew();
            }
        };
        let held_back: Vec<_> = returned
            .errands
            .iter()
            .filter_map(|message| {
                self.pushing.remove(message);
                self.held_back.remove(message)
            })
            .collect();
        self.count(&returned);
        let here = self.standpoint();
        if set_out_from != here {
            // Its places are another outbox's, or its versions another record's; while it was out it was not read.
            self.read_up_to = [None; 2];
        }
        if set_out_from.epoch != here.epoch {
            // What it recorded is heard before anything goes: with a lease that was taken before, it need not be.
            self.courier.leases.forget();
            return;
        }
        for (version, delivery) in returned.records {
            self.carried.remove(&delivery.message);
            self.ledger.take(version, delivery);
        }
        if set_out_from == here {
            for (place, waiting) in held_back.into_iter().chain(returned.again) {
                self.backlog.insert(place, waiting);
            }
            if let Some((at, parcel)) = returned.digest_again {
                self.backlog.insert_digest(at, parcel);
            }
        }
        for message in returned.touched {
            // What was heard meanwhile was not looked at, as it was under way.
            match self.ledger.of_message(message) {
                Some(_) => self.reconsider(message),
                None => {
                    if let (Ok(Some(kept)), Some(begun)) = (self.courier.outbox.find(message), self.begun()) {
                        self.consider(&kept, begun);
                    }
                }
            }
        }
        let now = self.courier.now();
        for taken in returned.pushes {
            match taken {
                true if self.breaker.succeeded() => self.backlog.release(),
                true => {}
                false => self.breaker.failed(now, &self.courier.outlet.delivery),
            }
        }
        self.throttled_until = self.throttled_until.max(returned.throttled_until);
    }
}

fn is_settled(known: Option<&Known>) -> bool {
    known.is_some_and(|known| matches!(known.standing, Standing::Settled { .. }))
}

fn rules(courier: &Courier) -> Rules {
    let config = &courier.config;
    Rules {
        digest_from: config.digest_from,
        digest_alerts_max: config.digest_alerts_max,
        late_gather: config.late_gather(),
        late_gather_max: config.late_gather_max(),
    }
}
