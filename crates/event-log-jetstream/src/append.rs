//! Appending: one publish that states what it expects, and what each answer of the broker means.

use async_nats::HeaderMap;
use async_nats::client::RequestErrorKind;
use cuiban_event_log::{Append, AppendError, Appended, Expected, Position, StreamId, StreamVersion};
use serde::Deserialize;

use crate::api::{Broker, CallError, Refusal, parse};
use crate::config::millis;

/// The header that says which message of the stream comes before this one. The broker checks it and keeps it, so
/// that a stream can be read backwards along it.
pub(crate) const EXPECTED_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";

/// The header that says of which subjects: of the whole stream.
pub(crate) const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// "wrong last sequence: n": the stream is at n.
const WRONG_LAST_SEQUENCE: u64 = 10071;
/// The same without a number: another message of the stream is being stored at this moment.
const WRONG_LAST_SEQUENCE_IN_PROCESS: u64 = 10164;
/// A message with the same id is being stored at this moment.
const SAME_ID_IN_PROCESS: u64 = 10158;
/// "message size exceeds maximum allowed".
const MESSAGE_TOO_LARGE: u64 = 10054;
/// Refusals for want of room on the server or in the account.
const NO_ROOM: [u64; 3] = [10002, 10028, 10047];
/// Refusals that come before anything is stored: no resources, no JetStream, a sealed stream.
const NOTHING_STORED: [u64; 8] = [10002, 10008, 10023, 10028, 10039, 10047, 10076, 10109];

/// The broker's acknowledgement: stored, or (`duplicate`) an earlier message with the same id was.
#[derive(Deserialize)]
struct Acknowledgement {
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

/// Publishes one commit.
pub(crate) async fn append(broker: &Broker, append: Append) -> Result<Appended, AppendError> {
    let stream = append.stream;
    if let Some(detail) = broker.fitness.refusal() {
        let source = format!("the stream's settings were changed: {detail}").into();
        return Err(AppendError::Unavailable { stream, source });
    }
    let Some(expected) = sequence(append.expected) else {
        return Err(AppendError::Conflict { stream, actual: None });
    };
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_SEQUENCE, expected.to_string());
    headers.insert(EXPECTED_SUBJECT, broker.subjects.of_stream(&stream));
    // An id by which a broker may recognise the commit when it is sent again. It has the stream in it,
    // so that a commit of one stream is never taken for one of another.
    headers.insert("Nats-Msg-Id", format!("{stream}.{}", append.commit_id));
    let size_bytes = headers_bytes(&headers) + append.payload.len();
    let limit_bytes = broker.client.max_payload();
    if size_bytes > limit_bytes {
        return Err(AppendError::TooLarge { stream, size_bytes, limit_bytes });
    }
    let subject = broker.subjects.of_commit(&stream, &append.route);
    let timeout = millis(broker.config.append_ms_max);
    let asked = broker.majority.asked();
    let answer = broker.request(subject, Some(headers), append.payload, timeout).await;
    let answer = answer.and_then(|answer| parse::<Acknowledgement>(&answer.payload));
    match &answer {
        Ok(stored) if !stored.duplicate => broker.majority.heard(),
        answer => broker.note(asked, answer),
    }
    match &answer {
        Ok(_) => broker.fitness.stored(),
        Err(CallError::Refused(refusal)) if is_full(refusal) => {
            broker.fitness.refused_as_full(refusal.to_string());
        }
        Err(_) => {}
    }
    match answer {
        // The earlier message may have other bytes: another attempt at the command, decided at another time. Whoever
        // re-reads finds what is stored.
        Ok(stored) if stored.duplicate => Err(AppendError::Conflict { stream, actual: None }),
        Ok(stored) => Ok(Appended {
            position: Position::from_raw(stored.seq),
            version: StreamVersion::from_raw(stored.seq),
        }),
        Err(error) => Err(meaning(error, stream, size_bytes, limit_bytes)),
    }
}

/// The sequence that the stream's last message must have, 0 for none; `None` for a version that is never given.
fn sequence(expected: Expected) -> Option<u64> {
    match expected {
        Expected::NoStream => Some(0),
        Expected::At(version) => {
            Some(version.raw()).filter(|raw| (1..=i64::MAX.cast_unsigned()).contains(raw))
        }
    }
}

