//! Samples of what happens to the company, its branches, schedules, numbers and alerts.

use chrono_tz::{America, Asia};
use cuiban_domain::alert::{AlertEvent, Outcome};
use cuiban_domain::ids::ChannelId;
use cuiban_domain::numbering::NumberingEvent;
use cuiban_domain::organisation::{BranchEvent, BranchHours, CompanyEvent, District, StaffMember};
use cuiban_domain::people::{Department, Role};
use cuiban_domain::schedule::ScheduleEvent;
use cuiban_domain::sla::{ClockKind, LadderStep, Limit, LimitRule, Measure, Policy, Rung};
use cuiban_domain::step_over::StepOverEvent;
use cuiban_domain::ticket::{Area, CustomerLevel, TicketKind, Urgency, VisitWindow};
use cuiban_domain::working_time::{Calendar, Hours, Layer, SpecialDay, Weekly};

use crate::samples::{Sample, at, line, name};
use crate::ticket_samples::{branch, staff, ticket_id};

pub(crate) fn all() -> Vec<Sample> {
    [company(), branches(), the_rest()].into_iter().flatten().collect()
}

fn company() -> Vec<Sample> {
    let bare_calendar =
        Calendar::new(Asia::Shanghai, Weekly { mon: hours(&["00:00-24:00"]), ..Weekly::default() }, vec![]);
    let no_products = CompanyEvent::ProductsListed { products: Vec::new() };
    vec![
        Sample::new(
            CompanyEvent::CompanyCalendarSet { calendar: full_calendar() },
            CompanyEvent::CompanyCalendarSet { calendar: bare_calendar.unwrap() },
        ),
        Sample::new(
            CompanyEvent::ProvinceDaysSet { province: name("广东"), days: days() },
            CompanyEvent::ProvinceDaysSet { province: name("广东"), days: Vec::new() },
        ),
        Sample::new(
            CompanyEvent::PolicySet { policy: full_policy() },
            CompanyEvent::PolicySet {
                policy: Policy {
                    limits: vec![],
                    restart_on_reopen: vec![],
                    ladder: vec![],
                    informed_departments: vec![],
                    ..full_policy()
                },
            },
        ),
        Sample::new(
            CompanyEvent::ProductsListed { products: vec![name("KF-35"), name("KF-72")] },
            no_products,
        ),
    ]
}

fn branches() -> Vec<Sample> {
    let member = |skills, areas| StaffMember {
        id: staff("T1"),
        name: name("技术员一"),
        role: Role::Technician,
        skills,
        areas,
    };
    let full = || member(vec![name("KF-35"), name("高压")], vec![Area::Urban, Area::Suburban]);
    let bare = || member(Vec::new(), Vec::new());
    let hours = BranchHours { zone: Some(America::New_York), weekly: Some(full_weekly()), days: days() };
    let districts = vec![District { name: name("城东"), area: Area::Urban }];
    let opened =
        |province| BranchEvent::BranchOpened {
            branch: branch("B0"), name: name("总部服务中心"), province
        };
    vec![
        Sample::new(opened(Some(name("广东"))), opened(None)),
        Sample::new(
            BranchEvent::BranchHoursSet { hours },
            BranchEvent::BranchHoursSet { hours: BranchHours::default() },
        ),
        Sample::new(
            BranchEvent::BranchLimitsSet { limits: rules() },
            BranchEvent::BranchLimitsSet { limits: Vec::new() },
        ),
        Sample::new(
            BranchEvent::DistrictsListed { districts },
            BranchEvent::DistrictsListed { districts: Vec::new() },
        ),
        Sample::new(
            BranchEvent::StaffAdmitted { member: full() },
            BranchEvent::StaffAdmitted { member: bare() },
        ),
        Sample::new(
            BranchEvent::StaffChanged { member: full() },
            BranchEvent::StaffChanged { member: bare() },
        ),
        both(BranchEvent::StaffLeft { staff: staff("T9"), successor: staff("T1") }),
    ]
}

