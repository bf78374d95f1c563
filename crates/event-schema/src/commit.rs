//! The commit: envelope and events, to bytes and back, and the chain of hashes.

use cuiban_domain::ids::{Actor, CommandId, CorrelationId};
use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::{Event, Happened, Instant};
use prost::Message as _;
use sha2::{Digest, Sha256};

use crate::proto::CommitRecord;
use crate::wire::Field;
use crate::{table, upcast};

/// The newest version of `proto/` that this build knows. It writes each commit with the lowest that reads it rightly.
///
/// 2: a notice names its episode; a commit with a notice holds clock events only.
pub const SCHEMA_VERSION: u32 = 2;

/// From this version on, a commit with a notice holds clock events only. In version 1 both kinds were written.
const UNMIXED_SINCE: u32 = 2;

/// SHA-256 of a commit's bytes as stored.
pub type CommitHash = [u8; 32];

/// Everything about a commit but its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The commit's id, equal to its command's.
    pub commit_id: CommandId,
    /// The stream's kind.
    pub stream_kind: String,
    /// The stream's id within the kind.
    pub stream_id: String,
    /// 1, 2, 3 … within the stream.
    pub revision: u64,
    /// Who did it.
    pub actor: Actor,
    /// Shared by all commits of one piece of business.
    pub correlation_id: CorrelationId,
    /// The commit that led to this one.
    pub causation_id: Option<CommandId>,
    /// When it happened and when it was recorded (R2).
    pub happened: Happened,
    /// Hash of the stream's previous commit; `None` for the first.
    pub previous_hash: Option<CommitHash>,
    /// Hash of the request where the caller named an idempotency key, 0 otherwise.
    pub request_fingerprint: u64,
}

/// One decision as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Who, when, where in the stream.
    pub envelope: Envelope,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// Bytes that this version cannot read as a commit. The bytes themselves are never lost: the log keeps them.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf, or cut short.
    #[error("decode a commit: not a protobuf message of this schema")]
    Malformed(#[source] prost::DecodeError),
    /// A newer build wrote it.
    #[error("decode a commit: schema version {found} is newer than {SCHEMA_VERSION}, which this build knows")]
    Newer {
        /// The writer's version.
        found: u32,
    },
    /// An event that this build has no line for.
    #[error("decode a commit: event {index} is of a kind that this build does not know")]
    UnknownEvent {
        /// Its place in the commit, from 0.
        index: usize,
    },
    /// A field that no writer of ours writes.
    #[error("decode a commit: {0}")]
    Invalid(String),
}

/// Events that no commit may hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Whoever hears of the notices would hear of the rest (R91).
    #[error("encode a commit: beside an expedite notice it holds more than clock events")]
    MixedWithNotice,
}

/// The bytes to be stored.
pub fn encode(envelope: &Envelope, events: &[Event]) -> Result<Vec<u8>, EncodeError> {
    if is_mixed_with_notice(events) {
        return Err(EncodeError::MixedWithNotice);
    }
    let record = CommitRecord {
        commit_id: envelope.commit_id.to_string(),
        stream_kind: envelope.stream_kind.clone(),
        stream_id: envelope.stream_id.clone(),
        revision: envelope.revision,
        schema_version: lowest_version(events),
        actor: envelope.actor.to_string(),
        correlation_id: envelope.correlation_id.to_string(),
        causation_id: envelope.causation_id.map(|id| id.to_string()).unwrap_or_default(),
        occurred_at: envelope.happened.occurred_at.to_wire(),
        recorded_at: envelope.happened.recorded_at.to_wire(),
        previous_hash: envelope.previous_hash.map(Vec::from).unwrap_or_default(),
        request_fingerprint: envelope.request_fingerprint,
        events: events.iter().map(table::to_wire).collect(),
    };
    Ok(record.encode_to_vec())
}

/// Whether a notice shares its commit with anything but what belongs to a breach.
fn is_mixed_with_notice(events: &[Event]) -> bool {
    let of_a_breach = |event: &Event| {
        matches!(
            event,
            Event::Ticket(TicketEvent::SlaBreached { .. } | TicketEvent::ExpediteNoticeIssued { .. })
        )
    };
    let notice = |event: &Event| matches!(event, Event::Ticket(TicketEvent::ExpediteNoticeIssued { .. }));
    events.iter().any(notice) && !events.iter().all(of_a_breach)
}

