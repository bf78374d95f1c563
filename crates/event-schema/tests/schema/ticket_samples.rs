//! Samples of what happens to tickets.

use std::time::Duration;

use cuiban_domain::ids::{BranchId, Number, StaffId, TicketId};
use cuiban_domain::people::{Customer, Department, Party, Phone};
use cuiban_domain::sla::{Clock, ClockKind, ClockState, Limit, Measure, Notice, Rung};
use cuiban_domain::ticket::{
    Area, Channel, ClockBasis, CustomerLevel, DeadlineReason, PauseReason, ServiceBasis, TicketEvent as E,
    TicketKind, TicketSummary, Urgency, VisitWindow,
};
use uuid::Uuid;

use crate::samples::{Sample, at, line, name, note};

pub(crate) fn ticket_id() -> TicketId {
    TicketId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001))
}

pub(crate) fn branch(id: &str) -> BranchId {
    BranchId::new(id).unwrap()
}

pub(crate) fn staff(id: &str) -> StaffId {
    StaffId::new(id).unwrap()
}

fn number() -> Number {
    Number::new("BX-202603-00042").unwrap()
}

fn customer(address: Option<&str>) -> Customer {
    let (name, phone) = (name("客户甲"), Phone::new("+8613800000000x801").unwrap());
    Customer { name, phone, address: address.map(line) }
}

/// Everything that befalls a ticket but its clocks.
pub(crate) fn ticket() -> Vec<Sample> {
    [registration(), visit(), corrections(), endings()].into_iter().flatten().collect()
}

fn registration() -> Vec<Sample> {
    let full = E::TicketRegistered {
        ticket: ticket_id(),
        number: number(),
        kind: TicketKind::Repair,
        customer: customer(Some("某市某路 1 号，\n三楼")),
        customer_level: CustomerLevel::Important,
        channel: Channel::WalkIn,
        product_model: name("KF-35"),
        serial_number: Some(name("SN 0042")),
        description: note("不制冷；有异响 🧊"),
        happened_at: Some(at("01:00:00.123456")),
        reported_at: at("06:10:00"),
        branch: branch("B0"),
        area: Area::Suburban,
        district: Some(name("远郊")),
        area_overrides_district: true,
        urgency: Urgency::Emergency,
        needs_visit: true,
        service_basis: Some(ServiceBasis::Contract),
    };
    let bare = E::TicketRegistered {
        ticket: ticket_id(),
        number: number(),
        kind: TicketKind::Complaint,
        customer: customer(None),
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: name("KF-35"),
        serial_number: None,
        description: note("不满意"),
        happened_at: None,
        reported_at: at("06:10:00"),
        branch: branch("B0"),
        area: Area::Urban,
        district: None,
        area_overrides_district: false,
        urgency: Urgency::Normal,
        needs_visit: false,
        service_basis: None,
    };
    vec![
        Sample::new(full, bare),
        both(E::WorkOrderIssued { work_order: number() }),
        Sample::new(
            E::EmergencyRaised {
                supervisors: vec![staff("S1"), staff("S2")],
                departments: vec![Department::Customer],
            },
            E::EmergencyRaised { supervisors: Vec::new(), departments: Vec::new() },
        ),
        Sample::new(
            E::CustomerResponded {
                channel: Channel::Mail, answer: Some(note("明天上门。\n请留人。"))
            },
            E::CustomerResponded { channel: Channel::Phone, answer: None },
        ),
    ]
}

fn visit() -> Vec<Sample> {
    let window = VisitWindow { from: at("06:00:00"), until: at("08:00:00") };
    let fixed = |customer_signed| E::RepairFixedOnSite {
        technician: staff("T1"),
        remedy: note("更换电容"),
        customer_signed,
    };
    vec![
        Sample::new(
            E::TechnicianDispatched { technician: staff("T1"), visit: Some(window) },
            E::TechnicianDispatched { technician: staff("T1"), visit: None },
        ),
        both(E::TechnicianArrived { technician: staff("T1") }),
        Sample::new(fixed(true), fixed(false)),
        both(E::WorkOrderArchived),
        Sample::new(
            E::TicketPaused { reason: PauseReason::WaitingForParts, note: Some(line("压缩机缺货")) },
            E::TicketPaused { reason: PauseReason::CustomerAbsent, note: None },
        ),
        both(E::TicketResumed),
    ]
}

fn corrections() -> Vec<Sample> {
    let reclassified = |needs_visit| E::TicketReclassified {
        kind: TicketKind::CompensationClaim,
        urgency: Urgency::Urgent,
        area: Area::Urban,
        needs_visit,
        reason: line("登记有误"),
    };
    let (from, to, reason) = (ServiceBasis::Paid, ServiceBasis::Warranty, line("保修期内"));
    let transferred = |district: Option<&str>, summary| E::TicketTransferred {
        from: branch("B0"),
        to: branch("B1"),
        area: Area::Suburban,
        district: district.map(name),
        area_overrides_district: district.is_some(),
        reason: line("客户迁址"),
        summary: Box::new(summary),
    };
    vec![
        Sample::new(reclassified(true), reclassified(false)),
        both(E::AreaChanged { area: Area::Suburban }),
        both(E::ServiceBasisCorrected { from, to, reason }),
        both(E::HandlerAssigned { handler: staff("K1") }),
        both(E::TicketReassigned { from: staff("T9"), to: staff("T1"), reason: line("离职") }),
        Sample::new(transferred(Some("城东"), full_summary()), transferred(None, bare_summary())),
    ]
}

