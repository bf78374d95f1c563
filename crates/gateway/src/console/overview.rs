//! The overview: a branch's dispatch board (派工板), what is overdue (逾期), the last 催办.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use chrono::Datelike;
use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, StaffId};
use cuiban_domain::organisation::{BranchView, Organisation};
use cuiban_domain::sla::ClockKind;
use cuiban_domain::ticket::Urgency;
use cuiban_projector::{
    BoardRow, ClockStanding, DeliveryOutcome, DispatchBoard, NoticeRow, OverdueRow, Page as ModelPage,
    ReadError, ReadModels, WorkStage,
};
use serde::Deserialize;

use super::ahead::Ahead;
use super::alarms::{self, Alarm};
use super::page::{Page, Refused};
use super::shown;
use super::words::{self, Words};
use crate::extract::Params;
use crate::front::Office;

/// How many tickets of the board are drawn; the rest is counted.
const BOARD_SHOWN_MAX: usize = 200;
/// How many overdue limits and notices the overview shows; the rest is counted or asked of the API.
const OVERDUE_SHOWN_MAX: usize = 30;
const NOTICES_SHOWN_MAX: usize = 12;
/// How much of what is wrong fits into a line of the board, in characters.
const WRONG_LENGTH_MAX: usize = 48;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverviewQuery {
    branch: Option<BranchId>,
}

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    branches: Vec<Tab>,
    branch: Option<Shown>,
    alarms: Vec<Alarm>,
}

/// One branch to choose.
struct Tab {
    id: String,
    name: String,
    chosen: bool,
}

/// The chosen branch.
struct Shown {
    id: String,
    name: String,
    date: String,
    time: String,
    zone: &'static str,
    working: bool,
    provisional: Vec<i32>,
    counts: Vec<Count>,
    ahead: Option<Ahead>,
    board: Vec<BoardLine>,
    board_more: usize,
    overdue: Vec<OverdueLine>,
    overdue_more: bool,
    notices: Vec<NoticeLine>,
}

/// One figure at the top.
struct Count {
    figure: String,
    zh: &'static str,
    en: &'static str,
    tone: &'static str,
}

/// One ticket of the board.
struct BoardLine {
    ticket: String,
    number: String,
    kind: Words,
    product: String,
    wrong: String,
    customer: String,
    place: String,
    area: Words,
    urgency: Option<Words>,
    emergency: bool,
    carried_over: bool,
    duplicate: bool,
    paused: Option<Words>,
    notices: u32,
    stage: Words,
    technician: String,
    visit: String,
    called: String,
    left: Left,
}

/// What is left of a limit, in words and as a bar.
struct Left {
    tone: &'static str,
    text: String,
    en: &'static str,
    due: String,
    due_machine: String,
    share: u32,
    has_bar: bool,
}

/// One broken limit.
struct OverdueLine {
    ticket: String,
    number: String,
    clock: Words,
    customer: String,
    product: String,
    due: String,
    due_machine: String,
    late_by: String,
    owner: String,
    notices: u32,
}

