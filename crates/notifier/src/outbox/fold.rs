//! The fold: notices and emergencies in, what was settled out.

use cuiban_domain::Event;
use cuiban_domain::alert::{AlertEvent, Outcome};
use cuiban_domain::ids::{ChannelId, TicketId};
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_log::Position;
use cuiban_event_schema::{Commit, Envelope};
use cuiban_projector::{Key, Projection, Unfoldable, View};
use uuid::Uuid;

use crate::alert::{Alert, emergency_id};
use crate::outbox::rows::{
    ChannelProgress, GivenUpAlert, GivenUpCount, Lane, PendingAlert, PendingPlace, Place, TicketLine,
};

/// How many given-up alerts are kept for a look at them; the log keeps them all.
pub const GIVEN_UP_KEPT: u64 = 1_000;

/// A channel as the outbox knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) channel: ChannelId,
    pub(crate) since: Option<cuiban_domain::Instant>,
}

/// The outbox: every alert that some channel has not settled.
///
/// An alert is meant for the channels that were configured when it was folded, and leaves when it is settled on those
/// of them that are configured still. The channels are no variant of the fold on purpose: a channel that is added
/// later has nothing to do with what was settled before.
#[derive(Clone, Debug)]
pub(crate) struct OutboxFold {
    pub(crate) channels: Vec<Addressed>,
}

impl Projection for OutboxFold {
    const NAME: &'static str = "outbox";
    const VERSION: u32 = 2;

    fn project(&self, commit: &Commit, position: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let envelope = &commit.envelope;
        for (index, event) in commit.events.iter().enumerate() {
            match event {
                Event::Ticket(event) => {
                    let ticket = envelope.stream_id.parse();
                    let ticket: TicketId = ticket.map_err(|_| Unfoldable::commit("not a ticket's id"))?;
                    let index = u32::try_from(index).map_err(|_| Unfoldable::commit("too many events"))?;
                    let place = Place { position: position.raw(), index };
                    self.ticket_event(ticket, event, envelope, place, view)?;
                }
                Event::Alert(event) => self.attempted(event, envelope, view)?,
                _ => {}
            }
        }
        forget_ended(commit, view)
    }
}