/// The lowest version whose readers read these events rightly. What such a reader leaves out harmlessly stays in version 1:
/// who is informed, what is superseded, an event that it refuses as unknown.
fn lowest_version(events: &[Event]) -> u32 {
    let names_episode = |event: &Event| match event {
        Event::Ticket(
            TicketEvent::ExpediteNoticeIssued { notice, .. }
            | TicketEvent::ExpediteNoticeSuperseded { notice },
        ) => notice.episode > 0,
        Event::Ticket(TicketEvent::TicketTransferred { summary, .. }) => {
            summary.clocks.iter().flat_map(|clock| &clock.notices).any(|notice| notice.episode > 0)
        }
        _ => false,
    };
    if events.iter().any(names_episode) { 2 } else { 1 }
}

/// The commit in these bytes, whatever version wrote it, in today's words.
pub fn decode(bytes: &[u8]) -> Result<Commit, DecodeError> {
    let record = CommitRecord::decode(bytes).map_err(DecodeError::Malformed)?;
    match record.schema_version {
        0 => return Err(DecodeError::Invalid("the schema version is missing".to_owned())),
        found if found > SCHEMA_VERSION => return Err(DecodeError::Newer { found }),
        _ => {}
    }
    let written_in = record.schema_version;
    let mut record = upcast::upcast(record);
    let wire_events = std::mem::take(&mut record.events);
    let envelope = envelope(record).map_err(DecodeError::Invalid)?;
    // Not collected: that would keep the allocation of the events on the wire, which has room for six where one is needed.
    let mut events = Vec::with_capacity(wire_events.len());
    for (index, event) in wire_events.into_iter().enumerate() {
        let event = event.event.ok_or(DecodeError::UnknownEvent { index })?;
        let event = table::from_wire(event);
        events.push(event.map_err(|error| DecodeError::Invalid(format!("event {index}, {error}")))?);
    }
    if written_in >= UNMIXED_SINCE && is_mixed_with_notice(&events) {
        return Err(DecodeError::Invalid(EncodeError::MixedWithNotice.to_string()));
    }
    Ok(Commit { envelope, events })
}

/// As [`decode`], of what is stored in this stream. A commit that says that it belongs to another one is none of this one:
/// a copy of it would tell there what happened elsewhere.
pub fn decode_stored(stream_kind: &str, stream_id: &str, bytes: &[u8]) -> Result<Commit, DecodeError> {
    let commit = decode(bytes)?;
    let Envelope { stream_kind: said_kind, stream_id: said_id, .. } = &commit.envelope;
    if (said_kind.as_str(), said_id.as_str()) == (stream_kind, stream_id) {
        return Ok(commit);
    }
    Err(DecodeError::Invalid(format!("it says that it belongs to {said_kind}.{said_id}")))
}

/// The hash by which a stream's next commit names this one.
pub fn hash(bytes: &[u8]) -> CommitHash {
    Sha256::digest(bytes).into()
}

fn envelope(record: CommitRecord) -> Result<Envelope, String> {
    fn named<E: std::fmt::Display>(name: &'static str) -> impl Fn(E) -> String {
        move |error| format!("{name}: {error}")
    }
    let causation_id = match record.causation_id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(named("causation_id"))?),
    };
    let previous_hash = match record.previous_hash.as_slice() {
        [] => None,
        bytes => Some(bytes.try_into().map_err(named("previous_hash"))?),
    };
    Ok(Envelope {
        commit_id: record.commit_id.parse().map_err(named("commit_id"))?,
        stream_kind: record.stream_kind,
        stream_id: record.stream_id,
        revision: record.revision,
        actor: Actor::recorded(record.actor).map_err(named("actor"))?,
        correlation_id: record.correlation_id.parse().map_err(named("correlation_id"))?,
        causation_id,
        happened: Happened {
            occurred_at: Instant::from_wire(record.occurred_at).map_err(named("occurred_at"))?,
            recorded_at: Instant::from_wire(record.recorded_at).map_err(named("recorded_at"))?,
        },
        previous_hash,
        request_fingerprint: record.request_fingerprint,
    })
}
