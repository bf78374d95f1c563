//! The loop that serves one channel: its own queue, its own limit of pushes at once, its own pace.
//!
//! A slow or failing receiver holds up nobody but the alerts of its own that are under way.

use std::time::Duration;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId};
use cuiban_projector::{Progress, ReadError};
use cuiban_vitals::{DeliveryResult, Reading, SILENT_MAX};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::Severity;
use crate::backlog::{Backlog, Rules, Waiting};
use crate::courier::{Courier, Returned};
use crate::outbox::{Lane, PendingAlert, Place};

/// How a channel stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// Which one.
    pub channel: ChannelId,
    /// How many alerts it has in mind that wait for their turn.
    pub waiting: usize,
    /// How many pushes are under way.
    pub in_flight: usize,
    /// How many alerts it has taken since the start.
    pub delivered: u64,
    /// How many attempts have failed since the start.
    pub failed_attempts: u64,
    /// How many alerts were given up since the start.
    pub given_up: u64,
    /// When an attempt last failed, and what was seen.
    pub last_failure: Option<Failure>,
    /// Until when the receiver wants to be left alone.
    pub throttled_until: Option<Instant>,
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
            in_flight: 0,
            delivered: 0,
            failed_attempts: 0,
            given_up: 0,
            last_failure: None,
            throttled_until: None,
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
    under_way: JoinSet<Returned>,
    throttled_until: Option<Instant>,
}

impl ChannelLoop {
    pub(crate) fn new(courier: Courier, status: watch::Sender<ChannelStatus>) -> Self {
        let config = &courier.config;
        let rules = Rules {
            digest_from: config.digest_from,
            digest_alerts_max: config.digest_alerts_max,
            late_gather: config.late_gather(),
            late_gather_max: config.late_gather_max(),
        };
        Self {
            progress: courier.outbox.progress(),
            backlog: Backlog::new(rules),
            courier,
            status,
            read_up_to: [None; 2],
            under_way: JoinSet::new(),
            throttled_until: None,
        }
    }

