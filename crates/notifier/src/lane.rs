//! The loop that serves one channel: its own queue, its own leases, its own breaker, its own pace.
//!
//! ```text
//!  outbox ──► backlog ──► courier ──► channel
//!               ▲            │
//!               └─ ledger ◄──┴── record of deliveries ◄── other notifiers, people who ask
//! ```
//!
//! A slow or failing receiver holds up nobody but the alerts of its own that are under way.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cuiban_deliveries::{
    ChannelBegun, DeliveriesError, Delivery, DeliveryState, Follow, Key, Lease, MessageId, PutError, Record,
    Stored, Taken, Version, put_surely,
};
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use cuiban_projector::{Progress, ReadError};
use cuiban_vitals::{DeliveryResult, Reading, SILENT_MAX, in_one_line};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant as Ticks;
use tokio_util::sync::CancellationToken;

use crate::alert::Severity;
use crate::backlog::{Backlog, Form, Parcel, Rules, Waiting};
use crate::breaker::{Allowed, Breaker, BreakerState};
use crate::courier::{Consignment, Courier, Errand, Returned};
use crate::leases::{Held, ticks};
use crate::ledger::{Change, Known, Ledger, Standing};
use crate::outbox::{KeptAlert, Lane, Place};

/// How often a channel's beginning is confirmed: a record that nobody confirms is forgotten with the retention.
const CONFIRMED_EVERY: Duration = Duration::from_secs(86_400);
/// The pause before the record of deliveries is followed again, or asked again when a channel began.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long an alert whose branch is another notifier's is left alone; the lease wakes it earlier.
const PARKED: Duration = Duration::from_secs(3_600);
/// How many records are taken in before something is pushed again.
const RECORDS_AT_ONCE: usize = 1_000;
/// By how much time goes back when a clock was wrong, and not only rounded.
const STEP_BACK_MIN: Duration = Duration::from_secs(2);

/// How a channel stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Which one.
    pub channel: ChannelId,
    /// How many alerts it has in mind that wait for their turn, or for another notifier.
    pub waiting: usize,
    /// When the oldest of them was issued.
    pub oldest_waiting: Option<Instant>,
    /// How many pushes are under way.
    pub in_flight: usize,
    /// How many alerts it has taken since the start.
    pub delivered: u64,
    /// How many attempts have failed since the start.
    pub failed_attempts: u64,
    /// How many alerts were given up since the start.
    pub given_up: u64,
    /// How many pushes since the start may have been repetitions.
    pub maybe_twice: u64,
    /// How many alerts were never pushed since the start, as they are older than the channel or its record.
    pub skipped: u64,
    /// How many alerts since the start were superseded before they were taken.
    pub withdrawn: u64,
    /// When an attempt last failed, and what was seen.
    pub last_failure: Option<Failure>,
    /// Until when the receiver wants to be left alone.
    pub throttled_until: Option<Instant>,
    /// Whether the receiver is taken for away.
    pub breaker: BreakerState,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// When.
    pub at: Instant,
    /// What was seen.
    pub detail: String,
}

impl ChannelStatus {
    pub(crate) fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            waiting: 0,
            oldest_waiting: None,
            in_flight: 0,
            delivered: 0,
            failed_attempts: 0,
            given_up: 0,
            maybe_twice: 0,
            skipped: 0,
            withdrawn: 0,
            last_failure: None,
            throttled_until: None,
            breaker: BreakerState::Closed,
        }
    }
}

/// Serves one channel until it is stopped.
pub(crate) struct ChannelLoop {
    courier: Courier,
    progress: watch::Receiver<Progress>,
    status: watch::Sender<ChannelStatus>,
    backlog: Backlog,
    /// The last place that was read of each lane. An outbox that was built anew has the same places.
    read_up_to: [Option<Place>; 2],
    ledger: Ledger,
    follow: Option<Follow>,
    /// When the notifier started: a channel that was never served begins then.
    started_at: Option<Instant>,
    /// How often the record of deliveries was found to be another one: what comes back from before is not known to it.
    epoch: u64,
    breaker: Breaker,
    under_way: JoinSet<(u64, Returned)>,
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

/// What came of asking the record of deliveries.
enum Answer {
    Lease { branch: BranchId, asked: Ticks, taken: Option<Taken> },
    Beginning,
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
            ledger: Ledger::default(),
            follow: None,
            started_at: Some(started_at),
            epoch: 0,
            breaker: Breaker::default(),
            under_way: JoinSet::new(),
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
        // What is cut off here is marked as in flight, and is pushed again by whoever goes on.
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

