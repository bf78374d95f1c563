//! One command, one line: the route, its handler and its description from the command's type alone.

use std::sync::Arc;

use axum::extract::State;
use cuiban_domain::Rejection;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::{BranchCommand, CompanyCommand, OpenBranch};
use cuiban_domain::ticket::{RegisterTicket, TicketCommand};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::api::{self, Api, Operation};
use crate::extract::Segment;
use crate::front::Front;
use crate::intake::order::Order;
use crate::intake::parse::OCCURRED_AT;
use crate::intake::receipt::{Answer, Receipt};
use crate::refusal::Refusal;
use crate::status;

type Obeyed = Result<Answer, Refusal>;

impl Api<Arc<Front>> {
    /// `POST /v1/tickets/{id}/<verb>`.
    pub(crate) fn ticket<C>(self, verb: &str, summary: &'static str) -> Self
    where
        C: DeserializeOwned + ToSchema + Into<TicketCommand> + Send + 'static,
    {
        self.post(&format!("/v1/tickets/{{id}}/{verb}"), to_ticket::<C>, obeyed::<C>(api::TICKETS, summary))
    }

    /// `POST /v1/branches/{branch}/<verb>`.
    pub(crate) fn branch<C>(self, verb: &str, summary: &'static str) -> Self
    where
        C: DeserializeOwned + ToSchema + Into<BranchCommand> + Send + 'static,
    {
        let path = format!("/v1/branches/{{branch}}/{verb}");
        self.post(&path, to_branch::<C>, obeyed::<C>(api::BRANCHES, summary))
    }

    /// `POST /v1/company/<verb>`.
    pub(crate) fn company<C>(self, verb: &str, summary: &'static str) -> Self
    where
        C: DeserializeOwned + ToSchema + Into<CompanyCommand> + Send + 'static,
    {
        self.post(&format!("/v1/company/{verb}"), to_company::<C>, obeyed::<C>(api::COMPANY, summary))
    }

    /// The registration of a ticket.
    pub(crate) fn registration(self, path: &str, summary: &'static str) -> Self {
        self.post(path, register, created::<RegisterTicket>(api::TICKETS, summary))
    }

    /// The opening of a branch.
    pub(crate) fn opening(self, path: &str, summary: &'static str) -> Self {
        self.post(path, open_branch, created::<OpenBranch>(api::BRANCHES, summary))
    }
}

async fn to_ticket<C>(
    State(front): State<Arc<Front>>,
    Segment(id): Segment<TicketId>,
    order: Order<C>,
) -> Obeyed
where
    C: Into<TicketCommand> + Send,
{
    let handled = Box::pin(front.handlers.ticket(id, &order.command.into(), &order.meta)).await?;
    let receipt = Receipt::of_ticket(id.to_string(), &handled).warned(front.handlers.directory());
    Ok(Answer { status: status::DONE, location: None, receipt })
}

async fn register(State(front): State<Arc<Front>>, order: Order<RegisterTicket>) -> Obeyed {
    let ticket = order.new_ticket(&front);
    let handled = Box::pin(front.handlers.register(ticket, order.command, &order.meta)).await?;
    let receipt = Receipt::of_ticket(ticket.to_string(), &handled).warned(front.handlers.directory());
    Ok(Answer { status: status::CREATED, location: Some(format!("/v1/tickets/{ticket}")), receipt })
}

async fn to_branch<C>(
    State(front): State<Arc<Front>>,
    Segment(branch): Segment<BranchId>,
    order: Order<C>,
) -> Obeyed
where
    C: Into<BranchCommand> + Send,
{
    let handled = Box::pin(front.handlers.branch(&branch, &order.command.into(), &order.meta)).await;
    let handled = handled.map_err(|error| match Refusal::from(error) {
        Refusal::Rejected(Rejection::UnknownBranch { .. }) => {
            Refusal::BranchNotFound { branch: branch.clone() }
        }
        refusal => refusal,
    })?;
    front.wait_for_directory(handled.position).await;
    let receipt = Receipt::of_branch(branch.to_string(), &handled).warned(front.handlers.directory());
    Ok(Answer { status: status::DONE, location: None, receipt })
}

async fn open_branch(State(front): State<Arc<Front>>, order: Order<OpenBranch>) -> Obeyed {
    let branch = order.command.branch.clone();
    let handled = Box::pin(front.handlers.branch(&branch, &order.command.into(), &order.meta)).await?;
    front.wait_for_directory(handled.position).await;
    let receipt = Receipt::of_branch(branch.to_string(), &handled).warned(front.handlers.directory());
    Ok(Answer { status: status::CREATED, location: Some(format!("/v1/branches/{branch}")), receipt })
}

async fn to_company<C>(State(front): State<Arc<Front>>, order: Order<C>) -> Obeyed
where
    C: Into<CompanyCommand> + Send,
{
    let handled = Box::pin(front.handlers.company(&order.command.into(), &order.meta)).await?;
    front.wait_for_directory(handled.position).await;
    let receipt = Receipt::of_company(&handled).warned(front.handlers.directory());
    Ok(Answer { status: status::DONE, location: None, receipt })
}

fn obeyed<C: ToSchema>(tag: &'static str, summary: &'static str) -> Operation {
    command::<C>(tag, summary).answer::<Receipt>(status::DONE, "已办 / obeyed", RECEIPT_HEADERS)
}

fn created<C: ToSchema>(tag: &'static str, summary: &'static str) -> Operation {
    let headers = [&[("Location", "新资源的地址 / where it is")], RECEIPT_HEADERS].concat();
    command::<C>(tag, summary).answer::<Receipt>(status::CREATED, "已建立 / created", &headers)
}

/// The headers of a receipt.
pub(crate) const RECEIPT_HEADERS: &[(&str, &str)] =
    &[("ETag", "修订号 / the revision"), ("Cuiban-Position", "日志位置 / the position in the log")];

/// What all commands have in common.
pub(crate) fn command<C: ToSchema>(tag: &'static str, summary: &'static str) -> Operation {
    let needs_body = C::schema_requires_fields();
    Operation::new(tag, summary)
        .header(
            "Idempotency-Key",
            "1–255 个可见 ASCII 字符；重发同一请求用同一键 / the same key for the same request",
        )
        .header("If-Match", "所见的 ETag；不符则 412 / the ETag that was seen; 412 if it is another now")
        .header("Cuiban-Actor", "未配置令牌时的操作人 / who asks, where no tokens are configured")
        .body::<C>(&[(OCCURRED_AT, occurred_at())], needs_body)
        .refusals(status::COMMAND_REFUSALS)
}

fn occurred_at() -> Value {
    json!({
        "type": ["string", "null"], "format": "date-time",
        "description": "发生时间，须带时区；缺省为现在 / when it happened, with its offset; now if left out (R2)",
        "example": "2026-11-22T14:10:00+08:00",
    })
}

/// Whether a schema has required fields, so that a body must be sent.
trait RequiresFields {
    fn schema_requires_fields() -> bool;
}

impl<T: ToSchema> RequiresFields for T {
    fn schema_requires_fields() -> bool {
        let schema = serde_json::to_value(T::schema()).unwrap_or_default();
        schema.get("required").and_then(Value::as_array).is_some_and(|required| !required.is_empty())
    }
}
