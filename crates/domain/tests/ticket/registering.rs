//! Registering: R1–R4, R10, R11, R30, R31, R35, R36.

use cuiban_domain::Rejection;
use cuiban_domain::ids::{BranchId, Number};
use cuiban_domain::organisation::{LeaveStaff, ListProducts, SetPolicy};
use cuiban_domain::people::{Department, Role};
use cuiban_domain::sla::Policy;
use cuiban_domain::ticket::{
    Area, CustomerLevel, Priority, RegisterTicket, ServiceBasis, TicketEvent, TicketKind, Urgency,
};

use crate::office::{Office, branch, rule, staff};
use crate::story::{Story, at, given, given_in, late};
use crate::words::*;

fn nothing() -> Story {
    given([])
}

fn registered(story: &Story) -> &TicketEvent {
    story.history.first().unwrap()
}

#[test]
fn r1_a_registration_records_what_the_operator_wrote() {
    let request = RegisterTicket { happened_at: Some(instant("03-03 20:00")), ..call(TicketKind::Repair) };
    let story = nothing().when(late("03-04 09:00", "03-04 09:05", register(request.clone()))).then_obeyed();
    let expected = TicketEvent::TicketRegistered {
        ticket: ticket_id(),
        number: Number::new("BX-202603-00001").unwrap(),
        kind: TicketKind::Repair,
        customer: request.customer,
        customer_level: CustomerLevel::Standard,
        channel: request.channel,
        product_model: request.product_model,
        serial_number: None,
        description: request.description,
        happened_at: Some(instant("03-03 20:00")),
        reported_at: instant("03-04 09:00"),
        branch: branch("B0"),
        area: Area::Urban,
        district: Some(name("城东")),
        area_overrides_district: false,
        urgency: Urgency::Normal,
        needs_visit: true,
        service_basis: Some(ServiceBasis::Paid),
    };
    assert_eq!(registered(&story), &expected);
}

#[test]
fn r1_the_area_is_given_or_told_by_the_district_and_never_guessed() {
    let area = |district: Option<&str>, area| {
        let request = RegisterTicket { district: district.map(name), area, ..call(TicketKind::Repair) };
        nothing().when(at("03-04 09:00", register(request)))
    };
    area(Some("远郊"), None).then_obeyed().due(Dispatch, "03-04 17:00");
    area(None, Some(Area::Urban)).then_obeyed().due(Dispatch, "03-04 16:00");
    area(Some("远郊"), Some(Area::Urban)).then_obeyed().due(Dispatch, "03-04 16:00");
    area(None, None).then_rejected(Rejection::AreaMissing);
    let unknown = Rejection::UnknownDistrict { branch: branch("B0"), district: "河西".into() };
    area(Some("河西"), Some(Area::Urban)).then_rejected(unknown);
}

#[test]
fn r1_refuses_a_branch_and_a_product_that_the_company_does_not_know() {
    let elsewhere = RegisterTicket { branch: BranchId::new("B7").unwrap(), ..call(TicketKind::Repair) };
    nothing()
        .when(at("03-04 09:00", register(elsewhere)))
        .then_rejected(Rejection::UnknownBranch { branch: branch("B7") });
    nothing()
        .meanwhile(|office| office.company(ListProducts { products: vec![name("KF-72")] }))
        .when(at("03-04 09:00", repair()))
        .then_rejected(Rejection::UnknownProduct { product: "KF-35".into() });
}

#[test]
fn r2_a_call_entered_later_counts_from_the_call() {
    given([late("03-04 09:00", "03-04 11:00", repair())])
        .due(Response, "03-05 09:00")
        .due(Dispatch, "03-04 16:00");
}

#[test]
fn r2_refuses_what_happens_in_the_future_or_before_its_cause() {
    let (occurred_at, now) = (instant("03-04 10:00"), instant("03-04 09:00"));
    nothing()
        .when(late("03-04 10:00", "03-04 09:00", repair()))
        .then_rejected(Rejection::OccurredInFuture { occurred_at, now });
    let broke_at = |at| RegisterTicket { happened_at: Some(instant(at)), ..call(TicketKind::Repair) };
    nothing()
        .when(at("03-04 09:00", register(broke_at("03-04 10:00"))))
        .then_rejected(Rejection::OccurredInFuture { occurred_at, now });
    nothing()
        .when(late("03-04 09:00", "03-04 11:00", register(broke_at("03-04 10:00"))))
        .then_rejected(Rejection::OccurredTooEarly { occurred_at: now, not_before: occurred_at });
}

