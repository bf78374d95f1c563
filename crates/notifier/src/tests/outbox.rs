//! The fold: fed twice, in any batches, rebuilt: the same rows, byte for byte.

use std::time::Duration;

use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;
use cuiban_event_log::RecordedCommit;
use cuiban_projector::{Incoming, Model, Store};
use tempfile::TempDir;

use super::world::{World, channel_id, config, memory, outlet, until};
use crate::PushError;
use crate::outbox::{Addressed, OutboxFold};

fn fold(channels: &[&str]) -> OutboxFold {
    let addressed = |id: &&str| Addressed { channel: channel_id(id), since: None };
    OutboxFold { channels: channels.iter().map(addressed).collect() }
}

/// The rows after these commits, in batches of this size, each batch fed `times` times.
fn rows(
    commits: &[RecordedCommit],
    batch: usize,
    times: usize,
    channels: &[&str],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let dir = TempDir::new().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    let model = Model::open(&store, fold(channels)).unwrap();
    for batch in commits.chunks(batch) {
        for _ in 0..times {
            let incoming: Vec<_> = batch.iter().cloned().map(Incoming::decode).collect();
            model.apply(&incoming).unwrap();
        }
    }
    assert!(model.parked().unwrap().is_empty());
    model.dump().unwrap()
}

/// A history with deliveries, failures, one given up, and two alerts that are still pending.
async fn history() -> Vec<RecordedCommit> {
    let world = World::new().await;
    let channel = memory("desk");
    let gone = || Err(PushError::Gone { detail: "HTTP 410".to_owned() });
    channel.answer_next([gone(), Err(PushError::unavailable("away"))]);
    let notifier = world.start("outbox", vec![outlet(channel.clone())], config()).await;
    let ticket = world.register(Urgency::Emergency).await;
    until(&notifier, "desk", |status| status.given_up == 1).await;
    world.breaches(3, Duration::from_micros(1)).await;
    until(&notifier, "desk", |status| status.delivered == 2 && status.failed_attempts == 2).await;
    notifier.stop().await;
    world.expedite(ticket, ClockKind::Dispatch).await;
    world.log.commits()
}

#[tokio::test]
async fn fed_twice_or_in_other_batches_the_rows_are_the_same() {
    let commits = history().await;
    let once = rows(&commits, 1_000, 1, &["desk"]);
    assert_eq!(rows(&commits, 1, 2, &["desk"]), once);
    assert_eq!(rows(&commits, 3, 2, &["desk"]), once);
    assert_eq!(rows(&commits, 1_000, 2, &["desk"]), once);
}

#[tokio::test]
async fn what_is_settled_on_every_channel_leaves_the_outbox() {
    let commits = history().await;
    let pending = |channels: &[&str]| {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let model = Model::open(&store, fold(channels)).unwrap();
        model.apply(&commits.iter().cloned().map(Incoming::decode).collect::<Vec<_>>()).unwrap();
        model.scan::<crate::outbox::PendingAlert>(&cuiban_projector::Key::new(), None, 100).unwrap().len()
    };
    assert_eq!((pending(&["desk"]), pending(&["desk", "crm"]), pending(&[])), (2, 5, 0));
}