    /// Runs until `stop`; pushes that are under way then have the grace of the configuration.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let name = format!("notifier.channel.{}", self.courier.outlet.channel.id());
        let pulse = self.courier.handlers.vitals().pulse(&name, SILENT_MAX);
        loop {
            pulse.turn().await;
            let wakes_at = self.turn();
            let clock = self.courier.handlers.clock().clone();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(returned) = self.under_way.join_next() => self.take_back(returned),
                changed = self.progress.changed() => if changed.is_err() { break },
                () = async { clock.sleep_until(wakes_at.unwrap_or_default()).await }, if wakes_at.is_some() => {}
                () = pulse.due() => {}
            }
        }
        let grace = Duration::from_millis(self.courier.config.stop_grace_ms);
        let finish = async { while self.under_way.join_next().await.is_some() {} };
        // What is cut off here was not recorded, and is pushed again at the next start.
        let _ = tokio::time::timeout(grace, finish).await;
    }

    /// Reads what is new, starts what may go out; answers when to look again if nothing else happens.
    fn turn(&mut self) -> Option<Instant> {
        // An outbox that has not caught up calls pending what was settled long ago.
        let caught_up = self.progress.borrow_and_update().caught_up;
        let wakes_at = if caught_up { self.serve() } else { None };
        self.tell();
        wakes_at
    }

    fn serve(&mut self) -> Option<Instant> {
        let now = self.courier.handlers.clock().now();
        let reads_again_at = self.read().err().map(|error| {
            let channel = self.courier.outlet.channel.id();
            tracing::warn!(error = &error as &dyn std::error::Error, %channel, "the outbox cannot be read now");
            now + Duration::from_millis(self.courier.config.read_again_delay_ms)
        });
        self.throttled_until = self.throttled_until.filter(|until| *until > now);
        if self.throttled_until.is_some() {
            return [self.throttled_until, reads_again_at].into_iter().flatten().min();
        }
        let organisation = self.courier.handlers.directory().organisation();
        let (config, delivery) = (self.courier.config.clone(), &self.courier.outlet.delivery);
        let quiet = delivery.quiet.as_ref().unwrap_or(&config.quiet);
        let held_until = |branch: &BranchId, severity: Severity| {
            let zone = organisation.branch(branch).map(|view| view.calendar.calendar().zone());
            let zone = zone.unwrap_or_else(|_| organisation.company().calendar().zone());
            quiet.held_until(severity, now, zone)
        };
        while self.under_way.len() < delivery.in_flight_max.max(1) {
            let Some(parcel) = self.backlog.next(now, &held_until) else {
                return [self.backlog.wakes_at(), reads_again_at].into_iter().flatten().min();
            };
            self.under_way.spawn(self.courier.clone().deliver(parcel));
        }
        reads_again_at
    }

    /// Takes in what the outbox has beyond what was read, as long as there is room.
    fn read(&mut self) -> Result<(), ReadError> {
        let page = self.courier.config.page_rows_max.max(1);
        for (lane, read_up_to) in Lane::ALL.into_iter().zip(0..) {
            // Emergencies are few, and are read even when there is no room.
            while lane == Lane::Express || self.backlog.len() < self.courier.config.waiting_max.max(1) {
                let rows = self.courier.outbox.page(lane, self.read_up_to[read_up_to], page)?;
                self.read_up_to[read_up_to] =
                    rows.last().map(|row| row.place).or(self.read_up_to[read_up_to]);
                let is_last = rows.len() < page;
                rows.iter().for_each(|row| self.take_in(row));
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take_in(&mut self, row: &PendingAlert) {
        let outlet = &self.courier.outlet;
        let Some(progress) = row.unsettled_on(outlet.channel.id()) else { return };
        let after_the_last = |at| at + outlet.delivery.delay_after(progress.attempts);
        let waiting = Waiting {
            branch: row.alert.branch.clone(),
            severity: row.alert.severity(),
            late: row.alert.late,
            issued_at: row.alert.issued_at,
            attempts: progress.attempts,
            next_at: progress.last_attempt_at.map_or(row.alert.issued_at, after_the_last),
        };
        self.backlog.insert(row.place, waiting);
    }

    fn take_back(&mut self, returned: Result<Returned, tokio::task::JoinError>) {
        let returned = match returned {
            Ok(returned) => returned,
            Err(error) => {
                // Ours, not the channel's: a channel's panic is caught where it pushes. Begin again from the outbox.
                tracing::error!(error = &error as &dyn std::error::Error, "a delivery broke down");
                self.read_up_to = [None; 2];
                return;
            }
        };
        self.count(&returned);
        returned.settled.iter().for_each(|place| self.backlog.remove(*place));
        for (place, waiting) in returned.again {
            self.backlog.insert(place, waiting);
        }
        if let Some((at, parcel)) = returned.digest_again {
            self.backlog.insert_digest(at, parcel);
        }
        self.throttled_until = self.throttled_until.max(returned.throttled_until);
        self.status.send_modify(|status| {
            status.delivered += returned.delivered;
            status.failed_attempts += returned.failed;
            status.given_up += returned.given_up;
            if let Some((at, detail)) = returned.failure {
                status.last_failure = Some(Failure { at, detail });
            }
        });
    }

    fn count(&self, returned: &Returned) {
        let Some(metrics) = self.courier.handlers.vitals().metrics() else { return };
        let channel = self.courier.outlet.channel.id().as_str();
        metrics.deliveries(channel, DeliveryResult::Delivered, returned.delivered);
        metrics.deliveries(channel, DeliveryResult::Failed, returned.failed);
        metrics.deliveries(channel, DeliveryResult::GivenUp, returned.given_up);
    }

    fn tell(&self) {
        let (waiting, in_flight) = (self.backlog.len(), self.under_way.len());
        let channel = self.courier.outlet.channel.id().as_str();
        self.courier.handlers.vitals().set(Reading::AlertsWaiting(channel), waiting as f64);
        let throttled_until = self.throttled_until;
        self.status.send_if_modified(|status| {
            let before = (status.waiting, status.in_flight, status.throttled_until);
            (status.waiting, status.in_flight, status.throttled_until) =
                (waiting, in_flight, throttled_until);
            before != (waiting, in_flight, throttled_until)
        });
    }
}
