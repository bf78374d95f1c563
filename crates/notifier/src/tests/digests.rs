//! Backfill (R64): what was recorded late goes out in order, and as one digest when it is much.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cuiban_deliveries::DeliveryState;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;

use super::world::{World, config, memory, outlet, until, within_reason};
use crate::{Config, PushError};

const LATE: Duration = Duration::from_secs(3 * 3600);

#[tokio::test]
async fn r64_a_backfill_is_one_digest_for_each_channel_and_one_record() {
    let world = World::new().await;
    let notices = world.breaches(12, LATE).await;
    let (desk, crm) = (memory("desk"), memory("crm"));
    let outlets = vec![outlet(desk.clone()), outlet(crm.clone())];
    let notifier = world.start("outbox", outlets, config()).await;
    until(&notifier, "desk", |status| status.delivered == 12).await;
    until(&notifier, "crm", |status| status.delivered == 12).await;
    for channel in [&desk, &crm] {
        let pushed = channel.pushed();
        assert_eq!((pushed.len(), pushed[0].topic, &pushed[0].alerts), (1, "digest", &notices));
    }
    let digest = desk.pushed()[0].id;
    assert_eq!(crm.pushed()[0].id, digest);
    for channel in ["desk", "crm"] {
        let delivery = world.delivery(channel, digest).unwrap();
        assert_eq!((delivery.state, delivery.alerts), (DeliveryState::Delivered, notices.clone()));
    }
    notifier.stop().await;
}

#[tokio::test]
async fn r64_a_few_late_notices_go_out_one_by_one_in_order() {
    let world = World::new().await;
    let notices = world.breaches(9, LATE).await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 9).await;
    let pushed = channel.pushed();
    assert_eq!(pushed.iter().map(|message| message.id.id).collect::<Vec<_>>(), notices);
    assert!(pushed.iter().all(|message| message.text_zh.contains("补发")));
    notifier.stop().await;
}

#[tokio::test]
async fn r64_what_was_recorded_in_time_is_never_part_of_a_digest() {
    let world = World::new().await;
    world.breaches(12, Duration::from_secs(60)).await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 12).await;
    assert!(channel.pushed().iter().all(|message| message.topic == "breach"));
    notifier.stop().await;
}

#[tokio::test]
async fn r64_a_backfill_that_comes_in_while_running_is_gathered() {
    let world = World::new().await;
    let channel = memory("desk");
    let config = Config { late_gather_ms: 2_000, ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    let notices = world.breaches(12, LATE).await;
    until(&notifier, "desk", |status| (status.waiting, status.in_flight) == (12, 0)).await;
    assert!(channel.pushed().is_empty());
    world.clock.advance_by(Duration::from_secs(2));
    until(&notifier, "desk", |status| status.delivered == 12).await;
    assert_eq!((channel.pushed().len(), &channel.pushed()[0].alerts), (1, &notices));
    notifier.stop().await;
}

#[tokio::test]
async fn a_digest_that_fails_goes_out_again_under_the_same_id() {
    let world = World::new().await;
    let notices = world.breaches(12, LATE).await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::unavailable("away"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.failed_attempts == 1 && status.in_flight == 0).await;
    world.clock.advance_by(Duration::from_secs(5));
    until(&notifier, "desk", |status| status.delivered == 12).await;
    let pushed = channel.pushed();
    assert_eq!((pushed.len(), pushed[0].id), (2, pushed[1].id));
    assert_eq!((&pushed[0].alerts, &pushed[1].alerts), (&notices, &notices));
    notifier.stop().await;
}

#[tokio::test]
async fn an_alert_that_was_tried_by_itself_goes_by_itself_and_not_in_a_digest_too() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_always(Some(PushError::unavailable("away")));
    let mut later = Vec::new();
    for _ in 0..11 {
        later.push(world.register(Urgency::Normal).await);
    }
    let first = world.breaches(1, LATE).await;
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.failed_attempts > 0 && status.in_flight == 0).await;
    notifier.stop().await;
    let tried = channel.pushed().len();
    for ticket in later {
        world.expedite(ticket, ClockKind::Dispatch).await;
    }
    channel.answer_always(None);
    world.clock.advance_by(Duration::from_secs(60));
    let notifier = world.start("second", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 12 && status.waiting == 0).await;
    notifier.stop().await;
    let told: Vec<_> = channel.pushed()[tried..].iter().map(|message| message.alerts.len()).collect();
    assert_eq!(told, [1, 11], "the first by itself, the others together");
    assert_eq!(channel.pushed()[tried].alerts, first);
    // A notifier that knows the records alone finds nothing left to push.
    let other = world.start("third", vec![outlet(channel.clone())], config()).await;
    world.register(Urgency::Emergency).await;
    until(&other, "desk", |status| status.delivered == 1 && status.waiting == 0).await;
    assert_eq!(channel.pushed().len(), tried + 3);
    other.stop().await;
}

#[tokio::test]
async fn a_digest_that_was_in_flight_at_a_death_goes_out_again_as_it_was_although_more_has_come() {
    let world = World::new().await;
    let channel = memory("desk");
    world.deliveries.refuses_outcomes.store(true, Ordering::SeqCst);
    let mortal = Config { stop_grace_ms: 1, ..config() };
    let more = [world.register(Urgency::Normal).await, world.register(Urgency::Normal).await];
    let notices = world.breaches(12, LATE).await;
    let crashing = world.start("outbox", vec![outlet(channel.clone())], mortal).await;
    within_reason(channel.wait_for(1)).await;
    crashing.stop().await;
    let more = [
        world.expedite(more[0], ClockKind::Dispatch).await,
        world.expedite(more[1], ClockKind::Dispatch).await,
    ];
    world.deliveries.refuses_outcomes.store(false, Ordering::SeqCst);
    world.clock.advance_by(Duration::from_secs(30));
    let notifier = world.start("other", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 14 && status.waiting == 0).await;
    let pushed = channel.pushed();
    let again: Vec<_> = pushed[1..].iter().filter(|message| message.topic == "digest").collect();
    assert_eq!((again.len(), again[0].id, &again[0].alerts), (1, pushed[0].id, &notices));
    assert!(again[0].maybe_twice && again[0].text_zh.ends_with("（可能重复）"));
    let singles: Vec<_> = pushed[1..].iter().filter(|message| message.topic != "digest").collect();
    assert_eq!(singles.iter().map(|message| message.id.id).collect::<Vec<_>>(), more);
    notifier.stop().await;
}

#[tokio::test]
async fn an_alert_that_was_asked_for_out_of_a_digest_goes_by_itself() {
    let world = World::new().await;
    let channel = memory("desk");
    let notices = world.breaches(12, LATE).await;
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 12).await;
    let board = cuiban_deliveries::Board::start(std::sync::Arc::new(world.deliveries.clone()));
    let told = within_reason(async {
        loop {
            match board.of_alert(notices[3]).into_iter().next() {
                Some(standing) if standing.delivery.state.is_settled() => break standing,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let (message, now) = (cuiban_deliveries::MessageId::of(notices[3]), told.delivery.at);
    cuiban_deliveries::send_again(&world.deliveries, &told, message, now).await.unwrap();
    let pushed = within_reason(channel.wait_for(2)).await;
    assert_eq!((pushed[1].id, &pushed[1].alerts), (message, &vec![notices[3]]));
    notifier.stop().await;
}
