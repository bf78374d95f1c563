//! Every event twice, and a commit to put them in.

use std::collections::BTreeMap;

use cuiban_domain::ids::{Actor, CommandId, CorrelationId};
use cuiban_domain::text::{Line, Name, Note};
use cuiban_domain::{Event, Happened, Instant};
use cuiban_event_schema::{Envelope, event_name};
use uuid::Uuid;

use crate::{office_samples, ticket_samples};

/// One event, with every field filled and with as little as there can be.
pub(crate) struct Sample {
    pub(crate) full: Event,
    pub(crate) bare: Event,
}

impl Sample {
    pub(crate) fn new(full: impl Into<Event>, bare: impl Into<Event>) -> Self {
        Self { full: full.into(), bare: bare.into() }
    }

    /// The commit that the golden file keeps.
    pub(crate) fn commit(&self) -> (Envelope, Vec<Event>) {
        (envelope(), vec![self.full.clone(), self.bare.clone()])
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (envelope, events) = self.commit();
        encode(&envelope, &events)
    }
}

/// The commit's bytes, of events that may stand together.
pub(crate) fn encode(envelope: &Envelope, events: &[Event]) -> Vec<u8> {
    cuiban_event_schema::encode(envelope, events).unwrap()
}

/// All samples, by the event's name.
pub(crate) fn samples() -> BTreeMap<&'static str, Sample> {
    let all =
        ticket_samples::ticket().into_iter().chain(ticket_samples::clocks()).chain(office_samples::all());
    let mut by_name = BTreeMap::new();
    for sample in all {
        let name = event_name(&sample.full);
        assert_eq!(event_name(&sample.bare), name, "the two of a sample are one event");
        assert!(by_name.insert(name, sample).is_none(), "{name} has two samples");
    }
    by_name
}

/// A late entry with everything that an envelope may have.
pub(crate) fn envelope() -> Envelope {
    Envelope {
        commit_id: CommandId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_000a)),
        stream_kind: "ticket".to_owned(),
        stream_id: "01990000-0000-7000-8000-000000000001".to_owned(),
        revision: 4,
        actor: Actor::new("K1").unwrap(),
        correlation_id: CorrelationId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_000b)),
        causation_id: Some(CommandId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_000c))),
        happened: Happened { occurred_at: at("06:10:00"), recorded_at: at("07:30:00.000001") },
        previous_hash: Some([0xab; 32]),
        request_fingerprint: u64::MAX - 1,
    }
}

/// The first commit of a stream, which follows from nothing.
pub(crate) fn first_envelope() -> Envelope {
    let happened = Happened { occurred_at: at("07:30:00"), recorded_at: at("07:30:00") };
    Envelope {
        revision: 1,
        causation_id: None,
        previous_hash: None,
        request_fingerprint: 0,
        happened,
        ..envelope()
    }
}

/// A time of 4 March 2026, UTC.
pub(crate) fn at(time: &str) -> Instant {
    format!("2026-03-04T{time}Z").parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn line(text: &str) -> Line {
    Line::new(text).unwrap()
}

pub(crate) fn note(text: &str) -> Note {
    Note::new(text).unwrap()
}