fn the_rest() -> Vec<Sample> {
    let (ticket, branch) = (ticket_id(), branch("B0"));
    let visit = VisitWindow { from: at("06:00:00"), until: at("08:00:00") };
    let attempted = |attempt, outcome| AlertEvent::AlertAttempted {
        branch: branch.clone(),
        channel: ChannelId::new("webhook").unwrap(),
        attempt,
        outcome,
    };
    let reserved = ScheduleEvent::VisitReserved { ticket, branch: branch.clone(), visit };
    let released = ScheduleEvent::VisitReleased { ticket, branch: branch.clone() };
    let numbers = NumberingEvent::NumbersReserved { first: 1_000_001, count: 100 };
    let passed_over = |position, reason| StepOverEvent::CommitSteppedOver {
        position,
        sha256: std::array::from_fn(|index| u8::try_from(index).unwrap() ^ 0xa5),
        reason: line(reason),
    };
    vec![
        Sample::new(passed_over(u64::MAX, "写入者有错，已核对原件"), passed_over(1, "损坏")),
        Sample::new(reserved.clone(), reserved),
        Sample::new(released.clone(), released),
        Sample::new(numbers.clone(), numbers),
        Sample::new(attempted(3, Outcome::GivenUp(line("410 Gone"))), attempted(1, Outcome::Delivered)),
    ]
}

fn both(event: BranchEvent) -> Sample {
    Sample::new(event.clone(), event)
}

fn hours(texts: &[&str]) -> Vec<Hours> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn full_weekly() -> Weekly {
    Weekly {
        mon: hours(&["08:30-12:00", "13:00-17:30"]),
        tue: hours(&["22:00-06:00"]),
        wed: hours(&["00:00-24:00"]),
        thu: hours(&["13:00-24:00"]),
        fri: hours(&["08:30-12:00"]),
        sat: hours(&["09:00-10:00", "11:00-12:00", "14:00-15:00"]),
        sun: hours(&["23:59-23:58"]),
    }
}

fn days() -> Vec<SpecialDay> {
    let date = |text: &str| text.parse().unwrap();
    let sourced = SpecialDay {
        source: "国办发明电〔2025〕7号".to_owned(),
        ..SpecialDay::closed(date("2026-02-16"), "除夕")
    };
    let only_hours =
        SpecialDay { open: None, ..SpecialDay::with_hours(date("2026-12-31"), hours(&["08:30-12:00"]), "") };
    vec![
        sourced,
        SpecialDay::make_up(date("2026-02-14"), "春节调休"),
        SpecialDay::with_hours(date("2026-02-28"), hours(&["08:30-12:00", "13:00-15:00"]), "春节调休"),
        only_hours,
    ]
}

fn full_calendar() -> Calendar {
    let national = Layer { name: "全国".to_owned(), published_years: vec![2025, 2026], days: days() };
    let own = Layer { name: "总公司".to_owned(), ..Layer::default() };
    Calendar::new(Asia::Shanghai, full_weekly(), vec![national, own]).unwrap()
}

fn rules() -> Vec<LimitRule> {
    let limit = |span: &str, measure| Limit { span: span.parse().unwrap(), measure };
    let any = LimitRule {
        clock: ClockKind::Response,
        limit: limit("24h", Measure::Wall),
        kind: None,
        urgency: None,
        customer_level: None,
        area: None,
    };
    let narrow = LimitRule {
        clock: ClockKind::Dispatch,
        limit: limit("5h 30m", Measure::Working),
        kind: Some(TicketKind::Repair),
        urgency: Some(Urgency::Urgent),
        customer_level: Some(CustomerLevel::Important),
        area: Some(Area::Suburban),
    };
    vec![any, narrow]
}

fn full_policy() -> Policy {
    Policy {
        limits: rules(),
        restart_on_reopen: vec![ClockKind::Dispatch, ClockKind::Response],
        ladder: vec![
            LadderStep { rung: Rung::Breach, repetitions: 0 },
            LadderStep { rung: Rung::BranchManager, repetitions: 2 },
        ],
        late_after: "90s".parse().unwrap(),
        duplicate_window: "3days".parse().unwrap(),
        informed_departments: vec![Department::Customer, Department::Dispatch],
    }
}
