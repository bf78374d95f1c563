//! What a new company calendar would move (R53), before anybody applies it.

use axum::Json;
use axum::extract::{Request, State};
use cuiban_domain::Instant;
use cuiban_domain::ids::TicketId;
use cuiban_domain::organisation::Organisation;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::working_time::{
    Calendar, CalendarPreview, Deadline, MovedClock, PREVIEW_EXAMPLES_MAX, Pause, RunningClock,
    preview_calendar,
};
use cuiban_projector::{OpenClock, ReadError, ReadModels};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{self, Api, Operation};
use crate::extract::json_bytes;
use crate::front::Office;
use crate::intake::{CalendarRemarks, ImportOfficialDays, lay_over, parse};
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    api.post(
        "/v1/company/calendar/preview",
        preview,
        Operation::new(api::COMPANY, "预览新日历 / What a new calendar would move (R53)")
            .body::<ProposedCalendar>(&[], true)
            .answer::<PreviewAnswer>(status::DONE, "预览 / the preview", &[])
            .refusals(status::COMMAND_REFUSALS),
    )
}

/// 拟用日历: a whole calendar, or a notice to be laid over the present one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ProposedCalendar {
    /// A whole calendar.
    Calendar(Calendar),
    /// A published notice.
    OfficialDays(ImportOfficialDays),
}

/// 预览: what would move. Nothing is moved by asking.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewAnswer {
    /// How many running and paused clocks were looked at.
    clocks: usize,
    /// How many get another due instant.
    moved: usize,
    /// How many of those are due earlier.
    earlier: usize,
    /// How many of those are due later.
    later: usize,
    /// How many become overdue that are not overdue now.
    newly_overdue: usize,
    /// How many would have no due instant.
    without_answer: usize,
    /// The first ones that move.
    examples: Vec<MovedClockRow>,
    /// What a person should know of the calendar.
    remarks: CalendarRemarks,
    /// The calendar as it would be.
    calendar: Calendar,
}

/// A clock that would move.
#[derive(Debug, Serialize, ToSchema)]
struct MovedClockRow {
    /// Whose clock it is.
    ticket: TicketId,
    /// What it counts towards.
    clock: ClockKind,
    /// Its due instant now.
    #[schema(value_type = Option<String>, format = DateTime)]
    due_at: Option<Instant>,
    /// Its due instant in the new calendar.
    #[schema(value_type = Option<String>, format = DateTime)]
    new_due_at: Option<Instant>,
}

async fn preview(State(office): State<Office>, request: Request) -> Result<Json<PreviewAnswer>, Refusal> {
    let (parts, body) = request.into_parts();
    let bytes = json_bytes(&parts.headers, body, office.front.config.body_bytes_max).await?;
    let present = office.front.organisation();
    let (calendar, not_applied) = match parse::<ProposedCalendar>(&bytes)?.command {
        ProposedCalendar::Calendar(calendar) => (calendar, Vec::new()),
        ProposedCalendar::OfficialDays(import) => {
            let official = import.read()?;
            let not_applied = official.not_applied.clone();
            (lay_over(&present.company().calendar(), official)?, not_applied)
        }
    };
    let organisation = present.with_company_calendar(&calendar)?;
    let now = office.front.now();
    let effect = office.ask(move |models| effect(models, &organisation, now)).await?;
    Ok(Json(PreviewAnswer::new(effect, CalendarRemarks::on(&calendar, not_applied, now), calendar)))
}

type ClockName = (TicketId, ClockKind);

/// Puts every open clock to its branch's new calendar. A clock whose due instant has passed keeps it (R36).
fn effect(
    models: &ReadModels,
    organisation: &Organisation,
    now: Instant,
) -> Result<CalendarPreview<ClockName>, ReadError> {
    let mut effect = CalendarPreview {
        clocks: 0,
        moved: 0,
        earlier: 0,
        later: 0,
        newly_overdue: 0,
        without_answer: 0,
        examples: Vec::new(),
    };
    for clock in models.open_clocks()? {
        let clock = clock?;
        let is_broken = clock.due_at.is_some_and(|due_at| due_at < now);
        match organisation.branch(&clock.branch) {
            Ok(branch) if !is_broken => {
                add(&mut effect, preview_calendar(branch.calendar, [as_running(&clock)], now));
            }
            _ => effect.clocks += 1,
        }
    }
    Ok(effect)
}

/// The clock as it would be moved: from when it last began to run (or stands still), with what was left then.
fn as_running(clock: &OpenClock) -> RunningClock<ClockName> {
    let left = clock.limit.span.duration().saturating_sub(clock.consumed);
    let standing_still = clock.paused_since.map(|from| Pause { from, until: None });
    let recorded = match (clock.due_at, clock.paused_since) {
        (Some(due_at), None) => Deadline::Due(due_at),
        _ => Deadline::Paused { remaining: left },
    };
    RunningClock {
        id: (clock.ticket, clock.clock),
        from: clock.paused_since.unwrap_or(clock.running_since),
        limit: left,
        pauses: standing_still.into_iter().collect(),
        measure: clock.limit.measure,
        recorded,
    }
}

fn add(effect: &mut CalendarPreview<ClockName>, one: CalendarPreview<ClockName>) {
    effect.clocks += one.clocks;
    effect.moved += one.moved;
    effect.earlier += one.earlier;
    effect.later += one.later;
    effect.newly_overdue += one.newly_overdue;
    effect.without_answer += one.without_answer;
    let room = PREVIEW_EXAMPLES_MAX.saturating_sub(effect.examples.len());
    effect.examples.extend(one.examples.into_iter().take(room));
}

impl PreviewAnswer {
    fn new(effect: CalendarPreview<ClockName>, remarks: CalendarRemarks, calendar: Calendar) -> Self {
        let example = |moved: MovedClock<ClockName>| {
            let MovedClock { id: (ticket, clock), due_at, new_due_at } = moved;
            MovedClockRow { ticket, clock, due_at, new_due_at }
        };
        Self {
            clocks: effect.clocks,
            moved: effect.moved,
            earlier: effect.earlier,
            later: effect.later,
            newly_overdue: effect.newly_overdue,
            without_answer: effect.without_answer,
            examples: effect.examples.into_iter().map(example).collect(),
            remarks,
            calendar,
        }
    }
}
