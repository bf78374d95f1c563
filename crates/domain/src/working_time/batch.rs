//! `cuiban deadline --batch`: one JSON line in, one out.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::deadline::{Measure, Pause};
use super::error::WorkingTimeError;
use super::working_calendar::WorkingCalendar;

const FIELDS: [&str; 6] = ["id", "from", "limit", "wall", "pauses", "warn"];

/// Answers one line: `{"id":…,"from":…,"limit":"6h","wall":false,"pauses":[["…",null]],"warn":"1h"}`.
///
/// The answer has `due` and, where asked for, `warn_at`; while a pause lasts `due` is null and `remaining` and
/// `remaining_s` say what is left. A line that cannot be answered has `error` with a stable `code`. The answer
/// has no line break; an `id` of any kind is given back.
pub fn deadline_line(calendar: &WorkingCalendar, line: &str) -> String {
    let request = parse_object(line);
    let id = request.as_ref().ok().and_then(|fields| fields.get("id").cloned());
    match request.and_then(|fields| answer(calendar, &fields)) {
        Ok(answer) => to_line(&AnswerLine { id, ..answer }),
        Err(refusal) => to_line(&RefusalLine { id, error: refusal }),
    }
}

/// Refuses one line for a reason that lies outside it, such as a calendar that could not be used.
pub fn error_line(line: &str, code: &str, detail: &str) -> String {
    let id = parse_object(line).ok().and_then(|fields| fields.get("id").cloned());
    to_line(&RefusalLine { id, error: Refusal { code: code.to_owned(), detail: detail.to_owned() } })
}

#[derive(Serialize)]
struct AnswerLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warn_at: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "super::seconds::optional::serialize")]
    remaining_s: Option<Duration>,
}

#[derive(Serialize)]
struct RefusalLine {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    error: Refusal,
}

#[derive(Serialize)]
struct Refusal {
    code: String,
    detail: String,
}

impl Refusal {
    fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

impl From<WorkingTimeError> for Refusal {
    fn from(error: WorkingTimeError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

fn answer(calendar: &WorkingCalendar, fields: &Map<String, Value>) -> Result<AnswerLine, Refusal> {
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let detail = format!("`{unknown}` is not a field of this line: use {}", FIELDS.join(", "));
        return Err(Refusal::new("field_unknown", detail));
    }
    let from = time("from", required(fields, "from")?)?;
    let limit = duration("limit", required(fields, "limit")?)?;
    let warn = given(fields, "warn").map(|value| duration("warn", value)).transpose()?;
    let pauses = pauses(given(fields, "pauses"))?;
    let measure = match given(fields, "wall") {
        None | Some(Value::Bool(false)) => Measure::Working,
        Some(Value::Bool(true)) => Measure::Wall,
        Some(_) => return Err(Refusal::new("field_malformed", "`wall` is true or false")),
    };
    let deadline = calendar.deadline(from, limit, &pauses, measure)?;
    let warn_at = match (warn, deadline.due_at()) {
        (None, _) => None,
        (Some(_), None) => Some(None),
        (Some(warn), Some(due_at)) => Some(Some(calendar.warn_at(due_at, warn, &pauses, measure)?)),
    };
    Ok(AnswerLine {
        id: None,
        due: deadline.due_at().map(rfc3339),
        warn_at: warn_at.map(|at| at.map(rfc3339)),
        remaining: deadline.remaining().map(|left| humantime::format_duration(left).to_string()),
        remaining_s: deadline.remaining(),
    })
}

fn parse_object(line: &str) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => {
            Err(Refusal::new("json_malformed", "the line is JSON but not an object: write {\"from\":…}"))
        }
        Err(error) => Err(Refusal::new("json_malformed", format!("the line is not JSON: {error}"))),
    }
}

/// A field that is there and not null.
fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn required<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value, Refusal> {
    given(fields, name)
        .ok_or_else(|| Refusal::new("field_missing", format!("`{name}` is missing: every line needs it")))
}

fn text<'a>(name: &str, value: &'a Value, example: &str) -> Result<&'a str, Refusal> {
    value.as_str().ok_or_else(|| {
        Refusal::new("field_malformed", format!("`{name}` is {value}: write it as text, like {example}"))
    })
}

fn time(name: &str, value: &Value) -> Result<DateTime<Utc>, Refusal> {
    let example = "\"2026-02-14T15:00:00+08:00\"";
    let written = text(name, value, example)?;
    if let Ok(at) = DateTime::parse_from_rfc3339(written) {
        return Ok(at.with_timezone(&Utc));
    }
    let without_zone = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .any(|form| NaiveDateTime::parse_from_str(written, form).is_ok());
    let (code, wrong) = if without_zone {
        ("time_without_zone", "has no zone")
    } else {
        ("time_malformed", "is not an RFC 3339 time")
    };
    Err(Refusal::new(code, format!("`{name}` {wrong}: write it like {example}")))
}

fn duration(name: &str, value: &Value) -> Result<Duration, Refusal> {
    let example = "\"6h\", \"90m\" or \"400days\"";
    let written = text(name, value, example)?;
    humantime::parse_duration(written.trim()).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => WorkingTimeError::OutOfRange.into(),
        _ => {
            let detail =
                format!("`{name}` is not a duration ({error}): write it like {example}, not negative");
            Refusal::new("duration_malformed", detail)
        }
    })
}

fn pauses(value: Option<&Value>) -> Result<Vec<Pause>, Refusal> {
    let malformed = || {
        let detail =
            "`pauses` is a list of pairs: [[\"begin\",\"end\"]], with null as the end while one lasts";
        Refusal::new("field_malformed", detail)
    };
    let Some(value) = value else { return Ok(Vec::new()) };
    let pair = |pair: &Value| match pair.as_array().map(Vec::as_slice) {
        Some([from, Value::Null]) => Ok(Pause { from: time("pauses", from)?, until: None }),
        Some([from, until]) => Ok(Pause { from: time("pauses", from)?, until: Some(time("pauses", until)?) }),
        _ => Err(malformed()),
    };
    value.as_array().ok_or_else(malformed)?.iter().map(pair).collect()
}

/// RFC 3339 in UTC, with a fraction only where there is one.
fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn to_line(answer: &impl Serialize) -> String {
    // Text, numbers and JSON values cannot fail to be written; should they, the line still says so.
    serde_json::to_string(answer).unwrap_or_else(|error| {
        format!("{{\"error\":{{\"code\":\"json_malformed\",\"detail\":{:?}}}}}", error.to_string())
    })
}
