//! Alerts (提醒) and how they were pushed: listed, and sent again by hand.
//!
//! What the record of deliveries says stands beside what builds before wrote into the log, which the read models keep.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use cuiban_deliveries::{Board, Delivery, DeliveryState, MessageId, PutError, Standing, Version, send_again};
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, NoticeId, Number};
use cuiban_domain::text::Line;
use cuiban_projector::{DeliveryOutcome, DeliveryRow, NoticeRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::{self, Api, Operation};
use crate::extract::{Params, Segment};
use crate::front::Front;
use crate::office::Page;
use crate::refusal::Refusal;
use crate::status;

/// Alerts, where commands are taken: what is listed there is sent again there.
pub(crate) fn routes(api: Api<Arc<Front>>) -> Api<Arc<Front>> {
    api.get(
        "/v1/alerts",
        list,
        Operation::new(
            api::EXPEDITING,
            "提醒与送达，最新在前 / Alerts and how they were pushed, the latest first",
        )
        .refusals(status::QUERY_REFUSALS)
        .query::<AlertsQuery>()
        .answer::<Page<AlertRow>>(status::DONE, "提醒 / alerts", &[]),
    )
    .post(
        "/v1/alerts/{alert}/resend",
        resend,
        Operation::new(api::EXPEDITING, "重新推送 / Send an alert again")
            .query::<ResendQuery>()
            .refusals(status::COMMAND_REFUSALS)
            .answer::<Page<AlertRow>>(status::DONE, "已要求重新推送 / asked for", &[]),
    )
}

/// One message on one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AlertRow {
    /// The channel.
    channel: ChannelId,
    /// The message: the alert's id, a digest's, or `<notice>/withdrawn`.
    message: String,
    /// The alerts that it tells of.
    alerts: Vec<Uuid>,
    /// The branch.
    branch: BranchId,
    /// The ticket's number, where it tells of one ticket.
    number: Option<Number>,
    /// How it stands.
    state: AlertState,
    /// What was seen last.
    reason: Option<String>,
    /// How many attempts were begun.
    attempts: u32,
    /// How many of them may have delivered it although nobody knows.
    maybe_twice: u32,
    /// When the latest of its alerts was issued.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Instant,
    /// When this was recorded.
    #[schema(value_type = String, format = DateTime)]
    at: Instant,
}

/// How a message stands on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertState {
    /// 推送中: it is being pushed.
    InFlight,
    /// 重试中: it was not taken, and is tried again.
    Failed,
    /// 已送达: the channel took it.
    Delivered,
    /// 放弃: it was not taken for too long.
    GivenUp,
    /// 未推送: older than the channel or than the record of deliveries.
    Skipped,
    /// 已撤回: superseded before it was taken.
    Withdrawn,
    /// 待重推: somebody asked to have it sent again.
    Asked,
}

impl From<&DeliveryState> for AlertState {
    fn from(state: &DeliveryState) -> Self {
        match state {
            DeliveryState::InFlight { .. } => Self::InFlight,
            DeliveryState::Failed { .. } => Self::Failed,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::GivenUp { .. } => Self::GivenUp,
            DeliveryState::Skipped => Self::Skipped,
            DeliveryState::Withdrawn { .. } => Self::Withdrawn,
            DeliveryState::Asked { .. } => Self::Asked,
        }
    }
}

