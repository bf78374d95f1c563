//! Expedite notices (催办单) and how they were pushed.

use axum::Json;
use axum::extract::State;
use cuiban_domain::ids::{BranchId, NoticeId};
use cuiban_projector::{DeliveryRow, NoticeRow};
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::{Page, PageQuery};
use crate::api::{self, Api, Operation};
use crate::extract::{Params, Segment};
use crate::front::Office;
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    let query = |summary| Operation::new(api::EXPEDITING, summary).of_a_query();
    api.get(
        "/v1/notices",
        list,
        query("催办单 / Expedite notices, the latest first (R60)")
            .query::<NoticesQuery>()
            .answer::<Page<NoticeRow>>(status::DONE, "一页 / a page", &[]),
    )
    .get(
        "/v1/notices/{notice}",
        one,
        query("一张催办单 / An expedite notice").answer::<NoticeRow>(
            status::DONE,
            "催办单 / the notice",
            &[],
        ),
    )
    .get(
        "/v1/notices/{notice}/deliveries",
        deliveries,
        query("送达记录 / How a notice was pushed").answer::<Page<DeliveryRow>>(
            status::DONE,
            "送达 / deliveries",
            &[],
        ),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct NoticesQuery {
    /// 服务中心 / of this branch.
    #[param(inline)]
    branch: Option<BranchId>,
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many rows.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

async fn list(
    State(office): State<Office>,
    Params(query): Params<NoticesQuery>,
) -> Result<Json<Page<NoticeRow>>, Refusal> {
    let page = PageQuery::new(query.cursor, query.limit).into_page(&office.front.config)?;
    let mut notices = office.ask(move |models| models.notices(query.branch.as_ref(), &page)).await?;
    notices.rows = notices.rows.into_iter().map(|row| office.front.with_deliveries(row)).collect();
    Ok(Json(notices.into()))
}

async fn one(
    State(office): State<Office>,
    Segment(notice): Segment<NoticeId>,
) -> Result<Json<NoticeRow>, Refusal> {
    let row = office.ask(move |models| models.notice(notice)).await?;
    row.map(|row| Json(office.front.with_deliveries(row))).ok_or(Refusal::NoticeNotFound)
}

async fn deliveries(
    State(office): State<Office>,
    Segment(notice): Segment<NoticeId>,
) -> Result<Json<Page<DeliveryRow>>, Refusal> {
    let row = office.ask(move |models| models.notice(notice)).await?.ok_or(Refusal::NoticeNotFound)?;
    Ok(Json(Page::whole(office.front.with_deliveries(row).deliveries)))
}
