//! Attempts: how often, when, and what is recorded of them.

use std::time::Duration;

use cuiban_domain::alert::Outcome;
use cuiban_domain::text::Line;
use cuiban_domain::ticket::{CancelTicket, Urgency};

use super::world::{CUSTOMER, DUE, World, at, channel_id, config, memory, outlet, until, within_reason};
use crate::{Config, DeliveryConfig, Outlet, PushError};

#[tokio::test]
async fn r60_a_notice_goes_out_once_under_its_own_id_and_is_recorded() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let first = world.breach().await;
    let pushed = within_reason(channel.wait_for(1)).await;
    assert_eq!((pushed[0].id, pushed[0].topic, pushed[0].branch.as_str()), (first, "breach", "B0"));
    until(&notifier, "desk", |status| status.delivered == 1).await;
    let attempts = world.attempts(first);
    assert_eq!((attempts.len(), attempts[0].attempt), (1, 1));
    assert_eq!((&attempts[0].channel, &attempts[0].outcome), (&channel_id("desk"), &Outcome::Delivered));
    assert_eq!(attempts[0].envelope.correlation_id.0, first);
    assert_eq!(attempts[0].envelope.actor.as_str(), "notifier");
    assert_eq!((channel.pushed().len(), notifier.status().channels[0].waiting), (1, 0));
    notifier.stop().await;
}

#[tokio::test]
async fn r4_an_emergency_goes_out_with_its_registration() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let ticket = world.register(Urgency::Emergency).await;
    let pushed = within_reason(channel.wait_for(1)).await;
    let json: serde_json::Value = serde_json::from_slice(&pushed[0].json).unwrap();
    assert_eq!((pushed[0].topic, &json["type"]), ("emergency", &"emergency.raised".into()));
    assert_eq!(json["data"]["ticket"], ticket.to_string());
    assert_eq!(json["data"]["urgency"], "emergency");
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.outcomes(pushed[0].id), "d");
    notifier.stop().await;
}

#[tokio::test]
async fn r91_no_alert_tells_of_the_customer() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    world.register(Urgency::Emergency).await;
    world.breach().await;
    for message in within_reason(channel.wait_for(2)).await {
        let told =
            format!("{} {} {}", String::from_utf8_lossy(&message.json), message.text_zh, message.text_en);
        for secret in [CUSTOMER.0, CUSTOMER.1, CUSTOMER.2, "不制冷"] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    notifier.stop().await;
}

#[tokio::test]
async fn what_fails_is_tried_again_later_and_each_attempt_is_recorded() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::unavailable("HTTP 500")), Err(PushError::unavailable("HTTP 500"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    for (failed, delay_s) in [(1, 5), (2, 10)] {
        until(&notifier, "desk", |status| status.failed_attempts == failed && status.in_flight == 0).await;
        world.clock.advance_by(Duration::from_secs(delay_s) - Duration::from_micros(1));
        assert_eq!(channel.pushed().len() as u64, failed, "not before its time");
        world.clock.advance_by(Duration::from_micros(1));
    }
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.outcomes(notice), "ffd");
    let numbers: Vec<_> = world.attempts(notice).iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert!(channel.pushed().iter().all(|message| message.id == notice));
    assert_eq!(notifier.status().channels[0].last_failure.as_ref().unwrap().detail, "HTTP 500");
    notifier.stop().await;
}

