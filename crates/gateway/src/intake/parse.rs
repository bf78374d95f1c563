//! From bytes to a command: `occurred_at` is taken out, the rest parses itself, and what is wrong is named by its place.

use bytes::Bytes;
use cuiban_domain::Instant;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::refusal::Refusal;

/// The property that every command's body may have besides its own (R2).
pub(crate) const OCCURRED_AT: &str = "occurred_at";

/// A body that was understood.
#[derive(Debug)]
pub(crate) struct Parsed<C> {
    pub(crate) command: C,
    pub(crate) occurred_at: Option<Instant>,
}

/// Longest part of a parser's message that is passed on, in characters.
const REASON_LENGTH_MAX: usize = 300;

/// Parses a JSON object; no bytes at all are an object without fields.
pub(crate) fn parse<C: DeserializeOwned>(bytes: &Bytes) -> Result<Parsed<C>, Refusal> {
    let body: Value = if bytes.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(bytes)
            .map_err(|error| Refusal::MalformedJson { line: error.line(), column: error.column() })?
    };
    let Value::Object(mut fields) = body else { return Err(Refusal::NotAnObject) };
    let occurred_at = fields.remove(OCCURRED_AT).map(occurred_at).transpose()?.flatten();
    let command = serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let message = error.inner().to_string();
        fault(error.path(), &message)
    })?;
    Ok(Parsed { command, occurred_at })
}

fn occurred_at(value: Value) -> Result<Option<Instant>, Refusal> {
    let refused = || Refusal::InvalidValue {
        pointer: format!("/{OCCURRED_AT}"),
        reason: "write an RFC 3339 time with its offset, such as 2026-11-22T15:30:00+08:00".to_owned(),
    };
    match value {
        Value::Null => Ok(None),
        Value::String(text) => {
            let at = chrono::DateTime::parse_from_rfc3339(text.trim()).map_err(|_| refused())?;
            // To the microsecond, as the log keeps it; a leap second is read as the second after it.
            Instant::from_timestamp_micros(at.timestamp_micros()).map(Some).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

/// The parser says in words which field it means when the field itself is missing or unknown.
fn fault(path: &Path, message: &str) -> Refusal {
    let named = |prefix: &str| message.strip_prefix(prefix)?.split('`').next();
    let below = |name: &str| {
        let pointer = pointer(path);
        let token = escaped(name);
        if pointer.ends_with(&format!("/{token}")) { pointer } else { format!("{pointer}/{token}") }
    };
    if let Some(name) = named("missing field `") {
        return Refusal::MissingField { pointer: format!("{}/{}", pointer(path), escaped(name)) };
    }
    if let Some(name) = named("unknown field `") {
        return Refusal::UnknownField { pointer: below(name) };
    }
    let chronos = ["premature end of input", "input contains invalid characters", "input is out of range"];
    let reason = if chronos.iter().any(|said| message.starts_with(said)) {
        "write a date as 2026-11-22 and a time as RFC 3339 with its offset, 2026-11-22T15:30:00+08:00"
            .to_owned()
    } else {
        message.chars().take(REASON_LENGTH_MAX).collect()
    };
    Refusal::InvalidValue { pointer: pointer(path), reason }
}

/// The place as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escaped(key)),
            Segment::Enum { variant } => format!("/{}", escaped(variant)),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use cuiban_domain::organisation::SetCompanyCalendar;
    use cuiban_domain::ticket::{DispatchTechnician, RegisterTicket, RespondToCustomer};

    use super::*;

    fn refused<C: DeserializeOwned + std::fmt::Debug>(body: &str) -> Refusal {
        parse::<C>(&Bytes::copy_from_slice(body.as_bytes())).unwrap_err()
    }

    fn pointer_of(refusal: Refusal) -> String {
        match refusal {
            Refusal::MissingField { pointer } => format!("missing {pointer}"),
            Refusal::UnknownField { pointer } => format!("unknown {pointer}"),
            Refusal::InvalidValue { pointer, .. } => format!("invalid {pointer}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn names_the_place_of_every_fault() {
        let call = r#""kind":"repair","channel":"phone","product_model":"X","description":"d","branch":"B0""#;
        for (body, place) in [
            (format!("{{{call}}}"), "missing /customer"),
            (format!(r#"{{{call},"customer":{{"name":"张三"}}}}"#), "missing /customer/phone"),
            (format!(r#"{{{call},"customer":{{"name":"张三","phone":"12"}}}}"#), "invalid /customer/phone"),
            (
                format!(r#"{{{call},"customer":{{"name":"张三","phone":"13800138000","fax":"1"}}}}"#),
                "unknown /customer/fax",
            ),
            (
                format!(r#"{{{call},"customer":{{"name":"张三","phone":"13800138000"}},"a/b~":1}}"#),
                "unknown /a~1b~0",
            ),
            (
                format!(r#"{{{call},"customer":{{"name":7,"phone":"13800138000"}}}}"#),
                "invalid /customer/name",
            ),
            (
                format!(
                    r#"{{{call},"customer":{{"name":"张三","phone":"13800138000"}},"happened_at":"2026-11-22T10:00:00"}}"#
                ),
                "invalid /happened_at",
            ),
        ] {
            assert_eq!(pointer_of(refused::<RegisterTicket>(&body)), place, "{body}");
        }
        let nested = r#"{"calendar":{"weekly":{"mon":["08:30-12:00","25:00-26:00"]}}}"#;
        assert_eq!(pointer_of(refused::<SetCompanyCalendar>(nested)), "invalid /calendar/weekly/mon/1");
        let zoneless =
            r#"{"technician":"T1","visit":{"from":"2026-11-22 10:00","until":"2026-11-22T11:00:00Z"}}"#;
        assert_eq!(pointer_of(refused::<DispatchTechnician>(zoneless)), "invalid /visit/from");
    }

    #[test]
    fn occurred_at_is_taken_out_before_the_command_is_parsed() {
        let body = Bytes::from(r#"{"channel":"phone","occurred_at":"2026-11-22T15:30:00.1234567+08:00"}"#);
        let parsed = parse::<RespondToCustomer>(&body).unwrap();
        assert_eq!(parsed.occurred_at.unwrap().to_rfc3339(), "2026-11-22T07:30:00.123456+00:00");
        for bad in [r#""2026-11-22T15:30:00""#, r#""2026-11-22""#, "5", r#""""#, "{}"] {
            let body = format!(r#"{{"channel":"phone","occurred_at":{bad}}}"#);
            assert_eq!(pointer_of(refused::<RespondToCustomer>(&body)), "invalid /occurred_at");
        }
    }

    #[test]
    fn only_objects_are_commands() {
        assert_eq!(refused::<RespondToCustomer>("[]"), Refusal::NotAnObject);
        assert_eq!(refused::<RespondToCustomer>("null"), Refusal::NotAnObject);
        assert!(matches!(refused::<RespondToCustomer>("{"), Refusal::MalformedJson { line: 1, .. }));
        assert_eq!(pointer_of(refused::<RespondToCustomer>("")), "missing /channel");
        let deep = "[".repeat(100_000);
        assert!(matches!(refused::<RespondToCustomer>(&deep), Refusal::MalformedJson { .. }));
    }
}
