//! What a header or a part of a path looks like, by its name: for the description of the API.

use cuiban_domain::ids::{BranchId, NoticeId, Number, StaffId, TicketId};
use cuiban_domain::sla::ClockKind;
use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::{RefOr, Schema};

/// A header's form; in a request it is the one that is read, in an answer the one that is written.
pub(crate) fn header(name: &str) -> Value {
    let pattern = match name {
        "Retry-After" => return json!({ "type": "integer", "minimum": 0 }),
        "Cuiban-Actor" => return as_json(StaffId::schema()),
        "Idempotency-Key" => "^[!-~]{1,255}$",
        "If-Match" => r#"^(\*|"[0-9]{1,19}")$"#,
        "ETag" => r#"^"[0-9]{1,20}"$"#,
        "Cuiban-Min-Position" | "Last-Event-ID" => "^[0-9]{1,19}$",
        "Cuiban-Position" => "^[0-9]{1,20}$",
        _ => return json!({ "type": "string" }),
    };
    json!({ "type": "string", "pattern": pattern })
}

/// A path parameter's form. Queries take a ticket by its id or its number, commands by its id.
pub(crate) fn segment(method: &str, name: &str) -> Value {
    let schema = match name {
        "branch" => BranchId::schema(),
        "clock" => ClockKind::schema(),
        "notice" => NoticeId::schema(),
        // A ticket's id has a number's alphabet.
        "id" if method == "get" => Number::schema(),
        _ => TicketId::schema(),
    };
    as_json(schema)
}

fn as_json(schema: RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}
