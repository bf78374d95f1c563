//! Why a clock is due when it is due (R54): the trace that the working calendar tells.

use axum::Json;
use axum::extract::State;
use cuiban_domain::Rejection;
use cuiban_domain::ids::{Number, TicketId};
use cuiban_domain::sla::{ClockKind, Measure};
use cuiban_domain::working_time::{Explanation, Pause};
use cuiban_projector::{ClockRow, TicketRow, TimelineEntry};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::tickets::TicketName;
use crate::api::{self, Api, Operation};
use crate::extract::{Params, Segments};
use crate::front::Office;
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    api.get(
        "/v1/tickets/{id}/clocks/{clock}/explain",
        explain,
        Operation::new(api::TICKETS, "时限说明 / How a due instant came about (R54)")
            .query::<ExplainQuery>()
            .answer::<ClockExplanation>(status::DONE, "说明 / the explanation", &[])
            .of_a_query(),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ExplainQuery {
    /// 第几轮；缺省为最近一轮 / the cycle; the latest if left out (R39).
    cycle: Option<u32>,
}

/// 时限说明: what is recorded of a clock, and how the branch's calendar gives it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ClockExplanation {
    /// The ticket.
    pub(crate) ticket: TicketId,
    /// Its number.
    pub(crate) number: Number,
    /// The clock as recorded, with the versions of policy and calendar that gave its due instant (R35).
    pub(crate) clock: ClockRow,
    /// What counted and what did not, by the branch's calendar as it is now.
    pub(crate) explanation: Explanation,
    /// Whether the calendar still gives what is recorded. It does not once calendar or branch changed after the
    /// limit was met or broken: what is recorded stays (R36).
    pub(crate) agrees: bool,
}

/// A clock's kind in a path.
struct KindName(ClockKind);

impl std::str::FromStr for KindName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = ClockKind::ALL.iter().find(|kind| kind.as_str() == text);
        kind.copied().map(Self).ok_or_else(|| "a clock is response, dispatch or resolution".to_owned())
    }
}

async fn explain(
    State(office): State<Office>,
    Segments(name, KindName(kind)): Segments<TicketName, KindName>,
    Params(query): Params<ExplainQuery>,
) -> Result<Json<ClockExplanation>, Refusal> {
    let row = office.ticket(name).await?;
    let cycle = query.cycle.or(row.clock(kind).map(|clock| clock.cycle)).unwrap_or(row.cycle);
    let ticket = row.ticket;
    let timeline = office.ask(move |models| models.timeline(ticket)).await?;
    Ok(Json(office.explanation(&row, &timeline, kind, cycle)?))
}

impl Office {
    /// Explains one clock of a ticket.
    pub(crate) fn explanation(
        &self,
        row: &TicketRow,
        timeline: &[TimelineEntry],
        kind: ClockKind,
        cycle: u32,
    ) -> Result<ClockExplanation, Refusal> {
        let clock = row.clocks.iter().find(|clock| clock.clock == kind && clock.cycle == cycle);
        let clock = clock.ok_or(Rejection::ClockNotFound { clock: kind, cycle })?;
        let organisation = self.front.organisation();
        let calendar = organisation.branch(&row.branch)?.calendar;
        let pauses = match clock.limit.measure {
            Measure::Working => pauses_of(timeline, kind, cycle),
            Measure::Wall => Vec::new(),
        };
        let limit = clock.limit.span.duration();
        let explanation = calendar
            .explain(clock.started_at, limit, &pauses, clock.limit.measure)
            .map_err(|error| Rejection::DueInstantNotComputable { detail: error.to_string() })?;
        let agrees = clock.due_at.is_none() || clock.due_at == explanation.due_at;
        Ok(ClockExplanation {
            ticket: row.ticket,
            number: row.number.clone(),
            clock: clock.clone(),
            explanation,
            agrees,
        })
    }
}

/// When the clock stood still since it (last) began, as its history tells.
fn pauses_of(timeline: &[TimelineEntry], kind: ClockKind, cycle: u32) -> Vec<Pause> {
    let kind_name = format!("CLOCK_KIND_{}", kind.as_str().to_uppercase());
    let mut pauses: Vec<Pause> = Vec::new();
    for event in timeline.iter().flat_map(|entry| &entry.events) {
        let is_ours = event.fields.get("clock").and_then(Value::as_str) == Some(kind_name.as_str())
            && event.fields.get("cycle").and_then(Value::as_u64) == Some(u64::from(cycle));
        if !is_ours {
            continue;
        }
        let at = |field: &str| {
            let text = event.fields.get(field)?.as_str()?;
            chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
        };
        match (event.name.as_str(), at("paused_at"), at("resumed_at")) {
            ("clock_started", ..) => pauses.clear(),
            ("clock_paused", Some(from), _) => pauses.push(Pause { from, until: None }),
            ("clock_resumed", _, Some(until)) => {
                if let Some(pause) = pauses.last_mut() {
                    pause.until = Some(until);
                }
            }
            _ => {}
        }
    }
    pauses
}
