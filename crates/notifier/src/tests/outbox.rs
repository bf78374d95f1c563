//! The fold: fed twice, in any batches, rebuilt: the same rows, byte for byte.

use std::time::Duration;

use cuiban_domain::alert::{Outcome, RecordAttempt};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::text::Line;
use cuiban_domain::ticket::Urgency;
use cuiban_event_log::RecordedCommit;
use cuiban_projector::{Incoming, Model, Store};
use tempfile::TempDir;

use super::world::{World, at, channel_id};
use crate::outbox::{KeptAlert, OutboxFold};

/// The rows after these commits, in batches of this size, each batch fed `times` times.
fn rows(commits: &[RecordedCommit], batch: usize, times: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let model = Model::open(&store, OutboxFold).unwrap();
    for batch in commits.chunks(batch) {
        for _ in 0..times {
            let incoming: Vec<_> = batch.iter().cloned().map(Incoming::decode).collect();
            model.apply(&incoming).unwrap();
        }
    }
    assert!(model.parked().unwrap().is_empty());
    model.dump().unwrap()
}

/// A history of alerts, one of them superseded, and of deliveries as a build recorded them that kept them in the log.
async fn history() -> Vec<RecordedCommit> {
    let world = World::new().await;
    world.register(Urgency::Emergency).await;
    let notices = world.breaches(3, Duration::from_micros(1)).await;
    for (notice, outcome) in notices.iter().zip([Outcome::Delivered, failed(), Outcome::GivenUp(line())]) {
        let (branch, channel) = (super::world::branch(), channel_id("desk"));
        let attempt = RecordAttempt { branch, channel, outcome };
        world.handlers.alert(&notice.to_string(), &attempt, &world.meta()).await.unwrap();
    }
    let ticket = world.register(Urgency::Normal).await;
    world.clock.advance_to(at("2026-11-21T15:30:00+08:00") + Duration::from_micros(2));
    world.expedite(ticket, ClockKind::Response).await;
    world.answered(ticket, at("2026-11-20T15:31:00+08:00")).await;
    world.commits()
}

fn failed() -> Outcome {
    Outcome::Failed(line())
}

fn line() -> Line {
    Line::new("HTTP 500").unwrap()
}

#[tokio::test]
async fn fed_twice_or_in_other_batches_the_rows_are_the_same() {
    let commits = history().await;
    let once = rows(&commits, 1_000, 1);
    assert_eq!(rows(&commits, 1, 2), once);
    assert_eq!(rows(&commits, 3, 2), once);
    assert_eq!(rows(&commits, 1_000, 2), once);
}

fn kept(commits: &[RecordedCommit]) -> Vec<KeptAlert> {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let model = Model::open(&store, OutboxFold).unwrap();
    model.apply(&commits.iter().cloned().map(Incoming::decode).collect::<Vec<_>>()).unwrap();
    let rows = model.scan::<KeptAlert>(&cuiban_projector::Key::new(), None, 100).unwrap();
    rows.into_iter().map(|(_, row)| row).collect()
}

#[tokio::test]
async fn what_a_build_before_settled_is_settled_and_a_withdrawal_follows_its_notice() {
    let kept = kept(&history().await);
    let desk = channel_id("desk");
    let told: Vec<_> = kept
        .iter()
        .map(|kept| {
            let settled = kept.settled_on(&desk).map(|settled| settled.delivered);
            (kept.alert.rung.is_some(), kept.alert.withdrawn, kept.superseded, settled)
        })
        .collect();
    let notice = (true, false, false);
    assert_eq!(
        told,
        [
            (false, false, false, None),
            (notice.0, notice.1, notice.2, Some(true)),
            (notice.0, notice.1, notice.2, None),
            (notice.0, notice.1, notice.2, Some(false)),
            (true, false, true, None),
            (true, true, false, None),
        ]
    );
}

#[tokio::test]
async fn an_alert_that_is_too_old_to_be_told_is_dropped() {
    let world = World::new().await;
    let first = world.register(Urgency::Emergency).await;
    world.clock.advance_to(at("2027-01-04T09:00:00+08:00"));
    let second = world.register(Urgency::Emergency).await;
    let tickets: Vec<_> = kept(&world.commits()).into_iter().map(|kept| kept.alert.ticket).collect();
    assert_eq!(tickets, [second], "not {first}");
}
