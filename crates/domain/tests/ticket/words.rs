//! Commands, events and instants as the stories say them.

use chrono::NaiveDateTime;
use cuiban_domain::Instant;
use cuiban_domain::ids::{Number, TicketId};
use cuiban_domain::people::{Customer, Department, Party, Phone};
use cuiban_domain::sla::{ClockKind, Limit, Measure, Notice, Rung};
use cuiban_domain::text::{Line, Name, Note};
use cuiban_domain::ticket::{
    ArriveAtCustomer, AssignHandler, CancelTicket, Channel, CloseTicket, CustomerLevel, DeadlineReason,
    DispatchTechnician, FixOnSite, IssueExpediteNotice, MergeTicket, MoveDeadlines, PauseReason, PauseTicket,
    ReassignTicket, ReclassifyTicket, RegisterTicket, Registration, ReopenTicket, RespondToCustomer,
    ResumeTicket, TicketEvent, TicketKind, TransferTicket, Urgency,
};
use cuiban_domain::working_time::Hours;
use uuid::Uuid;

use crate::office::{branch, staff};

pub(crate) use ClockKind::{Dispatch, Resolution, Response};
pub(crate) use Measure::{Wall, Working};

/// `03-04 09:00`, with seconds and less if wanted: 2026, by the clocks of Shanghai.
pub(crate) fn instant(text: &str) -> Instant {
    let text = if text.matches(':').count() == 1 { format!("{text}:00") } else { text.to_owned() };
    let local = NaiveDateTime::parse_from_str(&format!("2026-{text}"), "%Y-%m-%d %H:%M:%S%.f").unwrap();
    local.and_local_timezone(chrono_tz::Asia::Shanghai).unwrap().to_utc()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn line(text: &str) -> Line {
    Line::new(text).unwrap()
}

pub(crate) fn note(text: &str) -> Note {
    Note::new(text).unwrap()
}

pub(crate) fn hours(text: &str) -> Hours {
    text.parse().unwrap()
}

pub(crate) fn limit(span: &str, measure: Measure) -> Limit {
    Limit { span: span.parse().unwrap(), measure }
}

pub(crate) fn ticket_id() -> TicketId {
    TicketId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001))
}

pub(crate) fn other_ticket_id() -> TicketId {
    TicketId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002))
}

/// An urban call at `B0`, with everything else as simple as can be.
pub(crate) fn call(kind: TicketKind) -> RegisterTicket {
    RegisterTicket {
        kind,
        customer: Customer {
            name: name("客户甲"),
            phone: Phone::new("13800000000").unwrap(),
            address: Some(line("某路 1 号")),
        },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: name("KF-35"),
        serial_number: None,
        description: note("不制冷"),
        happened_at: None,
        branch: branch("B0"),
        area: None,
        district: Some(name("城东")),
        urgency: Urgency::Normal,
        needs_visit: false,
        warranty_until: None,
        contract_until: None,
    }
}

pub(crate) fn register(request: RegisterTicket) -> Registration {
    let number = format!("{}-202603-00001", request.kind.prefix());
    Registration { ticket: ticket_id(), number: Number::new(number).unwrap(), request }
}

pub(crate) fn repair() -> Registration {
    register(call(TicketKind::Repair))
}

pub(crate) fn complaint() -> Registration {
    register(call(TicketKind::Complaint))
}

pub(crate) fn respond() -> RespondToCustomer {
    RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }
}

pub(crate) fn respond_within(limit: Limit) -> RespondToCustomer {
    RespondToCustomer { resolution_limit: Some(limit), ..respond() }
}

pub(crate) fn dispatch(technician: &str) -> DispatchTechnician {
    DispatchTechnician { technician: staff(technician), visit: None }
}

pub(crate) fn arrive() -> ArriveAtCustomer {
    ArriveAtCustomer {}
}

pub(crate) fn fix(customer_signed: bool) -> FixOnSite {
    FixOnSite { remedy: note("更换电容"), customer_signed }
}

pub(crate) fn pause() -> PauseTicket {
    PauseTicket { reason: PauseReason::CustomerAbsent, note: None }
}

