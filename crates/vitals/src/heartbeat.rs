//! The heart: says every few seconds how the process stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{Beats, Vitals};

/// How often an instance says how it stands. Three of them may be lost before it counts as gone.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Says a beat every [`BEAT_EVERY`] until `stop`, and that it leaves then. `now` is the clock of the process.
pub async fn keep_beating(
    vitals: Vitals,
    beats: impl Beats,
    now: impl Fn() -> DateTime<Utc>,
    stop: CancellationToken,
) {
    let mut every = tokio::time::interval(BEAT_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_carried = true;
    loop {
        let is_leaving = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = every.tick() => false,
        };
        let Some(beat) = vitals.beat(now(), is_leaving) else { return };
        let carried = beats.say(&beat).await;
        if let (Err(error), true) = (&carried, was_carried) {
            tracing::warn!(error = error as &dyn std::error::Error, "heartbeats are not carried");
        }
        was_carried = carried.is_ok();
        if is_leaving {
            return;
        }
    }
}
