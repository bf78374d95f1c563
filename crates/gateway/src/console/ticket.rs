//! One ticket's page: what is known, its clocks with their explanation (R54), its full timeline.

use askama::Template;
use axum::extract::State;
use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::organisation::Organisation;
use cuiban_domain::working_time::{Explanation, SkipReason, Step};
use cuiban_projector::{ClockRow, ClockStanding, TicketRow, TimelineEntry, TimelineEvent};
use serde_json::Value;

use super::alarms::{self, Alarm};
use super::page::{Page, Refused};
use super::shown;
use super::words::{self, Words};
use crate::extract::Segment;
use crate::front::Office;
use crate::office::TicketName;

#[derive(Template)]
#[template(path = "ticket.html")]
pub(super) struct TicketPage {
    ticket: String,
    number: String,
    branch: String,
    branch_name: String,
    kind: Words,
    lifecycle: Words,
    open: bool,
    stage: Words,
    urgency: Words,
    urgent: bool,
    description: String,
    facts: Vec<Fact>,
    clocks: Vec<ClockCard>,
    timeline: Vec<EntryLine>,
    zone: &'static str,
    merged_into: Option<String>,
    duplicate_of: Option<String>,
    alarms: Vec<Alarm>,
}

/// One line of what is known.
struct Fact {
    label: Words,
    value: String,
    phone: Option<String>,
}

/// One clock.
struct ClockCard {
    clock: Words,
    cycle: u32,
    standing: Words,
    tone: &'static str,
    limit: String,
    measure: Words,
    started: String,
    due: String,
    due_machine: String,
    share: u32,
    notices: usize,
    versions: String,
    late_recorded: bool,
    steps: Vec<StepLine>,
    disagrees: bool,
}

/// One line of an explanation.
struct StepLine {
    tone: &'static str,
    when: String,
    said: String,
}

/// One commit.
struct EntryLine {
    revision: u64,
    actor: String,
    occurred: String,
    occurred_machine: String,
    recorded: String,
    late_entry: bool,
    events: Vec<EventLine>,
}

/// One event.
struct EventLine {
    said: Option<Words>,
    name: String,
    tone: &'static str,
    fields: Vec<(Words, String)>,
}

/// `GET /tickets/{id}`.
pub(super) async fn page(
    State(office): State<Office>,
    name: Result<Segment<TicketName>, crate::refusal::Refusal>,
) -> Result<Page<TicketPage>, Refused> {
    let Segment(name) = name?;
    let row = office.ticket(name).await?;
    let ticket = row.ticket;
    let timeline = office.ask(move |models| models.timeline(ticket)).await?;
    let organisation = office.front.organisation();
    let view = organisation.branch(&row.branch).map_err(crate::refusal::Refusal::from)?;
    let zone = view.calendar.calendar().zone();
    let drawing = Drawing { now: office.front.now(), zone, organisation: &organisation, row: &row };
    let clocks = row.clocks.iter().rev().map(|clock| {
        let explained = office.explanation(&row, &timeline, clock.clock, clock.cycle).ok();
        drawing.clock(clock, explained.as_ref().map(|one| (&one.explanation, one.agrees)))
    });
    let clocks = clocks.collect();
    Ok(Page(TicketPage {
        alarms: alarms::now(&office).await,
        ticket: row.ticket.to_string(),
        number: row.number.to_string(),
        branch: row.branch.to_string(),
        branch_name: view.branch.name.as_ref().map_or_else(|| row.branch.to_string(), ToString::to_string),
        kind: words::kind(row.kind),
        lifecycle: words::lifecycle(row.lifecycle),
        open: row.is_open(),
        stage: words::stage(row.stage),
        urgency: words::urgency(row.urgency),
        urgent: row.urgency != cuiban_domain::ticket::Urgency::Normal,
        description: row.description.to_string(),
        facts: drawing.facts(),
        clocks,
        timeline: timeline.iter().rev().map(|entry| drawing.entry(entry)).collect(),
        zone: zone.name(),
        merged_into: row.merged_into.map(|id| id.to_string()),
        duplicate_of: row.possible_duplicate_of.map(|id| id.to_string()),
    }))
}

/// Everything that is needed to draw one ticket.
struct Drawing<'a> {
    now: Instant,
    zone: Tz,
    organisation: &'a Organisation,
    row: &'a TicketRow,
}

