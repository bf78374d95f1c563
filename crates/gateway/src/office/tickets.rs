//! Tickets: the list, one of them, its history, and what may be the same call (R5).

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cuiban_domain::Rejection;
use cuiban_domain::ids::{BranchId, Number, TicketId};
use cuiban_domain::people::Phone;
use cuiban_domain::text::Name;
use cuiban_domain::ticket::TicketKind;
use cuiban_projector::{TicketFilter, TicketRow, TimelineEntry};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{Page, PageQuery};
use crate::api::{self, Api, Operation};
use crate::extract::{Params, Segment};
use crate::front::Office;
use crate::headers::etag;
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    let query = |summary| Operation::new(api::TICKETS, summary);
    let etag = &[("ETag", "修订号 / the revision")];
    api.get(
        "/v1/tickets",
        list,
        query("查询工单 / Tickets, the latest call first")
            .query::<TicketsQuery>()
            .answer::<Page<TicketRow>>(status::DONE, "一页 / a page", &[])
            .of_a_query(),
    )
    .get(
        "/v1/tickets/{id}",
        one,
        query("一张工单 / A ticket, by id or number")
            .answer::<TicketRow>(status::DONE, "工单 / the ticket", etag)
            .of_a_query(),
    )
    .get(
        "/v1/tickets/{id}/history",
        history,
        query("全部经过 / A ticket's full timeline (R2)")
            .answer::<Page<TimelineEntry>>(status::DONE, "经过 / the timeline", etag)
            .of_a_query(),
    )
    .get(
        "/v1/duplicates",
        duplicates,
        query("疑似重复 / Calls that may be about the same thing (R5)")
            .query::<DuplicatesQuery>()
            .answer::<Page<TicketRow>>(status::DONE, "疑似重复 / possible duplicates", &[])
            .of_a_query(),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct TicketsQuery {
    /// 服务中心 / of this branch.
    #[param(inline)]
    branch: Option<BranchId>,
    /// 类别 / of this kind.
    #[param(inline)]
    kind: Option<TicketKind>,
    /// 仅未结束 / only those that are open.
    #[serde(default)]
    open: bool,
    /// 客户电话 / of the customer with this number.
    #[param(inline)]
    phone: Option<Phone>,
    /// 编号、姓名、地址、产品、序列号、描述中的文字 / words in number, name, address, product, serial, description.
    q: Option<String>,
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many rows.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

async fn list(
    State(office): State<Office>,
    Params(query): Params<TicketsQuery>,
) -> Result<Json<Page<TicketRow>>, Refusal> {
    let page = PageQuery::new(query.cursor, query.limit).into_page(&office.front.config)?;
    let text = query.q.filter(|text| !text.trim().is_empty());
    let filter = TicketFilter {
        branch: query.branch,
        kind: query.kind,
        open_only: query.open,
        phone: query.phone,
        text,
    };
    Ok(Json(office.ask(move |models| models.tickets(&filter, &page)).await?.into()))
}

/// A ticket named by its id, or by its number for people.
#[derive(Clone, Debug)]
pub(crate) enum TicketName {
    Id(TicketId),
    Number(Number),
}

impl std::str::FromStr for TicketName {
    type Err = cuiban_domain::ids::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => Number::new(text).map(Self::Number),
        }
    }
}

impl Office {
    /// The ticket of this name.
    pub(crate) async fn ticket(&self, name: TicketName) -> Result<TicketRow, Refusal> {
        let row = self.ask(move |models| match &name {
            TicketName::Id(id) => models.ticket(*id),
            TicketName::Number(number) => models.ticket_by_number(number.as_str()),
        });
        row.await?.ok_or(Refusal::Rejected(Rejection::TicketNotFound))
    }
}

async fn one(State(office): State<Office>, Segment(name): Segment<TicketName>) -> Result<Response, Refusal> {
    let row = office.ticket(name).await?;
    Ok(([(header::ETAG, etag(row.revision))], Json(row)).into_response())
}

async fn history(
    State(office): State<Office>,
    Segment(name): Segment<TicketName>,
) -> Result<Response, Refusal> {
    let row = office.ticket(name).await?;
    let entries = office.ask(move |models| models.timeline(row.ticket)).await?;
    let revision = entries.last().map_or(row.revision, |entry| entry.revision);
    Ok(([(header::ETAG, etag(revision))], Json(Page::whole(entries))).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct DuplicatesQuery {
    /// 客户电话 / the customer's number.
    #[param(inline)]
    phone: Phone,
    /// 产品型号 / the product model.
    #[param(inline)]
    product: Name,
    /// 类别 / the kind.
    #[param(inline)]
    kind: TicketKind,
}

async fn duplicates(
    State(office): State<Office>,
    Params(query): Params<DuplicatesQuery>,
) -> Result<Json<Page<TicketRow>>, Refusal> {
    let window = office.front.organisation().company().policy.duplicate_window.duration();
    let now = office.front.now();
    let rows = office
        .ask(move |models| models.possible_duplicates(&query.phone, &query.product, query.kind, now, window));
    Ok(Json(Page::whole(rows.await?)))
}