/// The size of the headers on the wire.
fn headers_bytes(headers: &HeaderMap) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let lines: usize =
        lines.map(|(name, value)| name.to_string().len() + value.as_str().len() + ": \r\n".len()).sum();
    "NATS/1.0\r\n\r\n".len() + lines
}

fn meaning(error: CallError, stream: StreamId, size_bytes: usize, limit_bytes: usize) -> AppendError {
    let nothing_was_stored = match &error {
        CallError::Refused(refusal) => match refusal.err_code {
            WRONG_LAST_SEQUENCE => return AppendError::Conflict { stream, actual: version_told(refusal) },
            WRONG_LAST_SEQUENCE_IN_PROCESS => return AppendError::Conflict { stream, actual: None },
            // What the server itself does not take was not sent: it is the stream's own limit, which somebody has lowered.
            MESSAGE_TOO_LARGE => {
                let lowered = format!("{refusal}: the stream's max_msg_size is below {size_bytes} bytes");
                return AppendError::Unavailable { stream, source: lowered.into() };
            }
            // Not by this message, but the one before it, with the same id, is on its way.
            SAME_ID_IN_PROCESS => false,
            code => NOTHING_STORED.contains(&code) || is_full(refusal),
        },
        CallError::NoAnswer(no_answer) if no_answer.kind() == RequestErrorKind::MaxPayloadExceeded => {
            return AppendError::TooLarge { stream, size_bytes, limit_bytes };
        }
        error => error.was_not_received(),
    };
    match nothing_was_stored {
        true => AppendError::Unavailable { stream, source: error.into() },
        false => AppendError::Unknown { stream, source: error.into() },
    }
}

/// A limit of the stream or the server is reached: `discard: new` refuses before storing.
fn is_full(refusal: &Refusal) -> bool {
    NO_ROOM.contains(&refusal.err_code)
        || refusal.description.contains("maximum messages exceeded")
        || refusal.description.contains("maximum bytes exceeded")
}

/// The version in "wrong last sequence: 17"; none for a stream without a commit.
fn version_told(refusal: &Refusal) -> Option<StreamVersion> {
    let (_, number) = refusal.description.rsplit_once(' ')?;
    number.parse().ok().filter(|raw| *raw > 0).map(StreamVersion::from_raw)
}

#[cfg(test)]
mod tests {
    use cuiban_event_log::Token;

    use super::*;

    fn meaning_of(err_code: u64, description: &str) -> AppendError {
        let stream = StreamId { kind: Token::new("ticket").unwrap(), id: Token::new("1").unwrap() };
        let refusal = Refusal { err_code, description: description.to_owned() };
        meaning(CallError::Refused(refusal), stream, 10, 5)
    }

    #[test]
    fn a_wrong_last_sequence_is_a_conflict_that_tells_the_version() {
        let seventeen = Some(StreamVersion::from_raw(17));
        let told = |description| match meaning_of(10071, description) {
            AppendError::Conflict { actual, .. } => actual,
            other => panic!("{other}"),
        };
        assert_eq!(told("wrong last sequence: 17"), seventeen);
        assert_eq!(told("wrong last sequence: 0"), None);
        assert!(matches!(
            meaning_of(10164, "wrong last sequence"),
            AppendError::Conflict { actual: None, .. }
        ));
    }

    #[test]
    fn refusals_before_storing_say_that_nothing_was_stored_and_others_do_not() {
        for (code, description) in [
            (10047, "insufficient storage"),
            (10008, "temporarily unavailable"),
            (10077, "maximum bytes exceeded"),
        ] {
            assert!(matches!(meaning_of(code, description), AppendError::Unavailable { .. }), "{code}");
        }
        for (code, description) in
            [(10158, "duplicate message id is in process"), (10077, "i/o error"), (1, "new")]
        {
            assert!(matches!(meaning_of(code, description), AppendError::Unknown { .. }), "{code}");
        }
        assert!(matches!(meaning_of(10054, "message size"), AppendError::Unavailable { .. }));
    }

    #[test]
    fn versions_that_are_never_given_are_not_sent() {
        let at = |raw| sequence(Expected::At(StreamVersion::from_raw(raw)));
        assert_eq!((at(0), at(u64::MAX), at(7)), (None, None, Some(7)));
        assert_eq!(sequence(Expected::NoStream), Some(0));
    }
}
