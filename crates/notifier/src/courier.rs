//! Pushes a parcel through one channel, and records each attempt in the log.
//!
//! Push first, record after: a crash between the two pushes the same id again (at least once). The recording's
//! command id is derived from the alert, the channel, the attempt and how it ended, so that a repeated recording is
//! one commit, and two notifiers that saw the same thing record it once.

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::{CommandMeta, HandleError, Handlers};
use cuiban_domain::Instant;
use cuiban_domain::alert::{Outcome, RecordAttempt};
use cuiban_domain::ids::{BranchId, CommandId, CorrelationId};
use cuiban_domain::text::Line;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::alert::Alert;
use crate::backlog::{Form, Parcel, Waiting};
use crate::channel::{PushError, in_one_line};
use crate::config::{Config, DeliveryConfig, Outlet};
use crate::message::Message;
use crate::outbox::{Lane, Outbox, PendingAlert, Place};
use crate::wording;

/// The actor of what the notifier records.
const ACTOR: &str = "notifier";

/// Serves one channel.
#[derive(Clone)]
pub(crate) struct Courier {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) outbox: Outbox,
    pub(crate) outlet: Outlet,
    pub(crate) config: Arc<Config>,
}

/// What became of a parcel.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// Alerts on which nothing is left to do.
    pub(crate) settled: Vec<Place>,
    /// Alerts that are to be tried again, one by one.
    pub(crate) again: Vec<(Place, Waiting)>,
    /// A digest that is to be tried again as it is.
    pub(crate) digest_again: Option<(Instant, Parcel)>,
    /// Until when the other side wants to be left alone.
    pub(crate) throttled_until: Option<Instant>,
    /// How many alerts were taken.
    pub(crate) delivered: u64,
    /// How many attempts failed.
    pub(crate) failed: u64,
    /// How many alerts were given up.
    pub(crate) given_up: u64,
    /// What was seen last when something failed.
    pub(crate) failure: Option<(Instant, String)>,
}

/// How an alert stands after an attempt was recorded.
struct Standing {
    attempts: u32,
    settled: bool,
}

impl Courier {
    /// Pushes a parcel, once.
    pub(crate) async fn deliver(self, parcel: Parcel) -> Returned {
        let mut returned = Returned::default();
        match parcel.form {
            Form::InOrder => {
                for (place, waiting) in parcel.alerts {
                    self.deliver_one(place, waiting, &mut returned).await;
                }
            }
            Form::Digest(message) => self.deliver_digest(parcel.alerts, message, &mut returned).await,
        }
        returned
    }

    async fn deliver_one(&self, place: Place, waiting: Waiting, returned: &mut Returned) {
        let now = self.now();
        if returned.throttled_until.is_some_and(|until| until > now) {
            // The other side asked to be left alone in the middle of this parcel.
            returned.again.push((place, waiting));
            return;
        }
        let pending = match self.pending(place, &waiting) {
            Ok(Some(pending)) => pending,
            Ok(None) => return returned.settled.push(place),
            Err(()) => return returned.again.push((place, self.put_off(waiting))),
        };
        let message = Arc::new(Message::of(&pending.alert, &self.place_of(&pending.alert.branch)));
        let pushed = self.push(&message).await;
        let attempt = self.attempts_before(&pending, &waiting).saturating_add(1);
        self.note(&pushed, attempt, returned);
        let standing = self.record(&pending.alert, message.id, attempt, &pushed).await;
        self.count(&standing, &pushed, returned);
        if standing.settled {
            returned.settled.push(place);
        } else {
            let next_at = self.next_attempt_at(standing.attempts, &pushed);
            returned.again.push((place, Waiting { attempts: standing.attempts, next_at, ..waiting }));
        }
    }

    async fn deliver_digest(
        &self,
        alerts: Vec<(Place, Waiting)>,
        message: Option<Arc<Message>>,
        returned: &mut Returned,
    ) {
        let mut going = Vec::with_capacity(alerts.len());
        for (place, waiting) in alerts {
            match self.pending(place, &waiting) {
                Ok(Some(pending)) => going.push((place, waiting, pending)),
                Ok(None) => returned.settled.push(place),
                Err(()) => returned.again.push((place, self.put_off(waiting))),
            }
        }
        let message = message.or_else(|| {
            let alerts: Vec<_> = going.iter().map(|(_, _, pending)| pending.alert.clone()).collect();
            let place = self.place_of(&alerts.first()?.branch);
            Message::digest(&alerts, self.config.digest_listed_max, &place).map(Arc::new)
        });
        let Some(message) = message.filter(|_| !going.is_empty()) else { return };
        let pushed = self.push(&message).await;
        let attempt = going.iter().map(|(_, waiting, pending)| self.attempts_before(pending, waiting)).max();
        self.note(&pushed, attempt.unwrap_or_default().saturating_add(1), returned);
        self.record_digest(going, message, &pushed, returned).await;
    }

