//! The door by which `fuzz/` reaches what a body is parsed with. It exists in fuzzing builds alone.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cuiban_domain::Instant;
use serde::de::DeserializeOwned;

use crate::intake::{self, ImportOfficialDays};

/// A body as the command it says to be, with `occurred_at`; or the refusal that the caller would read.
pub fn parse<C: DeserializeOwned>(body: &Bytes) -> Result<(C, Option<Instant>), Response> {
    let parsed = intake::parse(body).map_err(IntoResponse::into_response)?;
    Ok((parsed.command, parsed.occurred_at))
}

/// A body as an import of official days, read as far as its days.
pub fn read_official_days(body: &Bytes) -> Result<usize, Response> {
    let (import, _) = parse::<ImportOfficialDays>(body)?;
    import.read().map(|official| official.days.len()).map_err(IntoResponse::into_response)
}
