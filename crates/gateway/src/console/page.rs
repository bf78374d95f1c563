//! What all pages have in common: the content security policy, and refusals that a person can read.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::refusal::Refusal;
use crate::{status, texts};

/// Files of our own and nothing else: no inline script, no inline style, no other site, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A drawn page.
pub(super) struct Page<T>(pub(super) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => drawn(status::DONE, html),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a page cannot be drawn");
                Refusal::Internal.into_response()
            }
        }
    }
}

fn drawn(status: StatusCode, html: String) -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    (status, [policy], Html(html)).into_response()
}

/// A refusal as a page.
pub(super) struct Refused(Refusal);

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    title: &'static str,
    detail: String,
    passes: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let page = RefusedPage {
            title: texts::title(&self.0),
            detail: texts::detail(&self.0),
            passes: status::of(&self.0) == StatusCode::SERVICE_UNAVAILABLE,
        };
        match page.render() {
            Ok(html) => drawn(status::of(&self.0), html),
            Err(_) => self.0.into_response(),
        }
    }
}
