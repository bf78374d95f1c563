//! Backfill (R64): what was recorded late goes out in order, and as one digest when it is much.

use std::time::Duration;

use super::world::{World, config, memory, outlet, until};
use crate::{Config, PushError};

const LATE: Duration = Duration::from_secs(3 * 3600);

#[tokio::test]
async fn r64_a_backfill_is_one_digest_for_each_channel_and_recorded_for_each_notice() {
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
    for notice in notices {
        let attempts = world.attempts(notice);
        assert_eq!((world.outcomes(notice).as_str(), attempts.len()), ("dd", 2));
        assert!(attempts.iter().all(|attempt| attempt.envelope.correlation_id.0 == digest));
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
    assert_eq!(pushed.iter().map(|message| message.id).collect::<Vec<_>>(), notices);
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
    until(&notifier, "desk", |status| status.failed_attempts == 12).await;
    world.clock.advance_by(Duration::from_secs(5));
    until(&notifier, "desk", |status| status.delivered == 12).await;
    let pushed = channel.pushed();
    assert_eq!((pushed.len(), pushed[0].id), (2, pushed[1].id));
    for notice in notices {
        assert_eq!(world.outcomes(notice), "fd");
    }
    notifier.stop().await;
}
