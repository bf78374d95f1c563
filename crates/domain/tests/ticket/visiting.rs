//! Responding, dispatching, arriving, fixing: R10–R13, R30–R32, R38.

use cuiban_domain::Rejection;
use cuiban_domain::sla::ClockState;
use cuiban_domain::ticket::{
    CorrectServiceBasis, DispatchTechnician, RegisterTicket, ServiceBasis, Stage, TicketEvent, TicketKind,
    VisitWindow,
};

use crate::office::{Office, rule, staff};
use crate::story::{Story, at, given, given_in};
use crate::words::*;

/// Called at 09:00, answered at 09:10, due at 16:00.
fn answered() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

fn under_way() -> Story {
    answered().and([at("03-04 10:00", dispatch("T1"))])
}

fn there() -> Story {
    under_way().and([at("03-04 14:10", arrive())])
}

fn correct(service_basis: ServiceBasis) -> CorrectServiceBasis {
    CorrectServiceBasis { service_basis, reason: line("合同已续签") }
}

#[test]
fn r10_a_person_corrects_the_basis_with_a_reason() {
    let (from, to) = (ServiceBasis::Paid, ServiceBasis::Contract);
    answered()
        .when(at("03-04 10:00", correct(to)))
        .then([TicketEvent::ServiceBasisCorrected { from, to, reason: line("合同已续签") }])
        .when(at("03-04 10:01", correct(to)))
        .then_rejected(Rejection::NothingToChange);
    given([at("03-04 09:00", complaint())])
        .when(at("03-04 10:00", correct(to)))
        .then_rejected(Rejection::NotARepair);
}

#[test]
fn r11_only_active_technicians_of_the_branch_are_dispatched() {
    let visit = |technician| at("03-04 10:00", dispatch(technician));
    let unknown = Rejection::UnknownStaff { branch: crate::office::branch("B0"), staff: staff("T5") };
    answered()
        .when(visit("S1"))
        .then_rejected(Rejection::NotATechnician { staff: staff("S1") })
        .when(visit("T9"))
        .then_rejected(Rejection::StaffHasLeft { staff: staff("T9") })
        .when(visit("T5"))
        .then_rejected(unknown)
        .when(visit("T1"))
        .then([TicketEvent::TechnicianDispatched { technician: staff("T1"), visit: None }]);
}

#[test]
fn r11_one_technician_at_a_time() {
    under_way()
        .when(at("03-04 10:01", dispatch("T2")))
        .then_rejected(Rejection::TechnicianAlreadyDispatched { technician: staff("T1") });
    there()
        .when(at("03-04 14:11", dispatch("T2")))
        .then_rejected(Rejection::TechnicianAlreadyArrived { arrived_at: instant("03-04 14:10") });
}

#[test]
fn r11_refuses_a_visit_that_ends_before_it_begins() {
    let window = |from, until| VisitWindow { from: instant(from), until: instant(until) };
    for visit in [window("03-04 14:00", "03-04 14:00"), window("03-04 14:00", "03-11 14:00:00.000001")] {
        let command = DispatchTechnician { visit: Some(visit), ..dispatch("T1") };
        answered().when(at("03-04 10:00", command)).then_rejected(Rejection::VisitWindowInvalid);
    }
}

#[test]
fn r11_nobody_is_sent_where_no_visit_is_needed() {
    given([at("03-04 09:00", complaint())])
        .when(at("03-04 10:00", dispatch("T1")))
        .then_rejected(Rejection::NoVisitNeeded);
}

#[test]
fn r12_arrival_follows_dispatch_once_and_in_order() {
    answered().when(at("03-04 10:00", arrive())).then_rejected(Rejection::TechnicianNotDispatched);
    let too_early = Rejection::OccurredTooEarly {
        occurred_at: instant("03-04 09:59"),
        not_before: instant("03-04 10:00"),
    };
    under_way().when(crate::story::late("03-04 09:59", "03-04 11:00", arrive())).then_rejected(too_early);
    there()
        .when(at("03-04 14:20", arrive()))
        .then_rejected(Rejection::TechnicianAlreadyArrived { arrived_at: instant("03-04 14:10") });
}

#[test]
fn r12_r31_arrival_stops_the_dispatch_clock() {
    under_way().when(at("03-04 14:10", arrive())).then([
        TicketEvent::TechnicianArrived { technician: staff("T1") },
        met(Dispatch, "03-04 14:10", false),
    ]);
}

#[test]
fn r13_fixed_and_signed_closes_the_ticket() {
    let fixed = TicketEvent::RepairFixedOnSite {
        technician: staff("T1"),
        remedy: note("更换电容"),
        customer_signed: true,
    };
    there().when(at("03-04 15:00", fix(true))).then([
        fixed,
        TicketEvent::WorkOrderArchived,
        TicketEvent::TicketClosed { note: None },
    ]);
}

