//! Whether the stream is fit to be written to: its settings as they were last seen, and whether it has room.
//!
//! Settings can be changed under a running process, and a stream that forgets acknowledges what it will drop. So each
//! answer to "how is the stream" is compared, and one is asked for every second whether or not anybody else asks. While a
//! setting that the promises need is not as wanted, nothing is appended; once it is mended, appends go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cuiban_event_log::{LogProblem, LogStanding};
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::api::{Broker, StreamInfo};
use crate::settings::{self, SyncSetting};

/// How often the stream's settings are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// In how many looks the server's sync setting is looked at once: it needs a restart to change.
const SYNC_EVERY_LOOKS: u32 = 60;
/// For how many looks a refusal for want of room counts, if nothing is stored meanwhile. Too few, and a log that is full
/// seems well between two attempts; too many, and one that has room again is taken for full while nobody tries.
const FULL_FOR_LOOKS: u32 = 10;

/// What is known. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fitness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The settings that were compared last.
    compared: Value,
    /// What differs in them.
    changed: Vec<LogProblem>,
    full: Option<Full>,
    not_syncing: Option<LogProblem>,
}

#[derive(Debug)]
struct Full {
    said: String,
    looks_left: u32,
}

impl Fitness {
    /// Compares the settings, and tells when they have changed for the worse or for the better.
    pub(crate) fn note(&self, broker: &Broker, found: &Value) {
        let mut state = self.state();
        if state.compared == *found {
            return;
        }
        let changed = settings::problems(broker, found);
        let (stopped, stops) = (stops(&state.changed), stops(&changed));
        match (&stopped, &stops) {
            (_, Some(detail)) if stopped != stops => tracing::error!(
                detail,
                "the stream's settings were changed: nothing is appended until they are as the log needs them"
            ),
            (Some(_), None) => tracing::info!("the stream's settings are as the log needs them again"),
            _ => {}
        }
        state.compared = found.clone();
        state.changed = changed;
    }

    /// Why nothing may be appended, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        stops(&self.state().changed)
    }

    /// An append was refused for want of room.
    pub(crate) fn refused_as_full(&self, said: String) {
        self.state().full = Some(Full { said, looks_left: FULL_FOR_LOOKS });
    }

    /// An append was stored.
    pub(crate) fn stored(&self) {
        self.state().full = None;
    }

    fn looked(&self) {
        let mut state = self.state();
        if let Some(full) = &mut state.full {
            full.looks_left = full.looks_left.saturating_sub(1);
            if full.looks_left == 0 {
                state.full = None;
            }
        }
    }

    /// All that is wrong, this info included.
    pub(crate) fn standing(&self, info: &StreamInfo) -> LogStanding {
        let state = self.state();
        let refused = state.full.as_ref().map(|full| full.said.clone());
        let full = info.is_full().or(refused).map(|detail| LogProblem {
            code: "log_full",
            detail,
            stops_writing: true,
        });
        let missing = info.missing_replicas();
        let missing = (!missing.is_empty()).then(|| LogProblem {
            code: "replica_missing",
            detail: missing.join(", "),
            stops_writing: false,
        });
        state.changed.iter().cloned().chain(full).chain(missing).chain(state.not_syncing.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stops(problems: &[LogProblem]) -> Option<String> {
    let details: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.stops_writing)
        .map(|problem| problem.detail.as_str())
        .collect();
    (!details.is_empty()).then(|| details.join("; "))
}

/// Asks every second, until nobody needs it any more.
pub(crate) async fn keep_looking(broker: Broker) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for nth in 0_u32.. {
        look.tick().await;
        if nth.is_multiple_of(SYNC_EVERY_LOOKS) {
            let not_syncing = match settings::sync(&broker).await {
                SyncSetting::Every(interval) => Some(LogProblem {
                    code: "not_syncing",
                    detail: format!("the server syncs every {interval:?}, not before it acknowledges"),
                    stops_writing: false,
                }),
                SyncSetting::Always | SyncSetting::Unseen { .. } => None,
            };
            broker.fitness.state().not_syncing = not_syncing;
        }
        if let Err(error) = broker.stream_info().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "the stream's settings are not seen");
        }
        broker.fitness.looked();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_for_want_of_room_counts_until_something_is_stored_or_nobody_has_tried_for_a_while() {
        let info = json!({
            "config": {}, "state": { "last_seq": 1 }, "ts": "2026-11-24T00:00:00Z", "created": "2026-11-24T00:00:00Z",
        });
        let info: StreamInfo = serde_json::from_value(info).unwrap();
        let fitness = Fitness::default();
        let codes =
            || fitness.standing(&info).problems.iter().map(|problem| problem.code).collect::<Vec<_>>();
        assert!(codes().is_empty());
        fitness.refused_as_full("insufficient storage resources available".to_owned());
        (1..FULL_FOR_LOOKS).for_each(|_| fitness.looked());
        assert_eq!(codes(), ["log_full"]);
        fitness.looked();
        assert!(codes().is_empty());
        fitness.refused_as_full("again".to_owned());
        fitness.stored();
        assert!(codes().is_empty());
    }
}
