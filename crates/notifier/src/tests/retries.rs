//! Attempts: how often, when, and what is recorded of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cuiban_deliveries::{Board, DeliveryState, MessageId, send_again};
use cuiban_domain::ids::BranchId;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::text::Line;
use cuiban_domain::ticket::{CancelTicket, TransferTicket, Urgency};
use cuiban_event_log::EventLog;

use super::world::{CUSTOMER, DUE, World, at, branch, config, memory, outlet, until, within_reason};
use crate::{BreakerState, Config, DeliveryConfig, Notifier, Outlet, PushError};

fn unavailable() -> PushError {
    PushError::unavailable("HTTP 500")
}

fn refused(code: u16) -> PushError {
    PushError::Refused { detail: format!("HTTP {code}") }
}

#[tokio::test]
async fn r60_a_notice_goes_out_once_under_its_own_id_and_no_commit_tells_of_it() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let first = world.breach().await;
    let commits = world.commits().len();
    let pushed = within_reason(channel.wait_for(1)).await;
    assert_eq!(
        (pushed[0].id, pushed[0].topic, pushed[0].branch.as_str()),
        (MessageId::of(first), "breach", "B0")
    );
    until(&notifier, "desk", |status| status.delivered == 1 && status.in_flight == 0).await;
    let delivery = world.delivery("desk", MessageId::of(first)).unwrap();
    assert_eq!((&delivery.state, delivery.attempts, delivery.maybe_twice), (&DeliveryState::Delivered, 1, 0));
    assert_eq!((delivery.alerts, delivery.branch.as_str()), (vec![first], "B0"));
    assert!(delivery.number.unwrap().as_str().starts_with("BX-202611-"));
    assert_eq!((channel.pushed().len(), notifier.status().channels[0].waiting), (1, 0));
    notifier.stop().await;
    assert_eq!(world.commits().len(), commits);
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
async fn what_fails_is_tried_again_after_pauses_that_double() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(unavailable()), Err(unavailable())]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    for (failed, delay_s) in [(1, 1), (2, 2)] {
        until(&notifier, "desk", |status| status.failed_attempts == failed && status.in_flight == 0).await;
        assert_eq!(world.standing("desk", notice), Some(("failed", u32::try_from(failed).unwrap())));
        world.clock.advance_by(Duration::from_secs(delay_s) - Duration::from_micros(1));
        assert_eq!(channel.pushed().len() as u64, failed, "not before its time");
        world.clock.advance_by(Duration::from_micros(1));
    }
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.standing("desk", notice), Some(("delivered", 3)));
    assert!(channel.pushed().iter().all(|message| message.id == MessageId::of(notice)));
    assert!(channel.pushed().iter().all(|message| !message.maybe_twice), "an answer came each time");
    assert_eq!(notifier.status().channels[0].last_failure.as_ref().unwrap().detail, "HTTP 500");
    notifier.stop().await;
}