    /// Records the attempt for each notice of a digest: the record stays per notice.
    async fn record_digest(
        &self,
        going: Vec<(Place, Waiting, PendingAlert)>,
        message: Arc<Message>,
        pushed: &Result<(), PushError>,
        returned: &mut Returned,
    ) {
        let mut under_way = JoinSet::new();
        let mut left = Vec::new();
        for (place, waiting, pending) in going {
            while under_way.len() >= self.config.recordings_in_flight_max.max(1) {
                self.take_recorded(&mut under_way, pushed, &mut left, returned).await;
            }
            let (courier, pushed, id) = (self.clone(), pushed.clone(), message.id);
            under_way.spawn(async move {
                let attempt = courier.attempts_before(&pending, &waiting).saturating_add(1);
                let standing = courier.record(&pending.alert, id, attempt, &pushed).await;
                (place, waiting, standing)
            });
        }
        while !under_way.is_empty() {
            self.take_recorded(&mut under_way, pushed, &mut left, returned).await;
        }
        left.sort_by_key(|(place, _)| *place);
        let attempts = left.iter().map(|(_, waiting)| waiting.attempts).max();
        if let Some(attempts) = attempts {
            let at = self.next_attempt_at(attempts, pushed);
            returned.digest_again = Some((at, Parcel { alerts: left, form: Form::Digest(Some(message)) }));
        }
    }

    async fn take_recorded(
        &self,
        under_way: &mut JoinSet<(Place, Waiting, Standing)>,
        pushed: &Result<(), PushError>,
        left: &mut Vec<(Place, Waiting)>,
        returned: &mut Returned,
    ) {
        let Some(Ok((place, waiting, standing))) = under_way.join_next().await else { return };
        self.count(&standing, pushed, returned);
        if standing.settled {
            returned.settled.push(place);
        } else {
            left.push((place, Waiting { attempts: standing.attempts, ..waiting }));
        }
    }