#[test]
fn r13_fixed_without_a_signature_waits_for_closing() {
    let story = there().and([at("03-04 15:00", fix(false))]);
    assert_eq!(story.ticket.stage, Stage::Fixed);
    story
        .when(at("03-04 15:01", fix(true)))
        .then_rejected(Rejection::AlreadyFixed)
        .when(at("03-04 16:30", close()))
        .then([TicketEvent::WorkOrderArchived, TicketEvent::TicketClosed { note: None }])
        .when(at("03-04 16:31", close()))
        .then_rejected(Rejection::TicketEnded);
}

#[test]
fn r13_nothing_is_fixed_before_the_arrival_and_only_repairs_are() {
    under_way().when(at("03-04 11:00", fix(true))).then_rejected(Rejection::TechnicianNotArrived);
    there().when(at("03-04 15:00", close())).then_rejected(Rejection::NotYetFixed);
    let visit = RegisterTicket { needs_visit: true, ..call(TicketKind::Complaint) };
    given([at("03-04 09:00", register(visit))])
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 11:00", arrive())])
        .when(at("03-04 11:30", fix(true)))
        .then_rejected(Rejection::NotARepair);
}

#[test]
fn r30_the_first_answer_stops_the_response_clock_and_is_given_once() {
    given([at("03-04 09:00", repair())])
        .when(at("03-04 09:10", respond()))
        .then_clocks([met(Response, "03-04 09:10", false)])
        .when(at("03-04 09:11", respond()))
        .then_rejected(Rejection::AlreadyResponded { responded_at: instant("03-04 09:10") });
}

#[test]
fn r30_nothing_closes_unanswered() {
    given([at("03-04 09:00", repair())])
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 11:00", arrive())])
        .when(at("03-04 12:00", fix(true)))
        .then_rejected(Rejection::NotYetResponded);
    given([at("03-04 09:00", complaint())])
        .when(at("03-04 10:00", close()))
        .then_rejected(Rejection::NotYetResponded);
}

#[test]
fn r32_the_answer_to_a_complaint_sets_its_limit() {
    let story = given([at("03-04 09:00", complaint())])
        .and([at("03-04 09:30", respond_within(limit("48h", Wall)))])
        .due(Resolution, "03-06 09:30");
    story
        .when(at("03-06 09:30", close()))
        .then([TicketEvent::TicketClosed { note: None }, met(Resolution, "03-06 09:30", false)]);
}

#[test]
fn r32_policy_gives_the_limit_where_the_case_sets_none_and_repairs_have_none() {
    let mut office = Office::new();
    office.limits(&[rule(Resolution, "16h", Working)]);
    given_in(office.clone(), [at("03-04 09:00", complaint()), at("03-04 09:30", respond())])
        .due(Resolution, "03-06 09:30");
    let repaired = given_in(office, [at("03-04 09:00", repair()), at("03-04 09:30", respond())]);
    assert!(repaired.ticket.clock(Resolution).is_none());
}

#[test]
fn r32_closing_a_complaint_after_its_limit_urges_and_ends_the_breach() {
    given([at("03-04 09:00", complaint()), at("03-04 09:30", respond_within(limit("2h", Working)))])
        .when(at("03-04 11:30:30", close()))
        .after_notices(breach(Resolution, "03-04 11:30", customer_department()))
        .then_clocks([ended(Resolution, "03-04 11:30:30")]);
}

#[test]
fn r38_the_due_instant_itself_is_in_time_and_the_next_microsecond_is_not() {
    under_way().when(at("03-04 16:00", arrive())).then_clocks([met(Dispatch, "03-04 16:00", false)]);
    let just_after = "03-04 16:00:00.000001";
    under_way()
        .when(at(just_after, arrive()))
        .after_notices(breach(Dispatch, "03-04 16:00", person("T1")))
        .then_clocks([ended(Dispatch, just_after)]);
}

#[test]
fn r38_a_limit_that_uses_up_the_morning_ends_at_noon() {
    let mut office = Office::new();
    office.limits(&[rule(Dispatch, "3h", Working)]);
    let story = given_in(office, [at("03-04 09:00", repair())]).due(Dispatch, "03-04 12:00");
    // Arriving during lunch is late, although no working time has passed since noon.
    let story = story.and([at("03-04 09:10", respond()), at("03-04 10:00", dispatch("T1"))]);
    let story = story
        .when(at("03-04 12:00:01", arrive()))
        .after_notices(breach(Dispatch, "03-04 12:00", person("T1")))
        .then_obeyed();
    let ended_at = Some(instant("03-04 12:00:01"));
    story.stands(Dispatch, ClockState::Breached { due_at: instant("03-04 12:00"), ended_at });
}
