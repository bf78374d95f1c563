//! The headers that commands and queries speak with.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use cuiban_event_log::Position;

use crate::refusal::Refusal;

/// A command's identity as the caller names it.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Who asks, where no tokens are configured.
pub(crate) const CUIBAN_ACTOR: HeaderName = HeaderName::from_static("cuiban-actor");
/// Where in the log the answer stands.
pub(crate) const CUIBAN_POSITION: HeaderName = HeaderName::from_static("cuiban-position");
/// How far the read models must have come before they answer.
pub(crate) const CUIBAN_MIN_POSITION: HeaderName = HeaderName::from_static("cuiban-min-position");
/// After which event a live stream goes on.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The longest idempotency key, in characters.
pub(crate) const IDEMPOTENCY_KEY_LENGTH_MAX: usize = 255;

/// The header's value, if it was sent; sent twice it is refused, and so is what is not ASCII.
pub(crate) fn one<'a>(sent: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = sent.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let absent = !sent.contains_key(name);
        return if absent { Ok(None) } else { Err(invalid(name, "send it once")) };
    };
    value.to_str().map(Some).map_err(|_| invalid(name, "visible ASCII characters only"))
}

/// The idempotency key: 1 to 255 visible ASCII characters.
pub(crate) fn idempotency_key(sent: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(key) = one(sent, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    let fits = (1..=IDEMPOTENCY_KEY_LENGTH_MAX).contains(&key.len());
    if fits && key.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Some(key))
    } else {
        Err(invalid(&IDEMPOTENCY_KEY, "1 to 255 visible ASCII characters"))
    }
}

/// The revision that `If-Match` insists on; none for `*`.
pub(crate) fn expected_revision(sent: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let Some(value) = one(sent, &header::IF_MATCH)? else { return Ok(None) };
    if value.trim() == "*" {
        return Ok(None);
    }
    let revision = value.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let revision = revision.and_then(|digits| digits.parse().ok());
    revision.map(Some).ok_or_else(|| invalid(&header::IF_MATCH, "one ETag as it was sent, such as \"3\""))
}

/// A position that the caller names in a header.
pub(crate) fn position(sent: &HeaderMap, name: &HeaderName) -> Result<Option<Position>, Refusal> {
    let Some(value) = one(sent, name)? else { return Ok(None) };
    value.trim().parse().map(Some).map_err(|_| invalid(name, "a position as Cuiban-Position tells it"))
}

/// A revision as an `ETag`.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// A position as a header's value.
pub(crate) fn position_value(position: Position) -> HeaderValue {
    HeaderValue::from(position.raw())
}

fn invalid(name: &HeaderName, reason: &'static str) -> Refusal {
    let header = match name.as_str() {
        "idempotency-key" => "Idempotency-Key",
        "cuiban-actor" => "Cuiban-Actor",
        "cuiban-min-position" => "Cuiban-Min-Position",
        "last-event-id" => "Last-Event-ID",
        "if-match" => "If-Match",
        "authorization" => "Authorization",
        _ => "header",
    };
    Refusal::InvalidHeader { header, reason }
}