fn endings() -> Vec<Sample> {
    let into = TicketId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002));
    vec![
        both(E::TicketMerged { into, reason: line("重复来电") }),
        both(E::TicketCancelled { reason: line("客户撤回") }),
        Sample::new(E::TicketClosed { note: Some(note("已回访")) }, E::TicketClosed { note: None }),
        both(E::TicketReopened { cycle: 2, reason: line("同样的故障") }),
    ]
}

fn full_summary() -> TicketSummary {
    let states = [
        ClockState::Running { due_at: at("08:00:00") },
        ClockState::Paused { since: at("07:00:00") },
        ClockState::Met { at: at("07:00:00"), late_recorded: true },
        ClockState::Breached { due_at: at("08:00:00"), ended_at: Some(at("09:00:00")) },
        ClockState::Breached { due_at: at("08:00:00"), ended_at: None },
        ClockState::Cancelled,
    ];
    TicketSummary {
        serial_number: Some(name("SN 0042")),
        responded_at: Some(at("06:20:00")),
        clocks: states.into_iter().map(clock).collect(),
        ..bare_summary()
    }
}

fn bare_summary() -> TicketSummary {
    TicketSummary {
        number: number(),
        kind: TicketKind::Repair,
        customer: customer(None),
        customer_level: CustomerLevel::Standard,
        product_model: name("KF-35"),
        serial_number: None,
        description: note("不制冷"),
        reported_at: at("06:10:00"),
        urgency: Urgency::Normal,
        needs_visit: true,
        responded_at: None,
        clocks: Vec::new(),
    }
}

fn clock(state: ClockState) -> Clock {
    Clock {
        kind: ClockKind::Dispatch,
        cycle: 2,
        limit: working("6h"),
        started_at: at("06:10:00"),
        consumed: Duration::from_micros(1_500_001),
        running_since: at("06:30:00"),
        state,
        notices: vec![notice(Rung::Breach, 0), notice(Rung::Breach, 1)],
        superseded: vec![notice(Rung::Breach, 0)],
    }
}

fn notice(rung: Rung, repetition: u32) -> Notice {
    Notice { clock: ClockKind::Dispatch, cycle: 2, episode: 0, rung, repetition }
}

fn working(span: &str) -> Limit {
    Limit { span: span.parse().unwrap(), measure: Measure::Working }
}

fn basis() -> ClockBasis {
    ClockBasis { policy_version: "c3.b1".to_owned(), calendar_version: "c12.b0".to_owned() }
}

/// Everything that befalls a ticket's clocks.
pub(crate) fn clocks() -> Vec<Sample> {
    [runs(), breaches()].into_iter().flatten().collect()
}

fn runs() -> Vec<Sample> {
    let (clock, cycle, limit, basis) = (ClockKind::Dispatch, 2, working("6h"), basis());
    let started = |limit| E::ClockStarted {
        clock,
        cycle,
        limit,
        started_at: at("06:10:00"),
        due_at: at("08:00:00"),
        basis: basis.clone(),
    };
    let wall = Limit { span: "1day 30m".parse().unwrap(), measure: Measure::Wall };
    let met = |late_recorded| E::ClockMet { clock, cycle, met_at: at("07:00:00"), late_recorded };
    let paused = |consumed| E::ClockPaused { clock, cycle, paused_at: at("07:00:00"), consumed };
    let moved = |from, to| E::DeadlineMoved {
        clock,
        cycle,
        limit,
        from,
        to,
        reason: DeadlineReason::Reclassified,
        basis: basis.clone(),
    };
    vec![
        Sample::new(started(limit), started(wall)),
        Sample::new(met(true), met(false)),
        Sample::new(paused(Duration::from_micros(3_600_000_001)), paused(Duration::ZERO)),
        both(E::ClockResumed {
            clock,
            cycle,
            resumed_at: at("07:30:00"),
            due_at: at("09:00:00"),
            basis: basis.clone(),
        }),
        Sample::new(moved(Some(at("08:00:00")), Some(at("09:00:00"))), moved(None, None)),
        both(E::ClockCancelled { clock, cycle, cancelled_at: at("07:00:00") }),
    ]
}

fn breaches() -> Vec<Sample> {
    let (clock, cycle, due_at) = (ClockKind::Resolution, 1, at("08:00:00"));
    let issued = |addressee, informed, late| E::ExpediteNoticeIssued {
        notice: Notice { episode: 1, ..notice(Rung::DeputyGeneralManager, 3) },
        due_at,
        addressee,
        informed,
        informed_departments: if late { Department::ALL.to_vec() } else { Vec::new() },
        late,
    };
    vec![
        both(E::SlaBreached { clock, cycle, due_at }),
        both(E::BreachEnded { clock, cycle, ended_at: at("09:00:00") }),
        Sample::new(
            issued(Party::Staff(staff("T1")), vec![staff("S1"), staff("S2")], true),
            issued(Party::Department(Department::Customer), Vec::new(), false),
        ),
        Sample::new(
            E::ExpediteNoticeSuperseded { notice: Notice { episode: 1, ..notice(Rung::Breach, 0) } },
            E::ExpediteNoticeSuperseded { notice: notice(Rung::Breach, 0) },
        ),
    ]
}

/// An event that has nothing to leave out.
pub(crate) fn both(event: E) -> Sample {
    Sample::new(event.clone(), event)
}