/// A receiver that is away for an hour in this way has everything, in order, within a minute of its return, and the log
/// has not grown.
async fn away_for_an_hour(answer: PushError, maybe_twice: bool) {
    let world = World::new().await;
    let channel = memory("desk");
    let delivery = DeliveryConfig { in_flight_max: 1, ..DeliveryConfig::default() };
    let notifier = world.start("outbox", vec![Outlet { channel: channel.clone(), delivery }], config()).await;
    channel.answer_always(Some(answer));
    let notices = world.breaches(20, Duration::from_micros(1)).await;
    let commits = world.commits().len();
    let mut tried = 0;
    // Longer than any pause, so that each step is one attempt, or the last of those before the breaker opened.
    for _ in 0..180 {
        let step = |status: &crate::ChannelStatus| {
            status.failed_attempts > tried && status.in_flight == 0 && status.breaker == BreakerState::Open
        };
        until(&notifier, "desk", step).await;
        tried = notifier.status().channels[0].failed_attempts;
        world.clock.advance_by(Duration::from_secs(20));
    }
    until(&notifier, "desk", |status| status.failed_attempts > tried && status.in_flight == 0).await;
    let before = channel.pushed().len();
    assert!(before < 200, "one asks for all: {before}");
    assert_eq!(notifier.status().channels[0].given_up, 0);
    channel.answer_always(None);
    world.clock.advance_by(Duration::from_secs(20));
    until(&notifier, "desk", |status| status.delivered == 20 && status.waiting == 0).await;
    let taken = channel.pushed().split_off(before);
    let mut ids: Vec<_> = taken.iter().map(|message| message.id.id).collect();
    // The one that asked was first, whichever it was.
    let asked = ids.remove(0);
    let others: Vec<_> = notices.iter().copied().filter(|notice| *notice != asked).collect();
    assert_eq!(ids, others);
    assert_eq!(taken.iter().any(|message| message.maybe_twice), maybe_twice);
    assert_eq!(world.commits().len(), commits, "a failure is no commit");
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_answers_500_for_an_hour_has_everything_when_it_is_back() {
    away_for_an_hour(unavailable(), false).await;
}

#[tokio::test]
async fn a_receiver_that_answers_404_for_an_hour_has_everything_when_it_is_back() {
    away_for_an_hour(refused(404), false).await;
}

#[tokio::test]
async fn a_receiver_that_answers_410_for_an_hour_has_everything_when_it_is_back() {
    away_for_an_hour(refused(410), false).await;
}

#[tokio::test]
async fn a_receiver_that_is_silent_for_an_hour_has_everything_when_it_is_back_and_hears_that_it_may_be_twice()
{
    away_for_an_hour(PushError::unanswered("no answer in time"), true).await;
}

#[tokio::test]
async fn one_message_that_is_refused_for_ever_holds_up_no_other() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(refused(413))]);
    let delivery = DeliveryConfig { in_flight_max: 1, ..DeliveryConfig::default() };
    let notifier = world.start("outbox", vec![Outlet { channel: channel.clone(), delivery }], config()).await;
    world.breaches(5, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 4).await;
    assert_eq!(notifier.status().channels[0].breaker, BreakerState::Closed);
    notifier.stop().await;
}

