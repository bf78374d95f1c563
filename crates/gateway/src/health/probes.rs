//! Alive (`/healthz`), ready (`/readyz`) and figures (`/metrics`), for whoever keeps the process running.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use cuiban_vitals::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::Look;
use crate::api::{self, Api, Operation};
use crate::front::Front;
use crate::refusal::Refusal;
use crate::status;

/// Both probes.
pub(crate) fn described() -> Api<Arc<Front>> {
    Api::new()
        .get(
            "/healthz",
            alive,
            Operation::new(api::SERVICE, "存活 / Alive").answer::<Health>(status::DONE, "存活 / alive", &[]),
        )
        .get(
            "/readyz",
            ready,
            Operation::new(
                api::SERVICE,
                "就绪：本角色的工作没有受阻 / Ready: nothing stops this role's own work",
            )
            .answer::<Readiness>(status::DONE, "就绪 / ready", &[])
            .refusals(&[status::NOT_READY]),
        )
}

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `alive`.
    #[schema(example = "alive")]
    status: &'static str,
}

async fn alive() -> Json<Health> {
    Json(Health { status: "alive" })
}

/// Nothing stops this role's own work.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Which process: its role and its name.
    #[schema(example = "projector/host-1")]
    instance: String,
    /// Which build.
    build: &'static str,
    /// The log's last position; none while the log does not say.
    head: Option<String>,
    /// How far the read models are; none where there are none.
    models: Option<String>,
    /// What is wrong all the same, here or at another instance.
    warnings: Vec<Problem>,
}

async fn ready(State(front): State<Arc<Front>>) -> Result<Json<Readiness>, Refusal> {
    let Look { head, models, problems } = (*front.health.look().await).clone();
    let (stopping, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.stops);
    if !stopping.is_empty() {
        return Err(Refusal::Stopped { problems: stopping, warnings });
    }
    let vitals = front.health.vitals();
    Ok(Json(Readiness {
        status: "ready",
        instance: vitals.who(),
        build: vitals.build(),
        head: head.map(|head| head.to_string()),
        models: models.map(|models| models.to_string()),
        warnings,
    }))
}

/// `GET /metrics`: all figures, in the form that Prometheus reads.
pub(crate) async fn figures(State(front): State<Arc<Front>>) -> impl IntoResponse {
    front.health.look().await;
    front.health.measure_stores().await;
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, form)], front.health.vitals().render())
}