    /// Follows the record of deliveries, as soon as it can be.
    async fn follow_again(&self) -> Follow {
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

    /// Reads what is new, starts what may go out; answers when to look again if nothing else happens.
    fn turn(&mut self) -> Option<Instant> {
        // An outbox that has not caught up does not know yet what was superseded.
        let caught_up = self.progress.borrow_and_update().caught_up;
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

    /// Hands a parcel to a courier.
    fn send(&mut self, parcel: Parcel, begins_at: Instant) {
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
            errands.push(Errand { place, waiting, known, notice_arrived });
        }
        if errands.is_empty() {
            return;
        }
        let consignment = Consignment { errands, form: parcel.form, known, begins_at };
        let (courier, epoch) = (self.courier.clone(), self.epoch);
        self.under_way.spawn(async move { (epoch, courier.deliver(consignment).await) });
    }

    /// Whether a notice may have arrived, by the record or by what a build before wrote into the log.
    fn has_arrived(&self, notice: MessageId) -> bool {
        if let Some(known) = self.ledger.of_alert(notice) {
            return known.may_have_arrived();
        }
        let channel = self.courier.outlet.channel.id();
        let kept = self.courier.outbox.find(notice).ok().flatten();
        kept.is_some_and(|kept| kept.settled_on(channel).is_some_and(|settled| settled.delivered))
    }

    /// Takes in what the outbox has beyond what was read, as long as there is room.
    fn read(&mut self, begins_at: Instant) -> Result<(), ReadError> {
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
    fn consider(&mut self, kept: &KeptAlert, begins_at: Instant) {
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
    fn consider_digest(&mut self, delivery: &Delivery) {
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
    fn due_at(&self, delivery: &Delivery) -> Instant {
        match delivery.state {
            // Also one that was marked and not pushed, as the lease ran out: it does not go again at the same instant. Never
            // later than if it had failed just now, whatever the clock showed by which it was recorded.
            DeliveryState::Failed { .. } => {
                delivery.at.min(self.courier.now())
                    + self.courier.outlet.delivery.delay_after(delivery.attempts.max(1))
            }
            // Whoever had it is gone when its lease is ours.
            _ => delivery.at,
        }
    }

    fn heard(&mut self, stored: Option<Stored>) {
        let Some(stored) = stored else { return self.begin_anew() };
        self.take_in(stored);
        for _ in 1..RECORDS_AT_ONCE {
            let Some(stored) = self.follow.as_mut().and_then(Follow::next_here) else { break };
            self.take_in(stored);
        }
    }

    /// What another notifier, a person, or we ourselves have recorded.
    fn take_in(&mut self, stored: Stored) {
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
    fn reconsider(&mut self, message: MessageId) {
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
    fn begin_anew(&mut self) {
        let channel = self.courier.outlet.channel.id();
        tracing::warn!(%channel, "the record of deliveries ended or is another one: it is read anew");
        self.follow = None;
        self.epoch += 1;
        self.ledger = Ledger::default();
        self.courier.leases.forget();
        self.held_back.clear();
        self.wanted.clear();
        self.queue_anew();
        // What was issued since the start may be settled, for all that this record knows.
        self.started_at = None;
    }

    /// Forgets what waits: the outbox is read from its beginning.
    fn queue_anew(&mut self) {
        self.backlog = Backlog::new(rules(&self.courier));
        self.read_up_to = [None; 2];
    }

    fn begun(&self) -> Option<Instant> {
        let since = self.courier.outlet.delivery.since;
        self.ledger.begun().map(|(_, begun)| since.unwrap_or(begun.begins_at))
    }

    /// When the channel began; asks for it, and confirms it from time to time.
    fn begins_at(&mut self, now: Instant) -> Option<Instant> {
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

    fn ask_for_leases(&mut self) {
        let branches: BTreeSet<_> = self.wanted.iter().chain(self.pushing.values()).cloned().collect();
        for branch in branches {
            if !self.courier.leases.is_to_be_asked(&branch) {
                continue;
            }
            self.courier.leases.asking(&branch);
            let (courier, asked) = (self.courier.clone(), ticks());
            self.asking.spawn(async move {
                let taken = lease(&courier, branch.clone()).take(&*courier.deliveries).await;
                let taken = taken.inspect_err(|error| {
                    tracing::warn!(error = %in_one_line(error), %branch, "a lease cannot be asked for now");
                });
                Answer::Lease { branch, asked, taken: taken.ok() }
            });
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Beginning => self.asking_beginning = false,
            Answer::Lease { branch, asked, taken } => {
                self.courier.leases.answered(&branch, asked, taken);
                self.backlog.wake(Some(&branch));
            }
        }
    }

    fn take_back(&mut self, returned: Result<(u64, Returned), tokio::task::JoinError>) {
        let (epoch, returned) = match returned {
            Ok(returned) => returned,
            Err(error) => {
                // Ours, not the channel's: a channel's panic is caught where it pushes. Begin again from the records.
                tracing::error!(error = &error as &dyn std::error::Error, "a delivery broke down");
                self.pushing.clear();
                return self.begin_anew();
            }
        };
        for message in &returned.errands {
            self.pushing.remove(message);
            if let Some((place, waiting)) = self.held_back.remove(message) {
                self.backlog.insert(place, waiting);
            }
        }
        self.count(&returned);
        if epoch != self.epoch {
            self.read_up_to = [None; 2];
            return;
        }
        for (version, delivery) in returned.records {
            self.ledger.take(version, delivery);
        }
        for (place, waiting) in returned.again {
            self.backlog.insert(place, waiting);
        }
        if let Some((at, parcel)) = returned.digest_again {
            self.backlog.insert_digest(at, parcel);
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

    fn count(&self, returned: &Returned) {
        let failed = returned.pushes.iter().filter(|taken| !**taken).count() as u64;
        if let Some(metrics) = self.courier.handlers.vitals().metrics() {
            let channel = self.courier.outlet.channel.id().as_str();
            metrics.deliveries(channel, DeliveryResult::Delivered, returned.delivered);
            metrics.deliveries(channel, DeliveryResult::Failed, failed);
            metrics.deliveries(channel, DeliveryResult::GivenUp, returned.given_up);
            metrics.deliveries(channel, DeliveryResult::MaybeTwice, returned.maybe_twice);
        }
        self.status.send_modify(|status| {
            status.delivered += returned.delivered;
            status.failed_attempts += failed;
            status.given_up += returned.given_up;
            status.maybe_twice += returned.maybe_twice;
            status.skipped += returned.skipped;
            status.withdrawn += returned.withdrawn;
            if let Some((at, detail)) = returned.failure.clone() {
                status.last_failure = Some(Failure { at, detail });
            }
        });
    }

    fn tell(&self) {
        let now = ChannelStatus {
            waiting: self.backlog.len(),
            oldest_waiting: self.backlog.oldest(),
            in_flight: self.under_way.len(),
            throttled_until: self.throttled_until,
            breaker: self.breaker.state(self.under_way.len()),
            ..self.status.borrow().clone()
        };
        let vitals = self.courier.handlers.vitals();
        vitals.set(Reading::AlertsWaiting(now.channel.as_str()), now.waiting as f64);
        self.status.send_if_modified(|status| {
            let changed = *status != now;
            *status = now;
            changed
        });
    }
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

async fn next(follow: &mut Option<Follow>) -> Option<Stored> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

fn lease(courier: &Courier, branch: BranchId) -> Lease {
    let (channel, holder, lasts) =
        (courier.outlet.channel.id().clone(), courier.holder, courier.leases.lasts());
    Lease { channel, branch, holder, lasts }
}

/// Records that the channel begins, if it has not begun, or that it is served still.
///
/// A channel that was served by a build that kept its attempts in the log goes on where that one ended, if that is not
/// too long ago.
async fn begin(courier: &Courier, started_at: Option<Instant>) -> Result<(), cuiban_deliveries::BoxError> {
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
