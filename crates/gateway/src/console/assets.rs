//! The files of the pages: style, script, icon. They hold nobody's data and need no token.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// (path, media type, content).
const FILES: &[(&str, &str, &str)] = &[
    ("/assets/console.css", "text/css; charset=utf-8", include_str!("../../assets/console.css")),
    ("/assets/live.js", "text/javascript; charset=utf-8", include_str!("../../assets/live.js")),
    ("/assets/htmx.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx-2.0.11.min.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Every file at its path.
pub(crate) fn routes() -> Router {
    FILES.iter().fold(Router::new(), |router, (path, media_type, content)| {
        let etag = format!("\"{:x}\"", Sha256::digest(content))[..18].to_owned() + "\"";
        router.route(path, get(move |sent: HeaderMap| async move { file(&sent, media_type, &etag, content) }))
    })
}

/// The file, unless the caller has it already.
fn file(sent: &HeaderMap, media_type: &'static str, etag: &str, content: &'static str) -> Response {
    let known = sent.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { content.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    response
}
