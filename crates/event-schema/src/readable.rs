//! A commit for people and for `jq`: drawn from the schema itself, so it shows what this build has no line for.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value as Field,
};
use serde_json::Value;

use crate::DecodeError;

static COMMIT_RECORD: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let descriptors = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
    #[expect(clippy::expect_used, reason = "built from proto/ by our own build script")]
    let pool = DescriptorPool::decode(descriptors.as_slice()).expect("the built descriptors decode");
    #[expect(clippy::expect_used, reason = "named in proto/cuiban/log/v1/commit.proto")]
    pool.get_message_by_name("cuiban.log.v1.CommitRecord").expect("the schema has a CommitRecord")
});

/// The commit in protobuf's JSON mapping, with the field names of `proto/`.
pub fn to_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    let message = reflect(bytes)?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    let mut json = json.map_err(|error| DecodeError::Invalid(error.to_string()))?;
    if let Some(hash) = json.get_mut("previous_hash") {
        let record =
            <crate::proto::CommitRecord as prost::Message>::decode(bytes).map_err(DecodeError::Malformed)?;
        *hash = Value::String(hex::encode(record.previous_hash));
    }
    Ok(json)
}

/// The commit in one line: when, which stream and revision, who, and what happened.
///
/// `2026-03-04T07:30:00Z (happened 2026-03-04T06:10:00Z) ticket/0199… #4 K1: TechnicianArrived technician=T1; …`.
/// The happening is told where it differs from the recording (R2). Words of an enumeration are in lower case,
/// durations as `1h30m`, what is not set is left out.
pub fn to_line(bytes: &[u8]) -> Result<String, DecodeError> {
    let commit = reflect(bytes)?;
    let text = |name: &str| match commit.get_field_by_name(name) {
        Some(field) if commit.has_field_by_name(name) => plain_text(&field),
        _ => "-".to_owned(),
    };
    let (recorded_at, occurred_at) = (text("recorded_at"), text("occurred_at"));
    let happened =
        if occurred_at == recorded_at { String::new() } else { format!(" (happened {occurred_at})") };
    let events = commit.get_field_by_name("events");
    let events = events.as_ref().and_then(|events| events.as_list()).into_iter().flatten().map(event_text);
    Ok(format!(
        "{recorded_at}{happened} {}/{} #{} {}: {}",
        text("stream_kind"),
        text("stream_id"),
        text("revision"),
        text("actor"),
        events.collect::<Vec<_>>().join("; ")
    ))
}

fn reflect(bytes: &[u8]) -> Result<DynamicMessage, DecodeError> {
    DynamicMessage::decode(COMMIT_RECORD.clone(), bytes).map_err(DecodeError::Malformed)
}

/// `TechnicianArrived technician=T1`.
fn event_text(event: &Field) -> String {
    let chosen = event.as_message().and_then(|event| event.fields().next());
    match chosen.as_ref().map(|(_, event)| event.as_message()) {
        Some(Some(message)) => {
            let name = message.descriptor().name().to_owned();
            let fields = fields_text(message);
            if fields.is_empty() { name } else { format!("{name} {fields}") }
        }
        _ => "(an event that this version does not know)".to_owned(),
    }
}

/// `technician=T1 customer_signed=true`; counts and truths are told even where they are 0 and false.
fn fields_text(message: &DynamicMessage) -> String {
    let is_told = |field: &FieldDescriptor| {
        let counts = matches!(field.kind(), Kind::Bool | Kind::Uint32 | Kind::Uint64);
        message.has_field(field) || (counts && !field.is_list() && !field.supports_presence())
    };
    let descriptor = message.descriptor();
    let fields = descriptor
        .fields()
        .filter(is_told)
        .map(|field| format!("{}={}", field.name(), value_text(&message.get_field(&field), &field.kind())));
    fields.collect::<Vec<_>>().join(" ")
}

fn value_text(value: &Field, kind: &Kind) -> String {
    match (value, kind) {
        (Field::EnumNumber(number), Kind::Enum(words)) => word_of(*number, words),
        (Field::List(values), _) => {
            let texts: Vec<_> = values.iter().map(|value| value_text(value, kind)).collect();
            format!("[{}]", texts.join(", "))
        }
        (Field::String(text), _) if needs_quotes(text) => format!("{text:?}"),
        _ => plain_text(value),
    }
}

/// `CLOCK_KIND_DISPATCH` of `ClockKind` is `dispatch`.
fn word_of(number: i32, words: &EnumDescriptor) -> String {
    let prefix = words.get_value(0).map(|zero| zero.name().trim_end_matches("UNSPECIFIED").to_owned());
    match words.get_value(number) {
        Some(word) => word.name().trim_start_matches(prefix.as_deref().unwrap_or("")).to_lowercase(),
        None => number.to_string(),
    }
}

fn plain_text(value: &Field) -> String {
    match value {
        Field::Bool(truth) => truth.to_string(),
        Field::I32(number) => number.to_string(),
        Field::U32(number) => number.to_string(),
        Field::U64(number) => number.to_string(),
        Field::String(text) => text.clone(),
        Field::Bytes(bytes) => hex::encode(bytes),
        Field::Message(message) => message_text(message),
        other => format!("{other:?}"),
    }
}

fn message_text(message: &DynamicMessage) -> String {
    let seconds =
        || message.get_field_by_name("seconds").and_then(|seconds| seconds.as_i64()).unwrap_or_default();
    let nanos = || {
        let nanos = message.get_field_by_name("nanos").and_then(|nanos| nanos.as_i32()).unwrap_or_default();
        u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)
    };
    let text = match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => nanos()
            .and_then(|nanos| DateTime::<Utc>::from_timestamp(seconds(), nanos))
            .map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        "google.protobuf.Duration" => u64::try_from(seconds()).ok().zip(nanos()).map(|(seconds, nanos)| {
            humantime::format_duration(Duration::new(seconds, nanos)).to_string().replace(' ', "")
        }),
        _ => None,
    };
    text.unwrap_or_else(|| format!("{{{}}}", fields_text(message)))
}

fn needs_quotes(text: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "{}[]\"=;,".contains(c);
    text.is_empty() || text.chars().any(is_odd)
}