impl From<Delivery> for AlertRow {
    fn from(delivery: Delivery) -> Self {
        Self {
            state: (&delivery.state).into(),
            reason: delivery.state.reason().map(str::to_owned),
            channel: delivery.channel,
            message: delivery.message.to_string(),
            alerts: delivery.alerts,
            branch: delivery.branch,
            number: delivery.number,
            attempts: delivery.attempts,
            maybe_twice: delivery.maybe_twice,
            issued_at: delivery.issued_at,
            at: delivery.at,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AlertsQuery {
    /// 状态；不填则列出未送达的 / only those that stand so; if left out, all that are not delivered or withdrawn.
    #[param(inline)]
    state: Option<AlertState>,
    /// 渠道 / only of this channel.
    #[param(inline)]
    channel: Option<ChannelId>,
    /// 服务中心 / only of this branch.
    #[param(inline)]
    branch: Option<BranchId>,
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many rows.
    #[param(minimum = 1)]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ResendQuery {
    /// 渠道；不填则所有未送达的渠道 / through this channel; through all that have not taken it, if left out.
    #[param(inline)]
    channel: Option<ChannelId>,
}

async fn list(
    State(front): State<Arc<Front>>,
    Params(query): Params<AlertsQuery>,
) -> Result<Json<Page<AlertRow>>, Refusal> {
    let limit = crate::office::PageQuery::new(None, query.limit).into_page(&front.config)?.limit;
    let before = query.cursor.as_deref().map(before).transpose()?;
    let mut rows = front.board()?.list(before, limit + 1, |delivery| {
        let state = AlertState::from(&delivery.state);
        let stands_so = match query.state {
            Some(wanted) => state == wanted,
            None => !matches!(state, AlertState::Delivered | AlertState::Withdrawn),
        };
        stands_so
            && query.channel.as_ref().is_none_or(|channel| *channel == delivery.channel)
            && query.branch.as_ref().is_none_or(|branch| *branch == delivery.branch)
    });
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| has_more).map(|last| last.version.0.to_string());
    Ok(Json(Page::new(rows.into_iter().map(|standing| standing.delivery.into()).collect(), next_cursor)))
}

fn before(cursor: &str) -> Result<Version, Refusal> {
    let reason = "`cursor` is not one that a page gave".to_owned();
    cursor.parse().map(Version).map_err(|_| Refusal::InvalidQuery { reason })
}

async fn resend(
    State(front): State<Arc<Front>>,
    Segment(alert): Segment<NoticeId>,
    Params(query): Params<ResendQuery>,
) -> Result<Json<Page<AlertRow>>, Refusal> {
    let (board, message) = (front.board()?, MessageId::of(alert.0));
    let wanted = |standing: &Standing| match &query.channel {
        Some(channel) => *channel == standing.delivery.channel,
        None => standing.delivery.state != DeliveryState::Delivered,
    };
    // A notice that was superseded before the channel took it goes to nobody.
    let mut told = latest_by_channel(board, alert.0);
    told.retain(|standing| !matches!(standing.delivery.state, DeliveryState::Withdrawn { .. }));
    told.retain(wanted);
    if told.is_empty() {
        return Err(Refusal::NothingToResend);
    }
    let mut asked = Vec::new();
    for standing in told {
        let again = send_again(&**board.deliveries(), &standing, message, front.now()).await;
        asked.push(again.map_err(refusal_of)?.into());
    }
    Ok(Json(Page::whole(asked)))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn refusal_of(error: PutError) -> Refusal {
    match error {
        PutError::Conflict => Refusal::Contended,
        PutError::Unknown(_) => Refusal::OutcomeUnknown,
        PutError::Unavailable(_) => Refusal::NotReady { reason: "the record of deliveries is away" },
    }
}

/// How an alert stands on each channel: by its own message where it has one, else by the digest that tells of it, and never
/// by its withdrawal.
fn latest_by_channel(board: &Board, alert: Uuid) -> Vec<Standing> {
    let mut told: Vec<_> = board.of_alert(alert);
    told.retain(|standing| !standing.delivery.message.withdrawn);
    told.sort_by_key(|standing| {
        (standing.delivery.channel.clone(), standing.delivery.message != MessageId::of(alert))
    });
    told.dedup_by(|later, first| later.delivery.channel == first.delivery.channel);
    told
}

impl Front {
    fn board(&self) -> Result<&Board, Refusal> {
        self.board.as_ref().ok_or(Refusal::NotReady { reason: "deliveries are not followed here" })
    }

    /// Adds to a notice what the record of deliveries says of it.
    pub(crate) fn with_deliveries(&self, mut row: NoticeRow) -> NoticeRow {
        let Some(board) = &self.board else { return row };
        for standing in latest_by_channel(board, row.id.0) {
            let delivery = delivery_row(standing.delivery);
            row.deliveries.retain(|known| known.channel != delivery.channel);
            row.deliveries.push(delivery);
        }
        row.deliveries.sort_by(|one, other| one.channel.cmp(&other.channel));
        row
    }
}

fn delivery_row(delivery: Delivery) -> DeliveryRow {
    let outcome = match &delivery.state {
        DeliveryState::Delivered => DeliveryOutcome::Delivered,
        DeliveryState::Failed { reason, .. } => DeliveryOutcome::Failed(line(reason)),
        DeliveryState::InFlight { .. } => DeliveryOutcome::Failed(line("推送中 / being pushed")),
        DeliveryState::Asked { .. } => DeliveryOutcome::Failed(line("待重推 / to be sent again")),
        DeliveryState::GivenUp { reason, .. } => DeliveryOutcome::GivenUp(line(reason)),
        DeliveryState::Skipped => DeliveryOutcome::Skipped,
        DeliveryState::Withdrawn { .. } => DeliveryOutcome::Withdrawn,
    };
    DeliveryRow { channel: delivery.channel, attempts: delivery.attempts, outcome, attempted_at: delivery.at }
}

fn line(text: &str) -> Line {
    #[expect(clippy::expect_used, reason = "a constant that fits")]
    Line::new(text).unwrap_or_else(|_| Line::new("-").expect("fits"))
}
