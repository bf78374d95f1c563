//! Live updates (实时): what happens in a branch, as it happens, as server-sent events.
//!
//! Each commit is one event: `id:` is its position, so that `Last-Event-ID` goes on without gap or repeat. A
//! [`stream`] follows the log itself, not a read model; [`message`] is what a listener is told of a commit.

mod message;
mod stream;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{KeepAlive, Sse};
use cuiban_domain::ids::BranchId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::{self, Api, Operation};
use crate::extract::Params;
use crate::front::Office;
use crate::gateway::Stopping;
use crate::headers::{self, LAST_EVENT_ID};
use crate::refusal::Refusal;
use crate::status;

/// The one stream.
pub(crate) fn routes() -> Api<Office> {
    Api::new().get(
        "/v1/live",
        live,
        Operation::new(api::EXPEDITING, "实时消息 / What happens, as it happens (server-sent events)")
            .query::<LiveQuery>()
            .header("Last-Event-ID", "从此位置之后继续 / go on after this position")
            .text_answer(
                status::DONE,
                "事件：ready、notice、ticket、alert、organisation / events: ready, notice, ticket, alert, organisation",
                "text/event-stream",
            )
            .refusals(status::LIVE_REFUSALS),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct LiveQuery {
    /// 服务中心；缺省为全部 / of this branch; of all if left out.
    #[param(inline)]
    branch: Option<BranchId>,
}

async fn live(
    State(office): State<Office>,
    Params(query): Params<LiveQuery>,
    stopping: Option<Extension<Stopping>>,
    sent: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let after = headers::position(&sent, &LAST_EVENT_ID)?;
    if let Some(branch) = &query.branch {
        office.known_branch(branch)?;
    }
    let stopping = stopping.map(|Extension(stopping)| stopping);
    let events = stream::open(&office, query.branch, after, stopping).await?;
    let keep_alive = KeepAlive::new().interval(office.front.config.live_keep_alive());
    Ok(Sse::new(events).keep_alive(keep_alive))
}
