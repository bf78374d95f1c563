//! The receipt (回执): what is answered to an obeyed command.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cuiban_command_handler::{Directory, Handled, Outcome, UnreadableCommit};
use cuiban_domain::organisation::{Branch, Company};
use cuiban_domain::sla::{ClockKind, ClockState};
use cuiban_domain::ticket::Ticket;
use cuiban_domain::{Aggregate, Instant};
use serde::Serialize;

use crate::headers::{CUIBAN_POSITION, etag, position_value};

/// 回执: where a command was recorded.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Receipt {
    /// The ticket, the branch, or `company`.
    pub(crate) id: String,
    /// The ticket's number for people (R3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) number: Option<String>,
    /// The revision that the command made; also the `ETag`.
    pub(crate) revision: u64,
    /// The position in the log; also `Cuiban-Position`. Opaque.
    pub(crate) position: String,
    /// Recorded now, recorded before under the same key, or nothing to record.
    pub(crate) outcome: ReceiptOutcome,
    /// The ticket's open clocks as they stand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) clocks: Vec<ReceiptClock>,
    /// What the decision rests on and may be out of date; none as a rule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<ReceiptWarning>,
}

/// 提醒: something that people should know of an answer.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptWarning {
    /// The stable word for machines.
    #[schema(example = "organisation_unreadable")]
    code: &'static str,
    /// What is wrong, in Chinese and English.
    detail: String,
}

impl ReceiptWarning {
    /// Commits of company or branches that cannot be read: what their streams said before was decided by.
    pub(crate) fn of_organisation(directory: &Directory) -> Vec<Self> {
        let warning = |UnreadableCommit { stream, position, .. }: &UnreadableCommit| Self {
            code: "organisation_unreadable",
            detail: format!(
                "{stream} 在位置 {position} 处无法读取，按其之前的内容办理 / {stream} cannot be read at position {position}: decided by what it said before"
            ),
        };
        directory.unreadable().iter().map(warning).collect()
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReceiptOutcome {
    /// 已记录.
    Recorded,
    /// 此前已记录: the same key was sent before.
    Replayed,
    /// 无需记录: it is so already.
    Unchanged,
}

/// A clock that waits for something.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptClock {
    /// What it counts towards.
    clock: ClockKind,
    /// Counted from 1 (R39).
    cycle: u32,
    /// When the limit is, or was, used up; none while it is paused.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Instant>,
    /// Whether the limit is broken.
    overdue: bool,
}

impl Receipt {
    pub(crate) fn of_ticket(id: String, handled: &Handled<Ticket>) -> Self {
        let number = handled.state.number().map(ToString::to_string);
        let clocks = handled.state.clocks.iter().filter(|clock| clock.is_open());
        let clocks = clocks.map(|clock| {
            let (due_at, overdue) = match clock.state {
                ClockState::Running { due_at } => (Some(due_at), false),
                ClockState::Breached { due_at, .. } => (Some(due_at), true),
                _ => (None, false),
            };
            ReceiptClock { clock: clock.kind, cycle: clock.cycle, due_at, overdue }
        });
        let clocks = clocks.collect();
        Self { number, clocks, ..Self::of(id, handled) }
    }

    pub(crate) fn of_branch(id: String, handled: &Handled<Branch>) -> Self {
        Self::of(id, handled)
    }

    pub(crate) fn of_company(handled: &Handled<Company>) -> Self {
        Self::of("company".to_owned(), handled)
    }

    fn of<A: Aggregate>(id: String, handled: &Handled<A>) -> Self {
        let outcome = match handled.outcome {
            Outcome::Recorded => ReceiptOutcome::Recorded,
            Outcome::Replayed => ReceiptOutcome::Replayed,
            Outcome::Unchanged => ReceiptOutcome::Unchanged,
        };
        let (revision, position) = (handled.revision, handled.position.to_string());
        Self { id, number: None, revision, position, outcome, clocks: Vec::new(), warnings: Vec::new() }
    }

    /// With what is to be known of the organisation that it was decided by.
    pub(crate) fn warned(self, directory: &Directory) -> Self {
        Self { warnings: ReceiptWarning::of_organisation(directory), ..self }
    }
}

/// A receipt on its way out.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) receipt: Receipt,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Self { status, location, receipt } = self;
        with_headers(status, location, receipt.revision, &receipt.position, Json(&receipt))
    }
}

/// An answer with the headers that tell where its command was recorded.
pub(crate) fn with_headers(
    status: StatusCode,
    location: Option<String>,
    revision: u64,
    position: &str,
    body: impl IntoResponse,
) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag(revision));
    let position = position.parse().map_or(HeaderValue::from_static("0"), position_value);
    headers.insert(CUIBAN_POSITION, position);
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}
