//! Reading paths, query strings and bodies so that whatever is wrong with them is answered as a problem.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::headers;
use crate::refusal::Refusal;

/// The path's only parameter.
pub(crate) struct Segment<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: Display> + Send> FromRequestParts<S> for Segment<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::InvalidId { reason: "not readable as UTF-8".to_owned() })?;
        parsed(&text).map(Self)
    }
}

/// The path's two parameters.
pub(crate) struct Segments<A, B>(pub(crate) A, pub(crate) B);

impl<S, A, B> FromRequestParts<S> for Segments<A, B>
where
    S: Send + Sync,
    A: FromStr<Err: Display> + Send,
    B: FromStr<Err: Display> + Send,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path((a, b)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::InvalidId { reason: "not readable as UTF-8".to_owned() })?;
        Ok(Self(parsed(&a)?, parsed(&b)?))
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: T::Err| Refusal::InvalidId { reason: error.to_string() })
}

/// The query string.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let Query(params) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let reason = std::error::Error::source(&rejection).map_or_else(String::new, ToString::to_string);
            Refusal::InvalidQuery { reason }
        })?;
        Ok(Self(params))
    }
}

/// The whole JSON body as bytes. A body of no bytes needs no content type.
pub(crate) async fn json_bytes(sent: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Refusal> {
    let announced =
        headers::one(sent, &header::CONTENT_LENGTH)?.and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit_bytes) {
        return Err(Refusal::BodyTooLarge { limit_bytes });
    }
    let bytes = axum::body::to_bytes(body, limit_bytes).await.map_err(|error| {
        if exceeds_limit(&error) { Refusal::BodyTooLarge { limit_bytes } } else { Refusal::BodyUnreadable }
    })?;
    if bytes.is_empty() || is_json(sent) { Ok(bytes) } else { Err(Refusal::UnsupportedMediaType) }
}

fn exceeds_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.to_string().contains("length limit exceeded"))
}

fn is_json(sent: &HeaderMap) -> bool {
    let media_type = sent.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}