#[test]
fn r2_nothing_happens_to_a_ticket_before_it_was_reported() {
    let too_early = Rejection::OccurredTooEarly {
        occurred_at: instant("03-04 08:59"),
        not_before: instant("03-04 09:00"),
    };
    let mut story = given([at("03-04 09:00", repair())]);
    let other = reclassify_to_suburban();
    for step in [
        late("03-04 08:59", "03-04 10:00", respond()),
        late("03-04 08:59", "03-04 10:00", dispatch("T1")),
        late("03-04 08:59", "03-04 10:00", pause()),
        late("03-04 08:59", "03-04 10:00", other),
        late("03-04 08:59", "03-04 10:00", transfer("B1")),
        late("03-04 08:59", "03-04 10:00", assign("K1")),
        late("03-04 08:59", "03-04 10:00", cancel()),
    ] {
        story = story.when(step).then_rejected(too_early.clone());
    }
}

fn reclassify_to_suburban() -> cuiban_domain::ticket::ReclassifyTicket {
    cuiban_domain::ticket::ReclassifyTicket { area: Some(Area::Suburban), ..reclassify() }
}

#[test]
fn r3_one_id_is_one_registration() {
    given([at("03-04 09:00", repair())])
        .when(at("03-04 09:01", repair()))
        .then_rejected(Rejection::TicketAlreadyRegistered);
}

#[test]
fn r4_r60_nobody_to_tell_is_never_nobody() {
    let emergency = || RegisterTicket { urgency: Urgency::Emergency, ..call(TicketKind::Repair) };
    let told = |office: &Office| {
        let story = given_in(office.clone(), [at("03-04 09:00", register(emergency()))]);
        let TicketEvent::EmergencyRaised { supervisors, departments } = story.history[2].clone() else {
            panic!("{:?}", story.history)
        };
        let story = story.and([at("03-05 17:00", issue(Dispatch, 1))]);
        let Some(TicketEvent::ExpediteNoticeIssued { informed, informed_departments, .. }) =
            story.history.last()
        else {
            panic!("{:?}", story.history)
        };
        assert_eq!((informed, informed_departments), (&supervisors, &departments));
        (supervisors, departments)
    };
    let mut office = Office::new();
    assert_eq!(told(&office), (vec![staff("S1")], vec![]));
    office.admit("B0", "M1", Role::BranchManager);
    assert_eq!(told(&office), (vec![staff("S1")], vec![]));
    office.branch("B0", LeaveStaff { staff: staff("S1"), successor: staff("K1") });
    assert_eq!(told(&office), (vec![staff("M1")], vec![]));
    office.branch("B0", LeaveStaff { staff: staff("M1"), successor: staff("K1") });
    assert_eq!(told(&office), (vec![], vec![Department::Customer]));
    let informed_departments = vec![Department::Dispatch, Department::Customer];
    let policy = Policy { informed_departments: informed_departments.clone(), ..Policy::default() };
    office.company(SetPolicy { policy });
    assert_eq!(told(&office), (vec![], informed_departments));
}

#[test]
fn r4_an_emergency_alerts_the_supervisors_at_once() {
    let emergency = RegisterTicket { urgency: Urgency::Emergency, ..call(TicketKind::Complaint) };
    let story = given([at("03-04 09:00", register(emergency))]);
    assert_eq!(
        story.history[1],
        TicketEvent::EmergencyRaised { supervisors: vec![staff("S1")], departments: Vec::new() }
    );
    let calm = given([at("03-04 09:00", complaint())]);
    assert!(!calm.history.iter().any(|event| matches!(event, TicketEvent::EmergencyRaised { .. })));
}

#[test]
fn r4_urgency_and_customer_level_give_the_priority() {
    use CustomerLevel::{Important, Standard};
    let priority = |urgency, level| Priority::of(urgency, level);
    assert_eq!(priority(Urgency::Emergency, Standard), Priority::Critical);
    assert_eq!(priority(Urgency::Emergency, Important), Priority::Critical);
    assert_eq!(priority(Urgency::Urgent, Important), Priority::High);
    assert_eq!(priority(Urgency::Urgent, Standard), Priority::Medium);
    assert_eq!(priority(Urgency::Normal, Important), Priority::Medium);
    assert_eq!(priority(Urgency::Normal, Standard), Priority::Low);
    assert!(Priority::ALL.is_sorted(), "what comes first sorts first");
}