#[tokio::test]
async fn what_the_receiver_refuses_is_given_up_soon_and_listed() {
    let world = World::new().await;
    let channel = memory("desk");
    let refused = || Err(PushError::Refused { detail: "HTTP 404".to_owned() });
    channel.answer_next([refused(), refused(), refused()]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    for failed in 1..=2 {
        until(&notifier, "desk", |status| status.failed_attempts == failed).await;
        world.clock.advance_by(Duration::from_secs(3600));
    }
    until(&notifier, "desk", |status| status.given_up == 1).await;
    assert_eq!(world.outcomes(notice), "ffg");
    let last = world.log.commits().last().unwrap().position;
    let mut progress = notifier.progress();
    within_reason(progress.wait_for(|progress| progress.position >= last)).await.unwrap();
    let given_up = notifier.given_up().unwrap();
    assert_eq!((given_up.len(), given_up[0].alert, given_up[0].attempts), (1, notice, 3));
    assert_eq!((given_up[0].reason.as_str(), &given_up[0].channel), ("HTTP 404", &channel_id("desk")));
    assert!(given_up[0].number.as_ref().unwrap().as_str().starts_with("BX-202611-"));
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_tried_once() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::Gone { detail: "HTTP 410".to_owned() })]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    until(&notifier, "desk", |status| status.given_up == 1).await;
    assert_eq!(world.outcomes(notice), "g");
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it_for_everything() {
    let world = World::new().await;
    let channel = memory("desk");
    let retry_after = Some(Duration::from_secs(60));
    channel.answer_next([Err(PushError::Unavailable { detail: "HTTP 429".to_owned(), retry_after })]);
    let delivery = DeliveryConfig { in_flight_max: 1, ..DeliveryConfig::default() };
    let notifier = world.start("outbox", vec![Outlet { channel: channel.clone(), delivery }], config()).await;
    let first = world.breach().await;
    until(&notifier, "desk", |status| status.throttled_until.is_some()).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "desk", |status| status.waiting == 2).await;
    assert_eq!(channel.pushed().len(), 1);
    world.clock.advance_by(Duration::from_secs(60));
    until(&notifier, "desk", |status| status.delivered == 2).await;
    let emergency = channel.pushed().into_iter().find(|message| message.topic == "emergency").unwrap().id;
    assert_eq!((world.outcomes(first), world.outcomes(emergency)), ("fd".to_owned(), "d".to_owned()));
    notifier.stop().await;
}

#[tokio::test]
async fn a_crash_between_push_and_record_pushes_the_same_id_again_and_records_it_once() {
    use std::sync::atomic::Ordering;
    let world = World::new().await;
    let channel = memory("desk");
    world.log.refuses_alerts.store(true, Ordering::SeqCst);
    let crashing =
        world.start("outbox", vec![outlet(channel.clone())], Config { stop_grace_ms: 1, ..config() }).await;
    let notice = world.breach().await;
    within_reason(channel.wait_for(1)).await;
    crashing.stop().await;
    assert_eq!(world.outcomes(notice), "");
    world.log.refuses_alerts.store(false, Ordering::SeqCst);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    let ids: Vec<_> = channel.pushed().iter().map(|message| message.id).collect();
    assert_eq!((ids, world.outcomes(notice)), (vec![notice, notice], "d".to_owned()));
    notifier.stop().await;
}

#[tokio::test]
async fn an_attempt_is_recorded_as_soon_as_the_log_is_back_and_not_pushed_again() {
    use std::sync::atomic::Ordering;
    let world = World::new().await;
    let channel = memory("desk");
    world.log.refuses_alerts.store(true, Ordering::SeqCst);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    within_reason(channel.wait_for(1)).await;
    world.log.refuses_alerts.store(false, Ordering::SeqCst);
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!((channel.pushed().len(), world.outcomes(notice)), (1, "d".to_owned()));
    notifier.stop().await;
}

#[tokio::test]
async fn the_next_start_goes_on_where_the_schedule_was() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::unavailable("away"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    until(&notifier, "desk", |status| status.failed_attempts == 1).await;
    notifier.stop().await;
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.waiting == 1).await;
    assert_eq!(channel.pushed().len(), 1, "five seconds have not passed");
    world.clock.advance_by(Duration::from_secs(5));
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.outcomes(notice), "fd");
    notifier.stop().await;
}

#[tokio::test]
async fn r60_a_notice_in_the_commit_that_ends_its_ticket_goes_out() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let ticket = world.register(Urgency::Normal).await;
    world.clock.advance_to(at(DUE) + Duration::from_secs(1));
    // Nobody watched: the cancelling itself shows that the limit is broken, and urges.
    world.ticket(ticket, CancelTicket { reason: Line::new("客户不修了").unwrap() }).await;
    let pushed = within_reason(channel.wait_for(1)).await;
    assert_eq!((pushed.len(), pushed[0].topic), (1, "breach"));
    until(&notifier, "desk", |status| status.delivered == 1).await;
    notifier.stop().await;
}