/// One expedite notice.
struct NoticeLine {
    ticket: String,
    number: String,
    clock: Words,
    rung: Words,
    to: String,
    issued: String,
    issued_machine: String,
    late: bool,
    superseded: bool,
    deliveries: Vec<(String, &'static str, Words)>,
}

/// What the read models told.
struct Told {
    board: Vec<OnBoard>,
    overdue: Vec<OverdueRow>,
    overdue_more: bool,
    notices: Vec<NoticeRow>,
}

/// A row of the board with what its ticket knows besides.
struct OnBoard {
    row: BoardRow,
    limit: Option<Duration>,
    wrong: String,
}

/// `GET /`.
pub(super) async fn page(
    State(office): State<Office>,
    Params(query): Params<OverviewQuery>,
) -> Result<Page<Overview>, Refused> {
    let organisation = office.front.organisation();
    let chosen = match query.branch {
        Some(branch) => {
            office.known_branch(&branch)?;
            Some(branch)
        }
        None => organisation.branches().next().map(|(id, _)| id.clone()),
    };
    let tab =
        |id: &BranchId, name: String| Tab { id: id.to_string(), name, chosen: chosen.as_ref() == Some(id) };
    let branches = organisation
        .branches()
        .map(|(id, branch)| tab(id, branch.name.as_ref().map_or_else(|| id.to_string(), ToString::to_string)))
        .collect();
    let branch = match chosen {
        Some(id) => Some(shown_branch(&office, &organisation, id).await?),
        None => None,
    };
    Ok(Page(Overview { branches, branch, alarms: alarms::now(&office).await }))
}

async fn shown_branch(office: &Office, organisation: &Organisation, id: BranchId) -> Result<Shown, Refused> {
    let now = office.front.now();
    let DispatchBoard { data: mut board, left_out } = office.board(id.clone()).await?;
    let counted: Vec<_> = board.iter().map(counted).collect();
    let due: Vec<_> = board.iter().filter_map(running_due).collect();
    let board_more = left_out + board.len().saturating_sub(BOARD_SHOWN_MAX);
    board.truncate(BOARD_SHOWN_MAX);
    let asked = id.clone();
    let mut told = office.ask(move |models| tell(models, &asked, board)).await?;
    told.notices = told.notices.into_iter().map(|row| office.front.with_deliveries(row)).collect();
    let view = organisation.branch(&id).map_err(crate::refusal::Refusal::from)?;
    let desk = DeskView { now, zone: view.calendar.calendar().zone(), view: &view };
    let local = now.with_timezone(&desk.zone);
    Ok(Shown {
        name: view.branch.name.as_ref().map_or_else(|| id.to_string(), ToString::to_string),
        id: id.to_string(),
        date: local.format("%Y-%m-%d").to_string(),
        time: local.format("%H:%M").to_string(),
        zone: desk.zone.name(),
        working: view.calendar.is_working(now),
        provisional: view.calendar.calendar().provisional_years(local.year()..=local.year() + 1),
        counts: counts(&counted, told.overdue.len(), told.overdue_more),
        ahead: Ahead::draw(due.into_iter(), now, desk.zone),
        board: told.board.iter().map(|one| desk.board_line(one)).collect(),
        board_more,
        overdue: told.overdue.iter().map(|row| desk.overdue_line(row)).collect(),
        overdue_more: told.overdue_more,
        notices: told.notices.iter().map(|row| desk.notice_line(row)).collect(),
    })
}

fn tell(models: &ReadModels, branch: &BranchId, board: Vec<BoardRow>) -> Result<Told, ReadError> {
    let first = |limit| ModelPage { after: None, limit };
    let overdue = models.overdue(Some(branch), &first(OVERDUE_SHOWN_MAX))?;
    let notices = models.notices(Some(branch), &first(NOTICES_SHOWN_MAX))?;
    let on_board = |row: BoardRow| {
        let ticket = models.ticket(row.ticket)?;
        let clock = ticket.as_ref().and_then(|ticket| ticket.clock(ClockKind::Dispatch));
        let limit = clock.map(|clock| clock.limit.span.duration());
        let wrong = ticket.as_ref().map_or("", |ticket| ticket.description.as_str());
        Ok(OnBoard { row, limit, wrong: shown::beginning(wrong, WRONG_LENGTH_MAX) })
    };
    Ok(Told {
        board: board.into_iter().map(on_board).collect::<Result<_, ReadError>>()?,
        overdue: overdue.rows,
        overdue_more: overdue.next.is_some(),
        notices: notices.rows,
    })
}

fn running_due(row: &BoardRow) -> Option<Instant> {
    row.due_at.filter(|_| row.standing == Some(ClockStanding::Running))
}

/// What a row of the board counts as: waiting, out, carried over, paused.
fn counted(row: &BoardRow) -> [bool; 4] {
    let is_paused = row.paused_since.is_some();
    let is_out = matches!(row.stage, WorkStage::Dispatched | WorkStage::Arrived);
    [row.stage == WorkStage::Waiting && !is_paused, is_out, row.carried_over, is_paused]
}

fn counts(board: &[[bool; 4]], overdue: usize, overdue_more: bool) -> Vec<Count> {
    let of = |index: usize| board.iter().filter(|row| row[index]).count();
    let count = |figure: usize, zh, en, tone| Count {
        figure: figure.to_string(),
        zh,
        en,
        tone: if figure == 0 { "quiet" } else { tone },
    };
    let mut late = count(overdue, "逾期", "overdue", "late");
    if overdue_more {
        late.figure.push('+');
    }
    vec![
        count(of(0), "待派工", "to dispatch", "plain"),
        count(of(1), "在途", "out", "plain"),
        count(of(2), "次日优先", "carried over", "near"),
        count(of(3), "暂停", "paused", "plain"),
        late,
    ]
}

/// The eyes of one branch: its people's names, its zone, now.
struct DeskView<'a> {
    now: Instant,
    zone: Tz,
    view: &'a BranchView<'a>,
}