impl Drawing<'_> {
    fn name(&self, staff: &str) -> String {
        let member = self.organisation.branch(&self.row.branch).ok().and_then(|view| {
            view.branch
                .staff
                .iter()
                .find(|(id, _)| id.as_str() == staff)
                .map(|(_, member)| member.name.to_string())
        });
        member.map_or_else(|| staff.to_owned(), |name| format!("{name} ({staff})"))
    }

    fn facts(&self) -> Vec<Fact> {
        let row = self.row;
        let fact = |zh, en, value: Option<String>| {
            let value = value.filter(|value| !value.is_empty())?;
            Some(Fact { label: Words { zh, en }, value, phone: None })
        };
        let time = |at: Option<Instant>| at.map(|at| shown::full_time(at, self.zone));
        let phone = row.customer.phone.as_str().to_owned();
        let facts = [
            fact(
                "客户",
                "Customer",
                Some(format!("{} · {}", row.customer.name, words::level(row.customer_level).zh)),
            ),
            Some(Fact {
                label: Words { zh: "电话", en: "Phone" }, value: phone.clone(), phone: Some(phone)
            }),
            fact("地址", "Address", row.customer.address.as_ref().map(ToString::to_string)),
            fact("产品", "Product", Some(row.product_model.to_string())),
            fact("序列号", "Serial", row.serial_number.as_ref().map(ToString::to_string)),
            fact("区域", "Area", {
                let district =
                    row.district.as_ref().map_or_else(String::new, |district| format!(" {district}"));
                Some(format!("{}{district}", words::area(row.area).zh))
            }),
            fact("渠道", "Channel", row.channel.map(|channel| words::channel(channel).zh.to_owned())),
            fact(
                "服务性质",
                "Basis",
                row.service_basis.map(|basis| words::service_basis(basis).zh.to_owned()),
            ),
            fact(
                "服务凭证",
                "Work order",
                row.work_order.as_ref().map(|number| {
                    format!("{number}{}", if row.work_order_archived { "（已归档）" } else { "" })
                }),
            ),
            fact("技术员", "Technician", row.technician.as_ref().map(|staff| self.name(staff.as_str()))),
            fact("承办人", "Handler", row.handler.as_ref().map(|staff| self.name(staff.as_str()))),
            fact("来电", "Called", time(Some(row.reported_at))),
            fact("首次响应", "Responded", time(row.responded_at)),
            fact("抵达", "Arrived", time(row.arrived_at)),
            fact(
                "暂停",
                "Paused since",
                time(row.paused_since).map(|since| {
                    let why = row.pause_reason.map_or("", |why| words::pause(why).zh);
                    format!("{since} {why}")
                }),
            ),
            fact("处理", "Remedy", row.remedy.as_ref().map(ToString::to_string)),
            fact("结束", "Ended", time(row.ended_at)),
        ];
        facts.into_iter().flatten().collect()
    }

    fn clock(&self, clock: &ClockRow, explained: Option<(&Explanation, bool)>) -> ClockCard {
        let limit = clock.limit.span.duration();
        let left = self
            .organisation
            .branch(&self.row.branch)
            .ok()
            .and_then(|view| clock.remaining_at(self.now, &view));
        let share = left.map_or(100, |left| shown::share_used(limit, left));
        let tone = match clock.standing {
            ClockStanding::Running if share >= 75 => "near",
            ClockStanding::Running => "fine",
            ClockStanding::Paused => "paused",
            ClockStanding::Breached | ClockStanding::BreachEnded => "late",
            ClockStanding::Met | ClockStanding::Cancelled => "done",
        };
        ClockCard {
            clock: words::clock(clock.clock),
            cycle: clock.cycle,
            standing: words::standing(clock.standing),
            tone,
            limit: shown::length(limit),
            measure: words::measure(clock.limit.measure),
            started: shown::full_time(clock.started_at, self.zone),
            due: clock.due_at.map_or_else(|| "—".to_owned(), |at| shown::full_time(at, self.zone)),
            due_machine: clock.due_at.map_or_else(String::new, shown::machine_time),
            share,
            notices: clock.notices.len(),
            versions: format!("{} · {}", clock.policy_version, clock.calendar_version),
            late_recorded: clock.late_recorded,
            steps: explained.map_or_else(Vec::new, |(explanation, _)| {
                explanation.steps.iter().map(|step| self.step(step)).collect()
            }),
            disagrees: explained.is_some_and(|(_, agrees)| !agrees),
        }
    }

    fn step(&self, step: &Step) -> StepLine {
        let time = |at: &Instant| at.with_timezone(&self.zone).format("%H:%M").to_string();
        let moment = |at: &Instant| at.with_timezone(&self.zone).format("%m-%d %H:%M").to_string();
        match step {
            Step::Counted { date: Some(date), from, until, counted } => StepLine {
                tone: "counted",
                when: format!("{} {}–{}", date.format("%Y-%m-%d"), time(from), time(until)),
                said: format!("计 {} / counted", shown::length(*counted)),
            },
            Step::Counted { date: None, from, until, counted } => StepLine {
                tone: "counted",
                when: format!("{} – {}", moment(from), moment(until)),
                said: format!("计 {} / counted", shown::length(*counted)),
            },
            Step::Skipped { date, reason } => StepLine {
                tone: "skipped",
                when: date.format("%Y-%m-%d").to_string(),
                said: match reason {
                    SkipReason::WeeklyClosed => "休息日 / rest day".to_owned(),
                    SkipReason::SpecialDay { name, layer } => format!("{name}（{layer}）/ day off"),
                    SkipReason::MakeUpDayWithoutHours { name, layer } => {
                        format!("{name}（{layer}）无上班时间 / make-up day without hours")
                    }
                },
            },
            Step::Paused { from, until } => StepLine {
                tone: "paused",
                when: format!("{} – {}", moment(from), until.as_ref().map_or_else(|| "…".to_owned(), moment)),
                said: "暂停，不计 / paused".to_owned(),
            },
            Step::Summary { from, until, special_days, counted } => StepLine {
                tone: "counted",
                when: format!("{from} – {until}"),
                said: format!("计 {}，其中特殊日 {special_days} 天 / counted", shown::length(*counted)),
            },
        }
    }

    fn entry(&self, entry: &TimelineEntry) -> EntryLine {
        EntryLine {
            revision: entry.revision,
            actor: self.name(&entry.actor),
            occurred: shown::full_time(entry.occurred_at, self.zone),
            occurred_machine: shown::machine_time(entry.occurred_at),
            recorded: shown::full_time(entry.recorded_at, self.zone),
            late_entry: entry.late_entry,
            events: entry.events.iter().map(|event| self.event(event)).collect(),
        }
    }

    fn event(&self, event: &TimelineEvent) -> EventLine {
        let told = |(field, label): &(&str, Words)| {
            let value = event.fields.get(field)?;
            self.field(field, value).map(|text| (*label, text))
        };
        let tone = match event.name.as_str() {
            "sla_breached" | "expedite_notice_issued" | "emergency_raised" => "late",
            name if name.starts_with("clock_") || name == "deadline_moved" => "quiet",
            _ => "plain",
        };
        EventLine {
            said: words::event(&event.name),
            name: event.name.clone(),
            tone,
            fields: words::FIELDS.iter().filter_map(told).collect(),
        }
    }

    /// A field's value for people: a word, a time of the branch's zone, a person's name, or the text itself.
    fn field(&self, field: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => {
                if let Some(word) = words::wire_word(text) {
                    return Some(word.zh.to_owned());
                }
                if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
                    return Some(shown::full_time(at.to_utc(), self.zone));
                }
                if let (true, Some(seconds)) = (field == "consumed", text.strip_suffix('s')) {
                    let seconds = seconds.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0)?;
                    return Some(shown::length(std::time::Duration::try_from_secs_f64(seconds).ok()?));
                }
                let is_person = matches!(field, "technician" | "handler" | "from" | "to");
                Some(if is_person { self.name(text) } else { text.clone() })
            }
            Value::Array(people) => {
                let names = people.iter().filter_map(Value::as_str).map(|person| self.name(person));
                Some(names.collect::<Vec<_>>().join("、"))
            }
            Value::Object(party) if field == "addressee" => match party.iter().next()? {
                (kind, Value::String(staff)) if kind == "staff" => Some(self.name(staff)),
                (_, Value::String(department)) => words::wire_word(department).map(|word| word.zh.to_owned()),
                _ => None,
            },
            // The first cycle goes without saying.
            Value::Number(number) => Some(number.to_string()).filter(|text| field != "cycle" || text != "1"),
            _ => None,
        }
    }
}
