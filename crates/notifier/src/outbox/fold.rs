//! The fold: notices, emergencies and withdrawals in; what is too old to be told out.

use chrono::TimeDelta;
use cuiban_deliveries::MessageId;
use cuiban_domain::Event;
use cuiban_domain::alert::{AlertEvent, Outcome};
use cuiban_domain::ids::TicketId;
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_log::Position;
use cuiban_event_schema::{Commit, Envelope};
use cuiban_projector::{Key, Projection, StoreError, Unfoldable, View};
use uuid::Uuid;

use crate::alert::{Alert, emergency_id};
use crate::outbox::rows::{KeptAlert, KeptPlace, Lane, Place, ServedBefore, Settled, TicketLine};

/// How long an alert is kept, by the log's own instants: longer than any delivery is recorded, so that whatever is
/// recorded can be sent again by hand.
const KEPT: TimeDelta = TimeDelta::days(40);
/// How many alerts that are too old are dropped with each new one. Two, so that a backlog of them shrinks.
const DROPPED_AT_ONCE: usize = 2;

/// The outbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxFold;

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
                    ticket_event(ticket, event, envelope, place, view)?;
                }
                Event::Alert(event) => attempted(event, envelope, view)?,
                _ => {}
            }
        }
        forget_ended(commit, view)
    }
}

fn ticket_event(
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
            view.put(&key, &TicketLine { number, kind: *kind, product_model, urgency: *urgency, branch })?;
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
        TicketEvent::EmergencyRaised { supervisors, departments } => {
            let id = emergency_id(ticket, envelope.revision);
            let about = alert_of(ticket, id, line_of(&key, view)?, envelope);
            let (informed, departments) = (supervisors.clone(), departments.clone());
            keep(place, Alert { informed, departments, ..about }, view)?;
        }
        TicketEvent::ExpediteNoticeIssued {
            notice,
            due_at,
            addressee,
            informed,
            informed_departments,
            late,
        } => {
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
                departments: informed_departments.clone(),
                ..alert_of(ticket, notice.id(ticket).0, line_of(&key, view)?, envelope)
            };
            keep(place, alert, view)?;
        }
        TicketEvent::ExpediteNoticeSuperseded { notice } => {
            supersede(MessageId::of(notice.id(ticket).0), envelope, place, view)?;
        }
        // Nothing that anybody is alerted of.
        _ => {}
    }
    Ok(())
}

/// Keeps a new alert, and drops the oldest that are too old.
fn keep(place: Place, alert: Alert, view: &mut View<'_>) -> Result<(), StoreError> {
    let lane = Lane::of(alert.severity());
    let too_old = alert.issued_at - KEPT;
    for old in view.scan::<KeptAlert>(&lane.key(), &lane.key(), DROPPED_AT_ONCE)? {
        if old.alert.issued_at < too_old {
            view.remove::<KeptAlert>(&old.place.key(lane))?;
            view.remove::<KeptPlace>(&KeptPlace::key_of(old.alert.message()))?;
        }
    }
    view.put(&KeptPlace::key_of(alert.message()), &KeptPlace { lane, place })?;
    view.put(&place.key(lane), &KeptAlert { place, alert, superseded: false, settled: Vec::new() })
}

/// Whoever was told is told that the notice counts no more (R40). One that is not kept any more was told too long ago.
fn supersede(
    notice: MessageId,
    envelope: &Envelope,
    place: Place,
    view: &mut View<'_>,
) -> Result<(), StoreError> {
    let Some(kept) = view.get::<KeptPlace>(&KeptPlace::key_of(notice))? else { return Ok(()) };
    let key = kept.place.key(kept.lane);
    let Some(told) = view.get::<KeptAlert>(&key)? else { return Ok(()) };
    let withdrawal = Alert {
        withdrawn: true,
        late: false,
        issued_at: envelope.happened.recorded_at,
        caused_by: envelope.commit_id,
        ..told.alert.clone()
    };
    view.put(&key, &KeptAlert { superseded: true, ..told })?;
    keep(place, withdrawal, view)
}

/// What a build recorded that kept deliveries in the log. What it settled is settled.
fn attempted(event: &AlertEvent, envelope: &Envelope, view: &mut View<'_>) -> Result<(), Unfoldable> {
    let AlertEvent::AlertAttempted { channel, outcome, .. } = event;
    let id: Uuid = envelope.stream_id.parse().map_err(|_| Unfoldable::commit("not an alert's id"))?;
    view.put(&ServedBefore::key_of(channel), &ServedBefore(envelope.happened.recorded_at))?;
    let delivered = match outcome {
        Outcome::Failed(_) => return Ok(()),
        Outcome::Delivered => true,
        Outcome::GivenUp(_) => false,
    };
    let kept: Option<KeptPlace> = view.get(&KeptPlace::key_of(MessageId::of(id)))?;
    let Some(key) = kept.map(|kept| kept.place.key(kept.lane)) else { return Ok(()) };
    let Some(mut kept) = view.get::<KeptAlert>(&key)? else { return Ok(()) };
    kept.settled.retain(|settled| settled.channel != *channel);
    kept.settled.push(Settled { channel: channel.clone(), delivered });
    Ok(view.put(&key, &kept)?)
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
        departments: Vec::new(),
        withdrawn: false,
        caused_by: envelope.commit_id,
    }
}