impl OutboxFold {
    fn ticket_event(
        &self,
        ticket: TicketId,
        event: &TicketEvent,
        envelope: &Envelope,
        place: Place,
        view: &mut View<'_>,
    ) -> Result<(), Unfoldable> {
        let key = Key::new().id(ticket.0);
        match event {
            TicketEvent::TicketRegistered { number, kind, product_model, urgency, branch, .. } => {
                let (number, product_model, branch) = (number.clone(), product_model.clone(), branch.clone());
                view.put(
                    &key,
                    &TicketLine { number, kind: *kind, product_model, urgency: *urgency, branch },
                )?;
            }
            TicketEvent::TicketTransferred { to, summary, .. } => {
                let line = TicketLine {
                    number: summary.number.clone(),
                    kind: summary.kind,
                    product_model: summary.product_model.clone(),
                    urgency: summary.urgency,
                    branch: to.clone(),
                };
                view.put(&key, &line)?;
            }
            TicketEvent::TicketReclassified { kind, urgency, .. } => {
                let line = line_of(&key, view)?;
                view.put(&key, &TicketLine { kind: *kind, urgency: *urgency, ..line })?;
            }
            TicketEvent::EmergencyRaised { supervisors, .. } => {
                let alert = Alert {
                    informed: supervisors.clone(),
                    ..alert_of(
                        ticket,
                        emergency_id(ticket, envelope.revision),
                        line_of(&key, view)?,
                        envelope,
                    )
                };
                self.pending(place, alert, view)?;
            }
            TicketEvent::ExpediteNoticeIssued { notice, due_at, addressee, informed, late, .. } => {
                let alert = Alert {
                    clock: Some(notice.clock),
                    cycle: Some(notice.cycle),
                    rung: Some(notice.rung),
                    episode: Some(notice.episode),
                    repetition: Some(notice.repetition),
                    due_at: Some(*due_at),
                    late: *late,
                    addressee: Some(addressee.clone()),
                    informed: informed.clone(),
                    ..alert_of(ticket, notice.id(ticket).0, line_of(&key, view)?, envelope)
                };
                self.pending(place, alert, view)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A new alert, for the channels whose business it is.
    fn pending(&self, place: Place, alert: Alert, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let meant_for = |addressed: &&Addressed| addressed.since.is_none_or(|since| since <= alert.issued_at);
        let fresh = |addressed: &Addressed| ChannelProgress {
            channel: addressed.channel.clone(),
            attempts: 0,
            last_attempt_at: None,
            settled: false,
        };
        let channels: Vec<_> = self.channels.iter().filter(meant_for).map(fresh).collect();
        if channels.is_empty() {
            return Ok(());
        }
        let lane = Lane::of(alert.severity());
        view.put(&Key::new().id(alert.id), &PendingPlace { lane, place })?;
        view.put(&place.key(lane), &PendingAlert { place, alert, channels })?;
        Ok(())
    }

    fn attempted(
        &self,
        event: &AlertEvent,
        envelope: &Envelope,
        view: &mut View<'_>,
    ) -> Result<(), Unfoldable> {
        let AlertEvent::AlertAttempted { branch, channel, attempt, outcome } = event;
        let id: Uuid = envelope.stream_id.parse().map_err(|_| Unfoldable::commit("not an alert's id"))?;
        let by_id = Key::new().id(id);
        let place: Option<PendingPlace> = view.get(&by_id)?;
        let key = place.map(|PendingPlace { lane, place }| place.key(lane));
        let pending: Option<PendingAlert> = key.as_ref().map(|key| view.get(key)).transpose()?.flatten();
        if let Outcome::GivenUp(reason) = outcome {
            let given_up = GivenUpAlert {
                alert: id,
                number: pending.as_ref().and_then(|pending| pending.alert.number.clone()),
                branch: branch.clone(),
                channel: channel.clone(),
                attempts: *attempt,
                reason: reason.to_string(),
                at: envelope.happened.recorded_at,
            };
            note_given_up(&given_up, view)?;
        }
        let (Some(key), Some(mut pending)) = (key, pending) else { return Ok(()) };
        for progress in pending.channels.iter_mut().filter(|progress| progress.channel == *channel) {
            progress.attempts = *attempt;
            progress.last_attempt_at = Some(envelope.happened.recorded_at);
            progress.settled = !matches!(outcome, Outcome::Failed(_));
        }
        let configured = |channel: &ChannelId| self.channels.iter().any(|known| known.channel == *channel);
        let is_owed = |progress: &ChannelProgress| !progress.settled && configured(&progress.channel);
        if pending.channels.iter().any(is_owed) {
            view.put(&key, &pending)?;
        } else {
            view.remove::<PendingAlert>(&key)?;
            view.remove::<PendingPlace>(&by_id)?;
        }
        Ok(())
    }
}

/// A ticket that has ended has no more alerts, but those of the commit that ends it.
fn forget_ended(commit: &Commit, view: &mut View<'_>) -> Result<(), Unfoldable> {
    let ends = |event: &Event| {
        matches!(event, Event::Ticket(TicketEvent::TicketCancelled { .. } | TicketEvent::TicketMerged { .. }))
    };
    if let (true, Ok(ticket)) =
        (commit.events.iter().any(ends), commit.envelope.stream_id.parse::<TicketId>())
    {
        view.remove::<TicketLine>(&Key::new().id(ticket.0))?;
    }
    Ok(())
}

/// What is known of a ticket; without it nobody knows whose branch's alert this is.
fn line_of(key: &Key, view: &mut View<'_>) -> Result<TicketLine, Unfoldable> {
    view.get(key)?.ok_or_else(|| Unfoldable::commit("the ticket was not registered before"))
}

/// An alert about a ticket, before it is said what about.
fn alert_of(ticket: TicketId, id: Uuid, line: TicketLine, envelope: &Envelope) -> Alert {
    Alert {
        id,
        ticket,
        number: Some(line.number),
        kind: Some(line.kind),
        product_model: Some(line.product_model),
        urgency: Some(line.urgency),
        branch: line.branch,
        clock: None,
        cycle: None,
        rung: None,
        episode: None,
        repetition: None,
        due_at: None,
        issued_at: envelope.happened.recorded_at,
        late: false,
        addressee: None,
        informed: Vec::new(),
        caused_by: envelope.commit_id,
    }
}

/// Keeps the last ones, in a ring.
fn note_given_up(given_up: &GivenUpAlert, view: &mut View<'_>) -> Result<(), Unfoldable> {
    let GivenUpCount(count) = view.get(&Key::new())?.unwrap_or_default();
    view.put(&Key::new().number(count % GIVEN_UP_KEPT), given_up)?;
    view.put(&Key::new(), &GivenUpCount(count + 1))?;
    Ok(())
}
