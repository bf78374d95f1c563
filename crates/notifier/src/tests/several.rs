//! Several channels, several notifiers, several starts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use cuiban_deliveries::{Deliveries, Delivery, DeliveryState, MessageId, Record};
use cuiban_domain::ids::{BranchId, ChannelId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::{TransferTicket, Urgency};
use tokio::sync::Semaphore;

use super::world::{DUE, World, at, branch, channel_id, config, memory, outlet, until, within_reason};
use crate::{
    Channel, Config, DeliveryConfig, InvalidConfig, Message, Notifier, Outlet, PushError, StartError,
};

/// A receiver that takes the connection and then says nothing, until it is let go on.
#[derive(Debug)]
struct Stuck {
    id: ChannelId,
    let_go: Semaphore,
}

#[async_trait]
impl Channel for Stuck {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    async fn push(&self, _: &Message) -> Result<(), PushError> {
        self.let_go.acquire().await.unwrap().forget();
        Ok(())
    }
}

fn stuck() -> Arc<Stuck> {
    stuck_as("stuck")
}

fn stuck_as(id: &str) -> Arc<Stuck> {
    Arc::new(Stuck { id: channel_id(id), let_go: Semaphore::new(0) })
}

#[tokio::test]
async fn a_stuck_receiver_holds_up_no_other_channel_and_at_most_its_own_limit_is_under_way() {
    let world = World::new().await;
    let (desk, stuck) = (memory("desk"), stuck());
    let delivery = DeliveryConfig { in_flight_max: 2, ..DeliveryConfig::default() };
    let outlets = vec![outlet(desk.clone()), Outlet { channel: stuck.clone(), delivery }];
    let notifier = world.start("outbox", outlets, config()).await;
    world.breaches(5, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 5).await;
    until(&notifier, "stuck", |status| (status.in_flight, status.waiting) == (2, 3)).await;
    stuck.let_go.add_permits(5);
    until(&notifier, "stuck", |status| status.delivered == 5).await;
    notifier.stop().await;
}

#[tokio::test]
async fn a_push_that_takes_too_long_has_failed() {
    let world = World::new().await;
    let delivery = DeliveryConfig { push_timeout_ms: 1, ..DeliveryConfig::default() };
    let notifier = world.start("outbox", vec![Outlet { channel: stuck(), delivery }], config()).await;
    let notice = world.breach().await;
    until(&notifier, "stuck", |status| status.failed_attempts == 1 && status.in_flight == 0).await;
    assert_eq!(world.standing("stuck", notice), Some(("failed", 1)));
    notifier.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_pushes_under_way_no_longer_than_its_grace() {
    let world = World::new().await;
    let config = Config { stop_grace_ms: 1, ..config() };
    let notifier = world.start("outbox", vec![outlet(stuck())], config).await;
    let notice = world.breach().await;
    until(&notifier, "stuck", |status| status.in_flight == 1).await;
    within_reason(notifier.stop()).await;
    assert_eq!(world.standing("stuck", notice), Some(("in_flight", 1)));
}

#[derive(Debug)]
struct Panicking(ChannelId);

#[async_trait]
impl Channel for Panicking {
    fn id(&self) -> &ChannelId {
        &self.0
    }

    async fn push(&self, _: &Message) -> Result<(), PushError> {
        panic!("a defect of the channel")
    }
}

#[tokio::test]
async fn a_channel_that_panics_has_failed_and_stops_nothing() {
    let world = World::new().await;
    let desk = memory("desk");
    let outlets = vec![outlet(Arc::new(Panicking(channel_id("bad")))), outlet(desk.clone())];
    let notifier = world.start("outbox", outlets, config()).await;
    let notice = world.breach().await;
    until(&notifier, "bad", |status| status.failed_attempts == 1).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.standing("desk", notice), Some(("delivered", 1)));
    notifier.stop().await;
}

/// How often each alert was told through these channels, by whatever message.
fn times(channels: &[&Arc<crate::MemoryChannel>], alerts: &[uuid::Uuid]) -> Vec<usize> {
    let pushed: Vec<_> = channels.iter().flat_map(|channel| channel.pushed()).collect();
    let told = |alert: &uuid::Uuid| pushed.iter().filter(|message| message.alerts.contains(alert)).count();
    alerts.iter().map(told).collect()
}

async fn all_settled(world: &World, notifiers: [&Notifier; 2], alerts: usize) {
    let settled = || {
        let deliveries = world.all_deliveries();
        let told: usize = deliveries
            .iter()
            .filter(|delivery| delivery.state.as_str() == "delivered")
            .map(|delivery| delivery.alerts.len())
            .sum();
        told == alerts
    };
    within_reason(async {
        while !settled() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for notifier in notifiers {
        until(notifier, "desk", |status| status.in_flight == 0 && status.waiting == 0).await;
    }
}

#[tokio::test]
async fn two_notifiers_without_faults_send_each_alert_once() {
    let world = World::new().await;
    let (one, other) = (memory("desk"), memory("desk"));
    let first = world.start("one", vec![outlet(one.clone())], config()).await;
    let second = world.start_elsewhere("other", vec![outlet(other.clone())], config()).await;
    let notices = world.breaches(40, Duration::from_micros(1)).await;
    all_settled(&world, [&first, &second], 40).await;
    assert_eq!(times(&[&one, &other], &notices), vec![1; 40]);
    first.stop().await;
    second.stop().await;
    assert_eq!(times(&[&one, &other], &notices), vec![1; 40]);
}

#[tokio::test]
async fn two_notifiers_without_faults_send_one_digest() {
    let world = World::new().await;
    let (one, other) = (memory("desk"), memory("desk"));
    // Both begin before there is anything, so that neither has an advantage.
    let gather = Config { late_gather_ms: 1_000, ..config() };
    let first = world.start("one", vec![outlet(one.clone())], gather.clone()).await;
    let second = world.start_elsewhere("other", vec![outlet(other.clone())], gather).await;
    let notices = world.breaches(30, Duration::from_secs(3 * 3600)).await;
    for notifier in [&first, &second] {
        until(notifier, "desk", |status| status.waiting == 30).await;
    }
    world.clock.advance_by(Duration::from_secs(1));
    all_settled(&world, [&first, &second], 30).await;
    assert_eq!(times(&[&one, &other], &notices), vec![1; 30]);
    assert_eq!(one.pushed().len() + other.pushed().len(), 1);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn after_a_kill_the_other_notifier_sends_the_rest_and_again_only_what_was_in_flight() {
    let world = World::new().await;
    let (hangs, desk) = (stuck_as("desk"), memory("desk"));
    let delivery = DeliveryConfig { in_flight_max: 3, ..DeliveryConfig::default() };
    let dying = world.start("one", vec![Outlet { channel: hangs.clone(), delivery }], config()).await;
    let notices = world.breaches(10, Duration::from_micros(1)).await;
    until(&dying, "desk", |status| (status.in_flight, status.waiting) == (3, 7)).await;
    within_reason(async {
        while world.all_deliveries().iter().filter(|one| one.state.as_str() == "in_flight").count() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(dying);
    let config = Config { lease_ms: 300, ..config() };
    let heir = world.start_elsewhere("other", vec![outlet(desk.clone())], config).await;
    until(&heir, "desk", |status| status.waiting == 10).await;
    assert!(desk.pushed().is_empty(), "another one's lease");
    world.clock.advance_by(Duration::from_secs(30));
    until(&heir, "desk", |status| status.delivered == 10).await;
    let again: Vec<_> = desk.pushed().into_iter().filter(|message| message.maybe_twice).collect();
    assert_eq!(again.iter().map(|message| message.id.id).collect::<Vec<_>>(), notices[..3]);
    assert_eq!((heir.status().channels[0].maybe_twice, desk.pushed().len()), (3, 10));
    heir.stop().await;
}

#[tokio::test]
async fn what_is_settled_is_not_sent_again_by_the_next_start_nor_from_an_outbox_that_was_lost() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.breaches(3, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    notifier.stop().await;
    for store in ["outbox", "lost"] {
        let before = channel.pushed().len();
        let notifier = world.start(store, vec![outlet(channel.clone())], config()).await;
        let emergency = world.register(Urgency::Emergency).await;
        until(&notifier, "desk", |status| status.delivered == 1).await;
        let pushed = channel.pushed();
        assert_eq!(pushed.len(), before + 1, "{store}");
        assert!(String::from_utf8_lossy(&pushed[before].json).contains(&emergency.to_string()));
        notifier.stop().await;
    }
}

#[tokio::test]
async fn a_channel_that_is_added_begins_at_its_first_start_and_lists_what_it_did_not_send() {
    let world = World::new().await;
    let desk = memory("desk");
    let notifier = world.start("outbox", vec![outlet(desk.clone())], config()).await;
    let notices = world.breaches(3, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    notifier.stop().await;
    world.clock.advance_to(at("2026-11-21T10:00:00+08:00"));
    let crm = memory("crm");
    let notifier = world.start("outbox", vec![outlet(desk.clone()), outlet(crm.clone())], config()).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "crm", |status| status.delivered == 1 && status.skipped == 3).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!((crm.pushed().len(), crm.pushed()[0].topic), (1, "emergency"));
    for notice in notices {
        assert_eq!(world.standing("crm", notice), Some(("skipped", 0)));
    }
    notifier.stop().await;
}

#[tokio::test]
async fn a_channel_that_is_added_with_an_instant_gets_what_was_issued_since() {
    let world = World::new().await;
    world.breaches(3, Duration::from_micros(1)).await;
    world.clock.advance_to(at("2026-11-21T10:00:00+08:00"));
    let since = |text: &str| DeliveryConfig { since: Some(at(text)), ..DeliveryConfig::default() };
    let (all, none) = (memory("all"), memory("none"));
    let outlets = vec![
        Outlet { channel: all.clone(), delivery: since("2026-11-20T00:00:00+08:00") },
        Outlet { channel: none.clone(), delivery: since("2026-11-21T00:00:00+08:00") },
    ];
    let notifier = world.start("outbox", outlets, config()).await;
    until(&notifier, "all", |status| status.delivered == 3).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "none", |status| status.delivered == 1).await;
    assert_eq!((none.pushed().len(), notifier.status().channels[1].skipped), (1, 0));
    notifier.stop().await;
}

#[tokio::test]
async fn what_a_lost_record_held_counts_as_settled() {
    let mut world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notices = world.breaches(3, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    notifier.stop().await;
    let now = world.clock.clone();
    world.clock.advance_by(Duration::from_secs(1));
    world.deliveries.inner =
        cuiban_deliveries::MemoryDeliveries::new(move || cuiban_command_handler::Clock::now(&*now));
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.skipped == 3).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(times(&[&channel], &notices), [1, 1, 1]);
    notifier.stop().await;
}

#[tokio::test]
async fn what_a_build_before_recorded_in_the_log_is_settled_and_what_it_left_is_sent() {
    use cuiban_domain::alert::{Outcome, RecordAttempt};
    let world = World::new().await;
    let notices = world.breaches(3, Duration::from_micros(1)).await;
    let attempt = RecordAttempt {
        branch: super::world::branch(),
        channel: channel_id("desk"),
        outcome: Outcome::Delivered,
    };
    world.handlers.alert(&notices[0].to_string(), &attempt, &world.meta()).await.unwrap();
    // The new build is installed; what was issued meanwhile waits for it.
    world.clock.advance_by(Duration::from_secs(600));
    let late = world.register(Urgency::Emergency).await;
    world.clock.advance_by(Duration::from_secs(600));
    let desk = memory("desk");
    let notifier = world.start("outbox", vec![outlet(desk.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    assert_eq!(times(&[&desk], &notices), [0, 1, 1]);
    assert!(
        String::from_utf8_lossy(&desk.pushed()[0].json).contains(&late.to_string()),
        "an emergency is first"
    );
    notifier.stop().await;
}

#[tokio::test]
async fn an_outbox_that_was_damaged_is_built_anew_and_sends_nothing_again() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.breaches(3, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    notifier.stop().await;
    damage(&world.dir.path().join("outbox"));
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!((channel.pushed().len(), notifier.status().quarantined), (4, 1));
    notifier.stop().await;
}

/// Overwrites the middle of every file that has one.
fn damage(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            damage(&entry);
        } else {
            let mut bytes = std::fs::read(&entry).unwrap();
            let middle = bytes.len() / 4..bytes.len() / 2;
            bytes[middle].fill(0xa5);
            std::fs::write(&entry, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_branchs_notifier_sends_its_own_alerts_and_those_of_tickets_that_came_to_it() {
    let world = World::new().await;
    let wuhan = BranchId::new("B1").unwrap();
    world.open(wuhan.clone(), "武汉二部").await;
    let channel = memory("desk");
    let config = Config { branch: Some(wuhan.clone()), ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    let (stays, goes) = (world.register(Urgency::Normal).await, world.register(Urgency::Normal).await);
    let reason = "客户搬迁".parse().unwrap();
    let transfer = TransferTicket { to: wuhan, area: None, district: None, reason };
    world.ticket(goes, transfer).await;
    world.clock.advance_to(at(DUE) + Duration::from_micros(1));
    world.expedite(stays, ClockKind::Dispatch).await;
    let notice = world.expedite(goes, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    let pushed = channel.pushed();
    assert_eq!((pushed.len(), pushed[0].id.id, pushed[0].branch.as_str()), (1, notice, "B1"));
    assert!(
        pushed[0].text_zh.contains("BX-202611-") && pushed[0].text_zh.contains("武汉二部"),
        "{}",
        pushed[0].text_zh
    );
    notifier.stop().await;
}

#[tokio::test]
async fn refuses_two_channels_with_one_id() {
    let world = World::new().await;
    let outlets = vec![outlet(memory("desk")), outlet(memory("desk"))];
    let log = Arc::new(world.log.clone());
    let deliveries = Arc::new(world.deliveries.clone());
    let handlers = world.handlers.clone();
    let refused = Notifier::start(handlers, log, deliveries, world.dir.path(), outlets, config()).await;
    assert!(matches!(refused, Err(StartError::Config(InvalidConfig::SameId { .. }))));
}

#[tokio::test]
async fn what_was_delivered_while_the_record_was_lost_is_recorded_in_the_other() {
    let world = World::new().await;
    let stuck = stuck();
    let notifier = world.start("outbox", vec![outlet(stuck.clone())], config()).await;
    let notice = world.breach().await;
    until(&notifier, "stuck", |status| status.in_flight == 1).await;
    world.deliveries.inner.lose();
    until(&notifier, "stuck", |status| status.record_lost).await;
    stuck.let_go.add_permits(1);
    until(&notifier, "stuck", |status| status.delivered == 1 && status.waiting == 0).await;
    assert_eq!(world.standing("stuck", notice), Some(("delivered", 1)));
    notifier.stop().await;
}

#[tokio::test]
async fn what_another_delivers_while_it_cannot_be_marked_here_does_not_go_from_here_too() {
    let world = World::new().await;
    let channel = memory("desk");
    world.deliveries.holds_marks.store(true, Ordering::SeqCst);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    until(&notifier, "desk", |status| status.in_flight == 1).await;
    let delivered = Delivery {
        channel: channel_id("desk"),
        message: MessageId::of(notice),
        branch: branch(),
        alerts: vec![notice],
        number: None,
        issued_at: at(DUE),
        state: DeliveryState::Delivered,
        attempts: 1,
        maybe_twice: 0,
        asked_at: None,
        at: at(DUE),
    };
    world.deliveries.inner.put(&Record::Delivery(delivered), None).await.unwrap();
    // It is heard while the mark is out; whichever comes first, nothing may go from here.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.deliveries.holds_marks.store(false, Ordering::SeqCst);
    world.deliveries.refusals.add_permits(1);
    until(&notifier, "desk", |status| status.in_flight == 0).await;
    world.clock.advance_by(Duration::from_secs(60));
    until(&notifier, "desk", |status| status.waiting == 0 && status.in_flight == 0).await;
    assert!(channel.pushed().is_empty());
    assert_eq!(world.standing("desk", notice), Some(("delivered", 1)));
    notifier.stop().await;
}
