//! Alive (`/healthz`) and ready (`/readyz`), for whoever keeps the process running.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{self, Api, Operation};
use crate::front::Front;
use crate::refusal::Refusal;
use crate::status;

/// Both probes.
pub(crate) fn routes() -> Api<Arc<Front>> {
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
                "就绪：日志可达且读模型已跟上 / Ready: log reachable, models caught up",
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

/// Commands can be recorded and queries answered.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The log's last position.
    head: String,
    /// How far the read models are; none where there are none.
    models: Option<String>,
}

async fn ready(State(front): State<Arc<Front>>) -> Result<Json<Readiness>, Refusal> {
    let head = tokio::time::timeout(front.config.ready_wait(), front.log.head()).await;
    let head = match head {
        Ok(Ok(head)) => head,
        Ok(Err(_)) => return Err(Refusal::NotReady { reason: "the log is unavailable" }),
        Err(_) => return Err(Refusal::NotReady { reason: "the log does not answer" }),
    };
    let models = match &front.models {
        None => None,
        Some(models) if !models.is_ready() => {
            return Err(Refusal::NotReady { reason: "the read models are being built" });
        }
        Some(models) if !models.changes().borrow().caught_up => {
            return Err(Refusal::NotReady { reason: "the read models are catching up with the log" });
        }
        Some(models) => Some(models.position().to_string()),
    };
    Ok(Json(Readiness { status: "ready", head: head.to_string(), models }))
}
