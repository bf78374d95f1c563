//! The description of the API: `/openapi.json`, and a page to read it at `/docs/`.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::api::Description;
use crate::{health, intake, live, office};

/// The description of everything that can be mounted, as committed in `docs/openapi.json`.
pub fn document() -> Value {
    let (_, commands) = intake::routes().into_parts();
    let (_, queries) = office::routes().into_parts();
    let (_, streams) = live::routes().into_parts();
    let (_, health) = health::described().into_parts();
    commands.merge(queries).merge(streams).merge(health).into_document()
}

/// What is described, for whoever wants to read it.
pub(crate) fn routes(described: Description) -> Router {
    let document = described.into_document();
    let page: Router = SwaggerUi::new("/docs").config(Config::from("/openapi.json")).into();
    let json = get(move || {
        let document = document.clone();
        async move { axum::Json(document) }
    });
    page.layer(middleware::from_fn(loosened)).route("/openapi.json", json)
}

/// The vendored page styles itself inline; its scripts are files of ours.
async fn loosened(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                  font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
