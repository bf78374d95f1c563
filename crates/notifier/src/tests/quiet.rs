//! Quiet hours (R64), in the branch's zone.

use std::time::Duration;

use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;

use super::world::{World, at, config, memory, outlet, until, within_reason};
use crate::{Config, DeliveryConfig, Outlet, QuietHours};

fn quiet() -> QuietHours {
    serde_json::from_str(r#"{"breach": ["22:00-07:00"]}"#).unwrap()
}

#[tokio::test]
async fn r64_a_breach_in_the_night_is_recorded_at_once_and_pushed_in_the_morning() {
    let world = World::new().await;
    world.clock.advance_to(at("2026-11-20T23:00:00+08:00"));
    let ticket = world.register(Urgency::Normal).await;
    let channel = memory("desk");
    let config = Config { quiet: quiet(), ..config() };
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config).await;
    world.clock.advance_to(at("2026-11-21T23:00:00+08:00") + Duration::from_micros(1));
    let notice = world.expedite(ticket, ClockKind::Response).await;
    until(&notifier, "desk", |status| status.waiting == 1).await;
    world.register(Urgency::Emergency).await;
    let pushed = within_reason(channel.wait_for(1)).await;
    assert_eq!(pushed[0].topic, "emergency", "an emergency is never quiet");
    world.clock.advance_to(at("2026-11-22T06:59:59+08:00"));
    until(&notifier, "desk", |status| (status.waiting, status.in_flight) == (1, 0)).await;
    assert_eq!(channel.pushed().len(), 1);
    world.clock.advance_to(at("2026-11-22T07:00:00+08:00"));
    until(&notifier, "desk", |status| status.delivered == 2).await;
    assert_eq!(channel.pushed()[1].id.id, notice);
    notifier.stop().await;
}

#[tokio::test]
async fn r64_a_channel_may_have_quiet_hours_of_its_own_or_none() {
    let world = World::new().await;
    world.clock.advance_to(at("2026-11-20T23:00:00+08:00"));
    let ticket = world.register(Urgency::Normal).await;
    let (desk, machine) = (memory("desk"), memory("machine"));
    let awake = DeliveryConfig { quiet: Some(QuietHours::default()), ..DeliveryConfig::default() };
    let outlets = vec![outlet(desk.clone()), Outlet { channel: machine.clone(), delivery: awake }];
    let notifier = world.start("outbox", outlets, Config { quiet: quiet(), ..config() }).await;
    world.clock.advance_to(at("2026-11-21T23:00:00+08:00") + Duration::from_micros(1));
    world.expedite(ticket, ClockKind::Response).await;
    until(&notifier, "machine", |status| status.delivered == 1).await;
    until(&notifier, "desk", |status| (status.waiting, status.in_flight) == (1, 0)).await;
    assert!(desk.pushed().is_empty());
    notifier.stop().await;
}
