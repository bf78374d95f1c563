//! A commit for people and for `jq`: drawn from the schema itself, so it shows what this build has no line for.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
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
    let message = DynamicMessage::decode(COMMIT_RECORD.clone(), bytes).map_err(DecodeError::Malformed)?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    let mut json = json.map_err(|error| DecodeError::Invalid(error.to_string()))?;
    if let Some(hash) = json.get_mut("previous_hash") {
        let record = <crate::proto::CommitRecord as prost::Message>::decode(bytes).map_err(DecodeError::Malformed)?;
        *hash = Value::String(hex::encode(record.previous_hash));
    }
    Ok(json)
}

/// The commit in one line: when, which stream and revision, who, and what happened.
pub fn to_line(bytes: &[u8]) -> Result<String, DecodeError> {
    let json = to_json(bytes)?;
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let revision = json.get("revision").and_then(Value::as_u64).unwrap_or_default();
    let events = json.get("events").and_then(Value::as_array).into_iter().flatten().map(event_text);
    Ok(format!(
        "{} {}/{} #{revision} {}: {}",
        text("recorded_at"),
        text("stream_kind"),
        text("stream_id"),
        text("actor"),
        events.collect::<Vec<_>>().join("; ")
    ))
}

fn event_text(event: &Value) -> String {
    match event.as_object().and_then(|event| event.iter().next()) {
        Some((name, Value::Object(fields))) if fields.is_empty() => name.clone(),
        Some((name, fields)) => format!("{name} {fields}"),
        None => "(an event that this version does not know)".to_owned(),
    }
}
