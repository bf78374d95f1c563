//! Several channels, several notifiers, several starts.

use std::sync::Arc;

use async_trait::async_trait;
use cuiban_domain::ids::{BranchId, ChannelId};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::{TransferTicket, Urgency};
use tokio::sync::Semaphore;

use super::world::{DUE, World, at, channel_id, config, memory, outlet, until, within_reason};
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
    Arc::new(Stuck { id: channel_id("stuck"), let_go: Semaphore::new(0) })
}

#[tokio::test]
async fn a_stuck_receiver_holds_up_no_other_channel_and_at_most_its_own_limit_is_under_way() {
    let world = World::new().await;
    let (desk, stuck) = (memory("desk"), stuck());
    let delivery = DeliveryConfig { in_flight_max: 2, ..DeliveryConfig::default() };
    let outlets = vec![outlet(desk.clone()), Outlet { channel: stuck.clone(), delivery }];
    let notifier = world.start("outbox", outlets, config()).await;
    world.breaches(5, std::time::Duration::from_micros(1)).await;
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
    until(&notifier, "stuck", |status| status.failed_attempts == 1).await;
    assert_eq!(world.outcomes(notice), "f");
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
    assert_eq!(world.outcomes(notice), "");
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
    let mut outcomes: Vec<_> = world.outcomes(notice).chars().collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ['d', 'f']);
    notifier.stop().await;
}

#[tokio::test]
async fn two_notifiers_send_the_same_id_and_record_it_once() {
    let world = World::new().await;
    let (one, other) = (memory("desk"), memory("desk"));
    let first = world.start("one", vec![outlet(one.clone())], config()).await;
    let second = world.start_elsewhere("other", vec![outlet(other.clone())], config()).await;
    let notices = world.breaches(5, std::time::Duration::from_micros(1)).await;
    for notice in &notices {
        let mut progress = first.progress();
        within_reason(progress.wait_for(|_| world.outcomes(*notice) == "d")).await.unwrap();
    }
    first.stop().await;
    second.stop().await;
    for notice in notices {
        assert_eq!(world.outcomes(notice), "d");
        let pushed = [one.pushed(), other.pushed()].concat();
        let times = pushed.iter().filter(|message| message.id == notice).count();
        assert!((1..=2).contains(&times), "{times}");
    }
}

#[tokio::test]
async fn what_is_settled_is_not_sent_again_by_the_next_start_nor_from_an_outbox_that_was_lost() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.breaches(3, std::time::Duration::from_micros(1)).await;
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
async fn a_channel_that_is_added_gets_what_is_issued_since() {
    let world = World::new().await;
    let desk = memory("desk");
    let notifier = world.start("outbox", vec![outlet(desk.clone())], config()).await;
    world.breaches(3, std::time::Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 3).await;
    notifier.stop().await;
    world.clock.advance_to(at("2026-11-21T10:00:00+08:00"));
    let crm = memory("crm");
    let since = Some(at("2026-11-21T00:00:00+08:00"));
    let delivery = DeliveryConfig { since, ..DeliveryConfig::default() };
    let outlets = vec![outlet(desk.clone()), Outlet { channel: crm.clone(), delivery }];
    let notifier = world.start("lost", outlets, config()).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "crm", |status| status.delivered == 1).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!((crm.pushed().len(), crm.pushed()[0].topic), (1, "emergency"));
    notifier.stop().await;
}

#[tokio::test]
async fn an_outbox_that_was_damaged_is_built_anew_and_sends_nothing_again() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.breaches(3, std::time::Duration::from_micros(1)).await;
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
    world.clock.advance_to(at(DUE) + std::time::Duration::from_micros(1));
    world.expedite(stays, ClockKind::Dispatch).await;
    let notice = world.expedite(goes, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    let pushed = channel.pushed();
    assert_eq!((pushed.len(), pushed[0].id, pushed[0].branch.as_str()), (1, notice, "B1"));
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
    let refused = Notifier::start(world.handlers.clone(), log, world.dir.path(), outlets, config()).await;
    assert!(matches!(refused, Err(StartError::Config(InvalidConfig::SameId { .. }))));
}