pub(crate) fn resume() -> ResumeTicket {
    ResumeTicket {}
}

/// Nothing corrected yet: fill in with struct update.
pub(crate) fn reclassify() -> ReclassifyTicket {
    ReclassifyTicket {
        kind: None, urgency: None, area: None, needs_visit: None, reason: line("登记有误")
    }
}

pub(crate) fn assign(handler: &str) -> AssignHandler {
    AssignHandler { handler: staff(handler) }
}

pub(crate) fn reassign(from: &str, to: &str) -> ReassignTicket {
    ReassignTicket { from: staff(from), to: staff(to), reason: line("离职") }
}

pub(crate) fn transfer(to: &str) -> TransferTicket {
    TransferTicket { to: branch(to), area: None, district: None, reason: line("客户迁址") }
}

pub(crate) fn merge(into: TicketId) -> MergeTicket {
    MergeTicket { into, reason: line("重复来电") }
}

pub(crate) fn cancel() -> CancelTicket {
    CancelTicket { reason: line("客户撤回") }
}

pub(crate) fn close() -> CloseTicket {
    CloseTicket { note: None }
}

pub(crate) fn reopen() -> ReopenTicket {
    ReopenTicket { reason: line("同样的故障") }
}

pub(crate) fn move_deadlines(reason: DeadlineReason) -> MoveDeadlines {
    MoveDeadlines { reason }
}

/// The notice of a breach.
pub(crate) fn notice(clock: ClockKind, cycle: u32, repetition: u32) -> Notice {
    Notice { clock, cycle, episode: 0, rung: Rung::Breach, repetition }
}

pub(crate) fn issue(clock: ClockKind, cycle: u32) -> IssueExpediteNotice {
    IssueExpediteNotice { notice: notice(clock, cycle, 0) }
}

pub(crate) fn met(clock: ClockKind, met_at: &str, late_recorded: bool) -> TicketEvent {
    TicketEvent::ClockMet { clock, cycle: 1, met_at: instant(met_at), late_recorded }
}

pub(crate) fn cancelled(clock: ClockKind, cancelled_at: &str) -> TicketEvent {
    TicketEvent::ClockCancelled { clock, cycle: 1, cancelled_at: instant(cancelled_at) }
}

pub(crate) fn ended(clock: ClockKind, ended_at: &str) -> TicketEvent {
    TicketEvent::BreachEnded { clock, cycle: 1, ended_at: instant(ended_at) }
}

/// The first notice of an episode counts no more.
pub(crate) fn superseded(clock: ClockKind, episode: u32) -> TicketEvent {
    TicketEvent::ExpediteNoticeSuperseded { notice: Notice { episode, ..notice(clock, 1, 0) } }
}

/// The breach of a clock of the first cycle and its notice, in time, to B0's supervisor's knowledge.
pub(crate) fn breach(clock: ClockKind, due_at: &str, addressee: Party) -> [TicketEvent; 2] {
    let (notice, due_at, informed) = (notice(clock, 1, 0), instant(due_at), vec![staff("S1")]);
    [
        TicketEvent::SlaBreached { clock, cycle: 1, due_at },
        TicketEvent::ExpediteNoticeIssued {
            notice,
            due_at,
            addressee,
            informed,
            informed_departments: Vec::new(),
            late: false,
        },
    ]
}

/// The same, found out later than policy's `late_after`.
pub(crate) fn late_breach(clock: ClockKind, due_at: &str, addressee: Party) -> [TicketEvent; 2] {
    let [breached, mut issued] = breach(clock, due_at, addressee);
    if let TicketEvent::ExpediteNoticeIssued { late, .. } = &mut issued {
        *late = true;
    }
    [breached, issued]
}

pub(crate) fn dispatchers() -> Party {
    Party::Department(Department::Dispatch)
}

pub(crate) fn customer_department() -> Party {
    Party::Department(Department::Customer)
}

pub(crate) fn person(id: &str) -> Party {
    Party::Staff(staff(id))
}
