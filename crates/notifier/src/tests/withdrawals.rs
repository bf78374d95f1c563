//! What was superseded (R40): withdrawn where it was told, and not told where it was not.

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::Clock;
use cuiban_deliveries::{Board, MessageId, send_again};
use cuiban_domain::ids::TicketId;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;
use uuid::Uuid;

use super::world::{World, at, config, memory, outlet, until, within_reason};
use crate::{Config, Notifier, PushError};

const ANSWERED: &str = "2026-11-20T10:00:00+08:00";
/// A day after the call: the answer is due.
const OVERDUE: &str = "2026-11-21T08:30:00+08:00";

async fn unanswered(world: &World) -> (TicketId, Uuid) {
    let ticket = world.register(Urgency::Normal).await;
    world.clock.advance_to(at(OVERDUE) + Duration::from_micros(1));
    let notice = world.expedite(ticket, ClockKind::Response).await;
    (ticket, notice)
}

/// A notice that the channel took before it was superseded.
async fn superseded_after_delivery(world: &World, notifier: &Notifier) -> Uuid {
    let (ticket, notice) = unanswered(world).await;
    until(notifier, "desk", |status| status.delivered == 1).await;
    world.answered(ticket, at(ANSWERED)).await;
    notice
}

#[tokio::test]
async fn r40_a_notice_that_was_delivered_is_withdrawn_under_an_id_of_its_own() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = superseded_after_delivery(&world, &notifier).await;
    let pushed = within_reason(channel.wait_for(2)).await;
    assert_eq!(pushed[1].id, MessageId::withdrawal(notice));
    assert!(pushed[1].text_zh.starts_with("【催办已撤回】报修 BX-202611-"), "{}", pushed[1].text_zh);
    until(&notifier, "desk", |status| status.delivered == 2 && status.waiting == 0).await;
    notifier.stop().await;
    // Neither is told again by the next one.
    let notifier = world.start("lost", vec![outlet(channel.clone())], config()).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(channel.pushed().len(), 3);
    notifier.stop().await;
}

#[tokio::test]
async fn r40_of_a_notice_that_is_still_queued_neither_goes() {
    let world = World::new().await;
    let channel = memory("desk");
    let quiet = serde_json::from_str(r#"{"breach": ["08:00-09:00"]}"#).unwrap();
    let config = Config { quiet, ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    let (ticket, notice) = unanswered(&world).await;
    until(&notifier, "desk", |status| status.waiting == 1).await;
    world.answered(ticket, at(ANSWERED)).await;
    until(&notifier, "desk", |status| status.waiting == 2).await;
    world.clock.advance_to(at("2026-11-21T09:00:00+08:00"));
    until(&notifier, "desk", |status| status.withdrawn == 2 && status.waiting == 0).await;
    assert!(channel.pushed().is_empty());
    assert_eq!(world.standing("desk", notice), Some(("withdrawn", 0)));
    notifier.stop().await;
}

#[tokio::test]
async fn r40_a_notice_that_may_have_arrived_is_withdrawn_and_tried_no_more() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::unanswered("no answer in time"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let (ticket, notice) = unanswered(&world).await;
    until(&notifier, "desk", |status| status.failed_attempts == 1 && status.in_flight == 0).await;
    world.answered(ticket, at(ANSWERED)).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    world.clock.advance_by(Duration::from_secs(60));
    until(&notifier, "desk", |status| status.withdrawn == 1 && status.waiting == 0).await;
    let ids: Vec<_> = channel.pushed().iter().map(|message| message.id).collect();
    assert_eq!(ids, [MessageId::of(notice), MessageId::withdrawal(notice)]);
    notifier.stop().await;
}

#[tokio::test]
async fn r40_a_notice_that_was_superseded_goes_to_nobody_though_somebody_asks_for_it() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = superseded_after_delivery(&world, &notifier).await;
    until(&notifier, "desk", |status| status.delivered == 2).await;
    let board = Board::start(Arc::new(world.deliveries.clone()));
    let told = within_reason(async {
        loop {
            match board.of_alert(notice).into_iter().find(|one| !one.delivery.message.withdrawn) {
                Some(told) => return told,
                None => tokio::task::yield_now().await,
            }
        }
    });
    let (told, message, now) = (told.await, MessageId::of(notice), world.clock.now());
    let asked = send_again(&world.deliveries, &told, message, now).await.unwrap();
    assert_eq!(asked.state.as_str(), "asked");
    until(&notifier, "desk", |status| status.withdrawn == 1).await;
    assert_eq!(channel.pushed().len(), 2);
    notifier.stop().await;
}