impl DeskView<'_> {
    fn time(&self, at: Instant) -> String {
        shown::time(at, self.now, self.zone)
    }

    fn name(&self, staff: &StaffId) -> String {
        self.view.branch.staff.get(staff).map_or_else(|| staff.to_string(), |member| member.name.to_string())
    }

    fn board_line(&self, one: &OnBoard) -> BoardLine {
        let OnBoard { row, limit, wrong } = one;
        let visit = row.visit.map_or_else(String::new, |visit| {
            format!("{} – {}", self.time(visit.from), self.time(visit.until))
        });
        BoardLine {
            ticket: row.ticket.to_string(),
            number: row.number.to_string(),
            kind: words::kind(row.kind),
            product: row.product_model.to_string(),
            wrong: wrong.clone(),
            customer: masked(row.customer.name.as_str(), row.customer.phone.as_str()),
            place: row.district.as_ref().map_or_else(String::new, ToString::to_string),
            area: words::area(row.area),
            urgency: (row.urgency != Urgency::Normal).then(|| words::urgency(row.urgency)),
            emergency: row.urgency == Urgency::Emergency,
            carried_over: row.carried_over,
            duplicate: row.possible_duplicate_of.is_some(),
            paused: row.paused_since.map(|_| row.pause_reason.map_or(words::stopped(), words::pause)),
            notices: row.notices_count,
            stage: words::stage(row.stage),
            technician: row.technician.as_ref().map_or_else(String::new, |staff| self.name(staff)),
            visit,
            called: self.time(row.reported_at),
            left: self.left(row, *limit),
        }
    }

    fn left(&self, row: &BoardRow, limit: Option<Duration>) -> Left {
        let remaining = row.remaining();
        let share = match (limit, remaining) {
            (Some(limit), Some(left)) => shown::share_used(limit, left),
            _ => 100,
        };
        let (tone, text, en) = match (row.standing, remaining) {
            (Some(ClockStanding::Breached), _) => {
                let late_by =
                    row.due_at.and_then(|due_at| (self.now - due_at).to_std().ok()).unwrap_or_default();
                ("late", format!("逾期 {}", shown::length(late_by)), "overdue")
            }
            (Some(ClockStanding::Paused), Some(left)) => {
                ("paused", format!("剩 {}", shown::length(left)), "left, paused")
            }
            (Some(ClockStanding::Running), Some(left)) => {
                let tone = if share >= 75 { "near" } else { "fine" };
                (tone, format!("剩 {}", shown::length(left)), "left")
            }
            (Some(standing), _) => {
                ("done", words::standing(standing).zh.to_owned(), words::standing(standing).en)
            }
            (None, _) => ("done", "无时限".to_owned(), "no limit"),
        };
        Left {
            tone,
            text,
            en,
            due: row.due_at.map_or_else(String::new, |at| self.time(at)),
            due_machine: row.due_at.map_or_else(String::new, shown::machine_time),
            share,
            has_bar: remaining.is_some(),
        }
    }

    fn overdue_line(&self, row: &OverdueRow) -> OverdueLine {
        let late_by = (self.now - row.due_at).to_std().unwrap_or_default();
        let owner = row.technician.as_ref().or(row.handler.as_ref());
        OverdueLine {
            ticket: row.ticket.to_string(),
            number: row.number.to_string(),
            clock: words::clock(row.clock),
            customer: masked(row.customer.name.as_str(), row.customer.phone.as_str()),
            product: row.product_model.to_string(),
            due: self.time(row.due_at),
            due_machine: shown::machine_time(row.due_at),
            late_by: shown::length(late_by),
            owner: owner.map_or_else(|| "未指定".to_owned(), |staff| self.name(staff)),
            notices: row.notices_count,
        }
    }

    fn notice_line(&self, row: &NoticeRow) -> NoticeLine {
        let delivery = |outcome: &DeliveryOutcome| match outcome {
            DeliveryOutcome::Delivered => ("fine", Words { zh: "已送达", en: "delivered" }),
            DeliveryOutcome::Failed(_) => ("near", Words { zh: "重试中", en: "retrying" }),
            DeliveryOutcome::GivenUp(_) => ("late", Words { zh: "未送达", en: "given up" }),
            DeliveryOutcome::Skipped => ("near", Words { zh: "未推送", en: "not pushed" }),
            DeliveryOutcome::Withdrawn => ("fine", Words { zh: "已撤回", en: "withdrawn" }),
        };
        let deliveries = row.deliveries.iter().map(|one| {
            let (tone, outcome) = delivery(&one.outcome);
            (one.channel.to_string(), tone, outcome)
        });
        NoticeLine {
            ticket: row.ticket.to_string(),
            number: row.number.to_string(),
            clock: words::clock(row.notice.clock),
            rung: words::rung(row.notice.rung),
            to: words::party(&row.addressee, |staff| self.name(staff)),
            issued: self.time(row.issued_at),
            issued_machine: shown::machine_time(row.issued_at),
            late: row.late,
            superseded: row.superseded,
            deliveries: deliveries.collect(),
        }
    }
}

fn masked(name: &str, phone: &str) -> String {
    format!("{} {}", shown::masked_name(name), shown::masked_phone(phone))
}
