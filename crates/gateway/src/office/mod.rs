//! Office (查询): what the branch service offices ask of the read models.
//!
//! Every answer tells with `Cuiban-Position` how far the models have come, and waits, bounded, for
//! `Cuiban-Min-Position`. A list is `{data, next_cursor}`; a row is the read model's own.

mod branches;
mod calendar_preview;
mod company;
mod explain;
mod notices;
mod page;
mod tickets;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cuiban_projector::{ReadError, ReadModels};

use crate::api::Api;
use crate::front::Office;
use crate::headers::{self, CUIBAN_MIN_POSITION, CUIBAN_POSITION, position_value};
use crate::refusal::Refusal;

pub(crate) use page::{Page, PageQuery};
pub(crate) use tickets::TicketName;

/// All queries.
pub(crate) fn routes() -> Api<Office> {
    let api = tickets::routes(Api::new());
    let api = explain::routes(api);
    let api = branches::routes(api);
    let api = notices::routes(api);
    let api = company::routes(api);
    calendar_preview::routes(api)
}

impl Office {
    /// Asks the read models where waiting for a disk harms nobody.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&ReadModels) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let models = self.models.clone();
        let answer = tokio::task::spawn_blocking(move || question(&models)).await;
        match answer {
            Ok(answer) => answer.map_err(Refusal::from),
            Err(failed) => {
                tracing::error!(error = %failed, "a query of the read models failed");
                Err(Refusal::Internal)
            }
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotReady { cursor, .. } => Self::ModelsBehind { position: cursor.raw() },
            ReadError::InvalidCursor(_) => {
                Self::InvalidQuery { reason: "`cursor` is not one that a page gave".to_owned() }
            }
            ReadError::UnknownBranch(branch) => Self::BranchNotFound { branch },
            ReadError::Unavailable { .. } => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the read models cannot answer");
                Self::NotReady { reason: "the read models are being mended" }
            }
        }
    }
}

/// Waits for the position that the caller insists on, and tells how far the models are.
pub(crate) async fn min_position(State(office): State<Office>, request: Request, next: Next) -> Response {
    let wanted = match headers::position(request.headers(), &CUIBAN_MIN_POSITION) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(wanted) = wanted {
        let wait = office.front.config.min_position_wait();
        if let Err(lagging) = office.models.wait_for(wanted, wait).await {
            return Refusal::ModelsBehind { position: lagging.reached.raw() }.into_response();
        }
    }
    // Read before the rows are: they show at least this much.
    let position = office.models.position();
    let mut response = next.run(request).await;
    response.headers_mut().insert(CUIBAN_POSITION, position_value(position));
    response
}