#[tokio::test]
async fn an_alert_is_given_up_by_its_age_alone_listed_and_sent_again_by_hand() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_always(Some(refused(404)));
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    let mut tried = 0;
    for _ in 0..30 {
        until(&notifier, "desk", |status| status.failed_attempts > tried && status.in_flight == 0).await;
        tried = notifier.status().channels[0].failed_attempts;
        world.clock.advance_by(Duration::from_secs(2 * 3600));
    }
    until(&notifier, "desk", |status| status.failed_attempts > tried && status.in_flight == 0).await;
    assert_eq!(notifier.status().channels[0].given_up, 0, "after {tried} attempts in 60 hours");
    world.clock.advance_by(Duration::from_secs(12 * 3600));
    until(&notifier, "desk", |status| status.given_up == 1).await;
    let attempts = channel.pushed().len();
    assert_eq!(world.standing("desk", notice), Some(("given_up", u32::try_from(attempts).unwrap())));
    assert_eq!(world.delivery("desk", MessageId::of(notice)).unwrap().state.reason(), Some("HTTP 404"));

    channel.answer_always(None);
    let board = Board::start(std::sync::Arc::new(world.deliveries.clone()));
    let listed = within_reason(async {
        loop {
            let listed = board.list(None, 10, |delivery| delivery.state.as_str() == "given_up");
            if !listed.is_empty() {
                break listed;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    use cuiban_command_handler::Clock;
    let asked =
        send_again(&world.deliveries, &listed[0], MessageId::of(notice), world.clock.now()).await.unwrap();
    assert_eq!(asked.state.as_str(), "asked");
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(channel.pushed().len(), attempts + 1);
    assert_eq!(channel.pushed()[attempts].id, MessageId::of(notice));
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_pause_gets_it_for_everything_up_to_a_quarter_of_an_hour() {
    for (asked_s, given_s) in [(60, 60), (24 * 3600, 15 * 60)] {
        let world = World::new().await;
        let channel = memory("desk");
        let retry_after = Some(Duration::from_secs(asked_s));
        channel.answer_next([Err(PushError::Unavailable { detail: "HTTP 429".to_owned(), retry_after })]);
        let delivery = DeliveryConfig { in_flight_max: 1, ..DeliveryConfig::default() };
        let outlets = vec![Outlet { channel: channel.clone(), delivery }];
        let notifier = world.start("outbox", outlets, config()).await;
        world.breach().await;
        until(&notifier, "desk", |status| status.throttled_until.is_some()).await;
        world.register(Urgency::Emergency).await;
        until(&notifier, "desk", |status| status.waiting == 2).await;
        world.clock.advance_by(Duration::from_secs(given_s) - Duration::from_micros(1));
        assert_eq!(channel.pushed().len(), 1);
        world.clock.advance_by(Duration::from_micros(1));
        until(&notifier, "desk", |status| status.delivered == 2).await;
        notifier.stop().await;
    }
}

#[tokio::test]
async fn a_crash_between_push_and_record_pushes_the_same_id_again_and_says_so() {
    let world = World::new().await;
    let channel = memory("desk");
    world.deliveries.refuses_outcomes.store(true, Ordering::SeqCst);
    let crashing =
        world.start("outbox", vec![outlet(channel.clone())], Config { stop_grace_ms: 1, ..config() }).await;
    let notice = world.breach().await;
    within_reason(channel.wait_for(1)).await;
    crashing.stop().await;
    assert_eq!(world.standing("desk", notice), Some(("in_flight", 1)));
    world.deliveries.refuses_outcomes.store(false, Ordering::SeqCst);
    // The lease of the one that crashed runs out.
    world.clock.advance_by(Duration::from_secs(30));
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    let pushed = channel.pushed();
    let seen: Vec<_> = pushed.iter().map(|message| (message.id.id, message.maybe_twice)).collect();
    assert_eq!(seen, [(notice, false), (notice, true)]);
    assert!(pushed[1].text_zh.ends_with("（可能重复）"), "{}", pushed[1].text_zh);
    assert_eq!(notifier.status().channels[0].maybe_twice, 1);
    assert_eq!(world.delivery("desk", MessageId::of(notice)).unwrap().maybe_twice, 1);
    notifier.stop().await;
}

#[tokio::test]
async fn a_push_is_recorded_as_soon_as_the_record_is_back_and_not_pushed_again() {
    let world = World::new().await;
    let channel = memory("desk");
    world.deliveries.refuses_outcomes.store(true, Ordering::SeqCst);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    within_reason(channel.wait_for(1)).await;
    world.deliveries.refuses_outcomes.store(false, Ordering::SeqCst);
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!((channel.pushed().len(), world.standing("desk", notice)), (1, Some(("delivered", 1))));
    notifier.stop().await;
}

#[tokio::test]
async fn the_next_start_goes_on_where_the_schedule_was() {
    let world = World::new().await;
    let channel = memory("desk");
    channel.answer_next([Err(PushError::unavailable("away"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let notice = world.breach().await;
    until(&notifier, "desk", |status| status.failed_attempts == 1 && status.in_flight == 0).await;
    notifier.stop().await;
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    until(&notifier, "desk", |status| status.waiting == 1).await;
    assert_eq!(channel.pushed().len(), 1, "a second has not passed");
    world.clock.advance_by(Duration::from_secs(1));
    until(&notifier, "desk", |status| status.delivered == 1).await;
    assert_eq!(world.standing("desk", notice), Some(("delivered", 2)));
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

#[tokio::test]
async fn what_waits_when_the_record_is_lost_goes_all_the_same_and_what_was_delivered_does_not_go_again() {
    let world = World::new().await;
    let channel = memory("desk");
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let delivered = world.breach().await;
    until(&notifier, "desk", |status| status.delivered == 1).await;
    channel.answer_always(Some(PushError::unavailable("HTTP 500")));
    let ticket = world.register(Urgency::Normal).await;
    world.clock.advance_by(Duration::from_secs(3 * 86_400));
    let waiting = world.expedite(ticket, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.failed_attempts > 0 && status.in_flight == 0).await;
    world.deliveries.inner.lose();
    until(&notifier, "desk", |status| status.record_lost).await;
    channel.answer_always(None);
    world.clock.advance_by(Duration::from_secs(60));
    until(&notifier, "desk", |status| status.delivered == 2 && status.waiting == 0).await;
    let told = channel.pushed();
    assert_eq!(told.iter().filter(|message| message.id == MessageId::of(delivered)).count(), 1);
    assert_eq!(told.last().unwrap().id, MessageId::of(waiting));
    notifier.stop().await;
}

#[tokio::test]
async fn alerts_of_a_log_that_was_restored_go_out_though_it_is_shorter_than_what_was_read() {
    let world = World::new().await;
    let backup = world.log.head().await.unwrap();
    let channel = memory("desk");
    let config = Config { log_looked_at_every_ms: 5, ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    world.breaches(5, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 5).await;
    world.log.cut_after(backup);
    let ticket = world.register(Urgency::Normal).await;
    world.clock.advance_by(Duration::from_secs(3 * 86_400));
    let notice = world.expedite(ticket, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.delivered == 6).await;
    assert_eq!(channel.pushed()[5].id, MessageId::of(notice));
    notifier.stop().await;
}

/// Waits until the outbox stands where the log ends, which was cut and goes on with other commits.
async fn has_read_all(world: &World, notifier: &Notifier) {
    let head = world.log.head().await.unwrap();
    within_reason(async {
        while (notifier.status().position, notifier.status().caught_up) != (head, true) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_alert_that_a_restored_log_has_in_another_branch_goes_under_that_branchs_lease() {
    let world = World::new().await;
    let other = BranchId::new("B1").unwrap();
    world.open(other.clone(), "汉口服务中心").await;
    let ticket = world.register(Urgency::Normal).await;
    let backup = world.log.head().await.unwrap();
    let channel = memory("desk");
    channel.answer_always(Some(unavailable()));
    let config = Config { log_looked_at_every_ms: 5, ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    let reason = "转派".parse().unwrap();
    world.ticket(ticket, TransferTicket { to: other, area: None, district: None, reason }).await;
    world.clock.advance_to(at(DUE) + Duration::from_micros(1));
    world.expedite(ticket, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.failed_attempts > 0 && status.in_flight == 0).await;
    world.log.cut_after(backup);
    let again = world.expedite_elsewhere(ticket, ClockKind::Dispatch).await;
    has_read_all(&world, &notifier).await;
    channel.answer_always(None);
    within_reason(async {
        while notifier.status().channels[0].delivered == 0 {
            world.clock.advance_by(Duration::from_secs(60));
            tokio::task::yield_now().await;
        }
    })
    .await;
    let told = world.delivery("desk", MessageId::of(again)).unwrap();
    assert_eq!((told.branch, told.state), (branch(), DeliveryState::Delivered));
    notifier.stop().await;
}

#[tokio::test]
async fn an_alert_that_was_on_its_way_while_the_log_was_restored_goes_from_where_it_is_now() {
    let world = World::new().await;
    let ticket = world.register(Urgency::Normal).await;
    let backup = world.log.head().await.unwrap();
    let channel = memory("desk");
    world.deliveries.holds_marks.store(true, Ordering::SeqCst);
    let config = Config { log_looked_at_every_ms: 5, ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    world.clock.advance_to(at(DUE) + Duration::from_micros(1));
    world.expedite(ticket, ClockKind::Dispatch).await;
    until(&notifier, "desk", |status| status.in_flight == 1).await;
    world.log.cut_after(backup);
    world.register(Urgency::Emergency).await;
    let notice = world.expedite_elsewhere(ticket, ClockKind::Dispatch).await;
    // The emergency sets out once the channel reads the outbox of the log as it is now.
    until(&notifier, "desk", |status| status.in_flight == 2).await;
    has_read_all(&world, &notifier).await;
    world.deliveries.holds_marks.store(false, Ordering::SeqCst);
    world.deliveries.refusals.add_permits(2);
    until(&notifier, "desk", |status| status.in_flight == 0).await;
    world.clock.advance_by(Duration::from_secs(60));
    until(&notifier, "desk", |status| status.delivered == 2 && status.waiting == 0).await;
    assert!(channel.pushed().iter().any(|message| message.id == MessageId::of(notice)));
    notifier.stop().await;
}