    /// The alert as the outbox has it now; `None` when another notifier has settled it meanwhile.
    fn pending(&self, place: Place, waiting: &Waiting) -> Result<Option<PendingAlert>, ()> {
        let channel = self.outlet.channel.id();
        match self.outbox.pending(Lane::of(waiting.severity), place) {
            Ok(pending) => Ok(pending.filter(|pending| pending.unsettled_on(channel).is_some())),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, %channel, "an alert waits for the outbox");
                Err(())
            }
        }
    }

    /// How many attempts were made: what the outbox has folded may lag behind what was just recorded.
    fn attempts_before(&self, pending: &PendingAlert, waiting: &Waiting) -> u32 {
        let folded = pending.unsettled_on(self.outlet.channel.id()).map_or(0, |progress| progress.attempts);
        folded.max(waiting.attempts)
    }

    /// Pushes within the time limit; a channel that panics has failed.
    async fn push(&self, message: &Arc<Message>) -> Result<(), PushError> {
        let (channel, message) = (self.outlet.channel.clone(), message.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { channel.push(&message).await });
        let limit = Duration::from_millis(self.delivery().push_timeout_ms);
        match tokio::time::timeout(limit, task.join_next()).await {
            Ok(Some(Ok(pushed))) => pushed,
            Ok(_) => Err(PushError::unavailable("the channel broke down")),
            Err(_) => Err(PushError::unavailable("no answer in time")),
        }
    }

    /// Records one attempt; goes on until the log has it, or until this task is dropped.
    async fn record(
        &self,
        alert: &Alert,
        message: Uuid,
        attempt: u32,
        pushed: &Result<(), PushError>,
    ) -> Standing {
        let outcome = self.outcome(attempt, pushed);
        let unrecorded = Standing { attempts: attempt, settled: !matches!(outcome, Outcome::Failed(_)) };
        let channel = self.outlet.channel.id().clone();
        let Ok(meta) = self.meta(alert, message, attempt, &outcome) else { return unrecorded };
        let command = RecordAttempt { branch: alert.branch.clone(), channel: channel.clone(), outcome };
        let mut delay_ms = self.config.record_delay_ms;
        loop {
            let error = match self.handlers.alert(&alert.id.to_string(), &command, &meta).await {
                Ok(handled) => {
                    let attempts = handled.state.attempts(&channel);
                    return Standing { attempts, settled: handled.state.is_settled(&channel) };
                }
                Err(error) => error,
            };
            if !may_pass(&error) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, alert = %alert.id, %channel, "an attempt cannot be recorded");
                return unrecorded;
            }
            tracing::warn!(error = %in_one_line(&error), alert = %alert.id, %channel, "an attempt waits for the log");
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            delay_ms = delay_ms.saturating_mul(2).clamp(1, self.config.record_delay_max_ms.max(1));
        }
    }

    /// Under one id for all who saw the same; the message's id is the correlation, so that a digest's notices are
    /// found together.
    fn meta(
        &self,
        alert: &Alert,
        message: Uuid,
        attempt: u32,
        outcome: &Outcome,
    ) -> Result<CommandMeta, cuiban_domain::ids::InvalidId> {
        let ended = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Failed(_) => "failed",
            Outcome::GivenUp(_) => "given_up",
        };
        let name = format!("{}/{attempt}/{ended}", self.outlet.channel.id());
        let id = CommandId(Uuid::new_v5(&alert.id, name.as_bytes()));
        let meta = self.handlers.own_meta(id, ACTOR)?;
        Ok(CommandMeta {
            correlation_id: CorrelationId(message),
            causation_id: Some(alert.caused_by),
            ..meta
        })
    }

    fn outcome(&self, attempt: u32, pushed: &Result<(), PushError>) -> Outcome {
        let Err(error) = pushed else { return Outcome::Delivered };
        let attempts_max = match error {
            PushError::Unavailable { .. } => self.delivery().attempts_max,
            PushError::Refused { .. } => self.delivery().refused_attempts_max,
            PushError::Gone { .. } => 0,
        };
        let reason = line(&error.to_string());
        if attempt >= attempts_max { Outcome::GivenUp(reason) } else { Outcome::Failed(reason) }
    }

    fn next_attempt_at(&self, attempts: u32, pushed: &Result<(), PushError>) -> Instant {
        let longest = Duration::from_millis(self.delivery().delay_max_ms);
        let delay = match pushed {
            Err(PushError::Unavailable { retry_after: Some(asked), .. }) => (*asked).min(longest),
            _ => Duration::ZERO,
        };
        self.now() + delay.max(self.delivery().delay_after(attempts))
    }

    fn put_off(&self, waiting: Waiting) -> Waiting {
        let next_at = self.now() + self.delivery().delay_after(waiting.attempts.saturating_add(1));
        Waiting { next_at, ..waiting }
    }

    fn note(&self, pushed: &Result<(), PushError>, attempt: u32, returned: &mut Returned) {
        let Err(error) = pushed else { return };
        let (now, channel) = (self.now(), self.outlet.channel.id());
        tracing::warn!(error = error as &dyn std::error::Error, %channel, attempt, "an alert was not taken");
        returned.failure = Some((now, error.to_string()));
        if let PushError::Unavailable { retry_after: Some(asked), .. } = error {
            let longest = Duration::from_millis(self.delivery().delay_max_ms);
            returned.throttled_until = Some(now + (*asked).min(longest));
        }
    }

    fn count(&self, standing: &Standing, pushed: &Result<(), PushError>, returned: &mut Returned) {
        match (pushed, standing.settled) {
            (Ok(()), _) => returned.delivered += 1,
            (Err(_), true) => returned.given_up += 1,
            (Err(_), false) => {}
        }
        returned.failed += u64::from(pushed.is_err());
    }

    /// Where an alert is read. A branch that is not known keeps the company's zone.
    fn place_of(&self, branch: &BranchId) -> wording::Place {
        let organisation = self.handlers.directory().organisation();
        match organisation.branch(branch) {
            Ok(view) => wording::Place {
                branch: view.branch.name.as_ref().map_or_else(|| branch.to_string(), ToString::to_string),
                zone: view.calendar.calendar().zone(),
            },
            Err(_) => {
                wording::Place { branch: branch.to_string(), zone: organisation.company().calendar().zone() }
            }
        }
    }

    fn delivery(&self) -> &DeliveryConfig {
        &self.outlet.delivery
    }

    fn now(&self) -> Instant {
        self.handlers.clock().now()
    }
}

/// Whether a recording that failed may succeed later.
fn may_pass(error: &HandleError) -> bool {
    matches!(error, HandleError::Unavailable(_) | HandleError::Unknown(_) | HandleError::Contended { .. })
}

/// A text of any origin as one line of the log.
fn line(text: &str) -> Line {
    const CHARACTERS_MAX: usize = 300;
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARACTERS_MAX).collect();
    #[expect(clippy::expect_used, reason = "a constant that fits")]
    Line::new(clean).unwrap_or_else(|_| Line::new("no reason given").expect("fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_a_line_of_the_log() {
        assert_eq!(line("a\u{0}b\nc").as_str(), "a b c");
        assert_eq!(line(" \t ").as_str(), "no reason given");
        assert_eq!(line(&"长".repeat(1_000)).as_str().chars().count(), 300);
    }
}