#[test]
fn r4_urgency_and_customer_level_choose_the_limit() {
    let mut office = Office::new();
    let mut urgent = rule(Dispatch, "4h", Working);
    urgent.urgency = Some(Urgency::Urgent);
    let mut important = rule(Dispatch, "5h", Working);
    important.customer_level = Some(CustomerLevel::Important);
    office.limits(&[important, urgent]);
    let due = |urgency, customer_level| {
        let request = RegisterTicket { urgency, customer_level, ..call(TicketKind::Repair) };
        given_in(office.clone(), [at("03-04 09:00", register(request))])
    };
    due(Urgency::Normal, CustomerLevel::Standard).due(Dispatch, "03-04 16:00");
    due(Urgency::Normal, CustomerLevel::Important).due(Dispatch, "03-04 15:00");
    due(Urgency::Urgent, CustomerLevel::Important).due(Dispatch, "03-04 14:00");
}

#[test]
fn r10_contract_before_warranty_before_paid_by_the_branch_s_own_day() {
    let basis = |reported_at: &str, warranty: Option<&str>, contract: Option<&str>| {
        let day = |text: &str| text.parse().unwrap();
        let request = RegisterTicket {
            warranty_until: warranty.map(day),
            contract_until: contract.map(day),
            ..call(TicketKind::Repair)
        };
        match registered(&given([at(reported_at, register(request))])) {
            TicketEvent::TicketRegistered { service_basis, .. } => *service_basis,
            other => panic!("{other:?}"),
        }
    };
    let today = Some("2026-03-04");
    assert_eq!(basis("03-04 09:00", None, None), Some(ServiceBasis::Paid));
    assert_eq!(basis("03-04 09:00", today, None), Some(ServiceBasis::Warranty));
    assert_eq!(basis("03-04 09:00", today, today), Some(ServiceBasis::Contract));
    // 23:59 in Shanghai is still the last day; a minute later it is over, though not yet in UTC.
    assert_eq!(basis("03-04 23:59", today, None), Some(ServiceBasis::Warranty));
    assert_eq!(basis("03-05 00:00", today, None), Some(ServiceBasis::Paid));
}

#[test]
fn r11_a_repair_gets_a_work_order_and_nothing_else_does() {
    let order = |registration| {
        let story = given([at("03-04 09:00", registration)]);
        story.history.iter().filter(|event| matches!(event, TicketEvent::WorkOrderIssued { .. })).count()
    };
    assert_eq!(order(repair()), 1);
    assert_eq!(order(complaint()), 0);
    assert_eq!(order(register(call(TicketKind::CompensationClaim))), 0);
}

#[test]
fn r30_every_kind_is_to_be_answered_within_24_hours_of_the_wall_clock() {
    for kind in TicketKind::ALL {
        // The Friday evening before a weekend: working time does not come into it.
        given([at("03-06 18:00", register(call(*kind)))]).due(Response, "03-07 18:00");
    }
}

#[test]
fn r31_six_working_hours_in_the_urban_area_and_seven_in_the_suburbs() {
    given([at("03-04 09:00", repair())]).due(Dispatch, "03-04 16:00");
    let suburban = RegisterTicket { district: Some(name("远郊")), ..call(TicketKind::Repair) };
    given([at("03-04 09:00", register(suburban))]).due(Dispatch, "03-04 17:00");
    // Before the Spring Festival: 17:00 on the worked Saturday leaves 5.5 hours for the day after the holiday.
    given([at("02-14 17:00", repair())]).due(Dispatch, "02-24 15:00");
}

#[test]
fn r31_a_complaint_has_the_clock_only_when_a_visit_is_needed() {
    assert!(given([at("03-04 09:00", complaint())]).ticket.clock(Dispatch).is_none());
    let visit = RegisterTicket { needs_visit: true, ..call(TicketKind::Complaint) };
    given([at("03-04 09:00", register(visit))]).due(Dispatch, "03-04 16:00");
}

#[test]
fn r36_a_clock_records_its_due_instant_and_what_gave_it() {
    let mut office = Office::new();
    office.branch_limits("B0", &[rule(Dispatch, "2h", Working)]);
    let story = given_in(office, [at("03-04 09:00", repair())]);
    let started = TicketEvent::ClockStarted {
        clock: Dispatch,
        cycle: 1,
        limit: limit("2h", Working),
        started_at: instant("03-04 09:00"),
        due_at: instant("03-04 11:00"),
        basis: story.office.basis("B0"),
    };
    assert_eq!(story.history.last(), Some(&started));
}
