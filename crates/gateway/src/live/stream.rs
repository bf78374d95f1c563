//! One listener's stream: a subscription of the log, pumped through a short queue so that a slow client is
//! dropped instead of holding anything up.

use std::convert::Infallible;

use axum::response::sse::Event;
use cuiban_domain::ids::BranchId;
use cuiban_event_log::{Filter, Pattern, Position, RecordedCommit, Subscription, Token};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::front::Office;
use crate::gateway::Stopping;
use crate::live::message::{concerns, message};
use crate::refusal::Refusal;

/// How soon a client that lost its stream comes back.
const COME_BACK_AFTER: std::time::Duration = std::time::Duration::from_secs(2);
/// How many commits are taken from the log at a time.
const BATCH_COMMITS_MAX: usize = 64;

/// One listener's events.
pub(super) type Events = ReceiverStream<Result<Event, Infallible>>;

/// The events after `after`, or from now on. Refused when too many listen.
pub(super) async fn open(
    office: &Office,
    branch: Option<BranchId>,
    after: Option<Position>,
    stopping: Option<Stopping>,
) -> Result<Events, Refusal> {
    let permit = office.listeners.clone().try_acquire_owned().map_err(|_| Refusal::TooManyListeners)?;
    let log = &office.front.log;
    let unavailable = |error: cuiban_event_log::LogError| {
        tracing::warn!(error = &error as &dyn std::error::Error, "a live stream cannot follow the log");
        Refusal::LogUnavailable
    };
    let start = match after {
        Some(after) => after,
        None => log.head().await.map_err(unavailable)?,
    };
    let subscription = log.subscribe(filter(branch.as_ref())?, start).await.map_err(unavailable)?;
    let (queue, queued) = mpsc::channel(office.front.config.live_queue_max.max(1));
    let pump = Pump { subscription, queue, branch, patience: office.front.config.live_patience() };
    tokio::spawn(async move {
        let _open = permit;
        let stopped = async {
            match stopping {
                Some(stopping) => stopping.wait().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pump.run(start) => {}
            () = stopped => {}
        }
    });
    Ok(ReceiverStream::new(queued))
}

/// Tickets and alerts of the branch, every transfer (some come to it), and the rules of the house.
fn filter(branch: Option<&BranchId>) -> Result<Filter, Refusal> {
    let token = |text: &str| Token::new(text).map(Some).map_err(|_| Refusal::Internal);
    let branch = branch.map(|branch| token(branch.as_str())).transpose()?.flatten();
    let mut any_of = Vec::new();
    for kind in ["ticket", "alert", "branch"] {
        any_of.push(Pattern { kind: token(kind)?, branch: branch.clone(), ..Pattern::default() });
    }
    any_of.push(Pattern { kind: token("company")?, ..Pattern::default() });
    if branch.is_some() {
        any_of.push(Pattern { kind: token("ticket")?, class: token("transfer")?, ..Pattern::default() });
    }
    Ok(Filter { any_of })
}

/// Carries one listener's events from the log to its queue.
struct Pump {
    subscription: Subscription,
    queue: mpsc::Sender<Result<Event, Infallible>>,
    branch: Option<BranchId>,
    patience: std::time::Duration,
}

impl Pump {
    /// Until the listener is gone or too slow, or the log is closed. A listener that comes back goes on.
    async fn run(mut self, start: Position) {
        // Says from where, so that a client that hears nothing else still knows where to go on.
        let ready = Event::default().event("ready").id(start.to_string()).retry(COME_BACK_AFTER).data("{}");
        if !self.send(ready).await {
            return;
        }
        loop {
            let queue = self.queue.clone();
            let batch = tokio::select! {
                batch = self.subscription.next_batch(BATCH_COMMITS_MAX) => batch,
                () = queue.closed() => return,
            };
            let Some(Ok(batch)) = batch else { return };
            for recorded in &batch.commits {
                if let Some(event) = self.event(recorded)
                    && !self.send(event).await
                {
                    return;
                }
            }
        }
    }

    fn event(&self, recorded: &RecordedCommit) -> Option<Event> {
        let id = recorded.position.to_string();
        let RecordedCommit { stream, payload, .. } = recorded;
        let Ok(commit) =
            cuiban_event_schema::decode_stored(stream.kind.as_str(), stream.id.as_str(), payload)
        else {
            return Some(Event::default().event("unreadable").id(id).data("{}"));
        };
        if self.branch.as_ref().is_some_and(|branch| !concerns(&commit, recorded, branch)) {
            return None;
        }
        let (name, message) = message(recorded, &commit);
        Event::default().event(name).id(id).json_data(message).ok()
    }

    async fn send(&self, event: Event) -> bool {
        match tokio::time::timeout(self.patience, self.queue.send(Ok(event))).await {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::warn!("a live client does not read: dropped");
                false
            }
        }
    }
}
