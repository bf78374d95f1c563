//! Correcting kind, urgency and area, and limits that change: R4, R10, R11, R31, R32, R35, R36.

use cuiban_domain::Rejection;
use cuiban_domain::organisation::{District, ListDistricts, SetPolicy};
use cuiban_domain::sla::{ClockKind, ClockState, Policy};
use cuiban_domain::ticket::{
    Area, CorrectServiceBasis, DeadlineReason, ReclassifyTicket, RegisterTicket, ServiceBasis, TicketEvent,
    TicketKind, Urgency,
};

use crate::office::{Office, rule, staff};
use crate::story::{Story, at, given, given_in, late};
use crate::words::*;

/// Due at 16:00.
fn waiting() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

fn area(area: Area) -> ReclassifyTicket {
    ReclassifyTicket { area: Some(area), ..reclassify() }
}

fn kind(kind: TicketKind) -> ReclassifyTicket {
    ReclassifyTicket { kind: Some(kind), ..reclassify() }
}

fn no_visit() -> ReclassifyTicket {
    ReclassifyTicket { needs_visit: Some(false), ..kind(TicketKind::Complaint) }
}

fn urgency(urgency: Urgency) -> ReclassifyTicket {
    ReclassifyTicket { urgency: Some(urgency), ..reclassify() }
}

fn list(districts: &[(&str, Area)]) -> ListDistricts {
    let district = |(district, area): &(&str, Area)| District { name: name(district), area: *area };
    ListDistricts { districts: districts.iter().map(district).collect() }
}

#[test]
fn r36_a_corrected_area_moves_the_due_instant_both_ways() {
    waiting()
        .when(at("03-04 10:00", area(Area::Suburban)))
        .then_moved(Dispatch, DeadlineReason::Reclassified, "03-04 16:00", "03-04 17:00")
        .when(at("03-04 10:01", area(Area::Suburban)))
        .then_rejected(Rejection::NothingToChange)
        .when(at("03-04 10:02", area(Area::Urban)))
        .then_moved(Dispatch, DeadlineReason::Reclassified, "03-04 17:00", "03-04 16:00");
}

#[test]
fn r36_a_move_records_limit_and_basis() {
    let story = waiting().and([at("03-04 10:00", area(Area::Suburban))]);
    let moved = TicketEvent::DeadlineMoved {
        clock: Dispatch,
        cycle: 1,
        limit: limit("7h", Working),
        from: Some(instant("03-04 16:00")),
        to: Some(instant("03-04 17:00")),
        reason: DeadlineReason::Reclassified,
        basis: story.office.basis("B0"),
    };
    assert_eq!(story.history.last(), Some(&moved));
}

#[test]
fn r4_raised_to_emergency_alerts_the_supervisors_once() {
    let raised = |story: &Story| {
        let emergency =
            TicketEvent::EmergencyRaised { supervisors: vec![staff("S1")], departments: Vec::new() };
        story.history.iter().filter(|event| **event == emergency).count()
    };
    let story = waiting().and([at("03-04 10:00", urgency(Urgency::Emergency))]);
    assert_eq!(raised(&story), 1);
    let story = story.and([at("03-04 10:01", area(Area::Suburban))]);
    assert_eq!(raised(&story), 1);
}

#[test]
fn r31_a_visit_no_longer_needed_cancels_the_clock() {
    waiting().when(at("03-04 10:00", no_visit())).then_clocks([cancelled(Dispatch, "03-04 10:00")]);
}

#[test]
fn r31_a_repair_taken_for_a_complaint_for_a_while_counts_from_the_call() {
    waiting()
        .and([at("03-04 10:00", no_visit())])
        .when(at("03-04 11:00", kind(TicketKind::Repair)))
        .then_obeyed()
        .due(Dispatch, "03-04 16:00")
        .when(at("03-04 16:00:00.000001", issue(Dispatch, 1)))
        .then(breach(Dispatch, "03-04 16:00", dispatchers()));
}

#[test]
fn r31_taken_for_a_complaint_until_after_the_limit_it_is_urged_at_once() {
    waiting()
        .and([at("03-04 10:00", no_visit()), at("03-05 11:00", kind(TicketKind::Repair))])
        .due(Dispatch, "03-04 16:00")
        .when(at("03-05 11:00", issue(Dispatch, 1)))
        .then(late_breach(Dispatch, "03-04 16:00", dispatchers()));
}

#[test]
fn r61_a_limit_broken_before_the_correction_is_urged_and_not_started_again() {
    waiting()
        .when(at("03-04 16:00:20", no_visit()))
        .after_notices(breach(Dispatch, "03-04 16:00", dispatchers()))
        .then_clocks([ended(Dispatch, "03-04 16:00:20")])
        .when(at("03-04 16:30", kind(TicketKind::Repair)))
        .then_clocks([]);
}

#[test]
fn r11_r31_a_complaint_that_turns_out_to_be_a_repair_gets_work_order_and_clock() {
    let story = given([at("03-04 09:00", complaint()), at("03-04 10:00", kind(TicketKind::Repair))]);
    // It was a repair from the call on: six hours from 09:00, not from the correction.
    let story = story.due(Dispatch, "03-04 16:00");
    let orders = |story: &Story| {
        story.history.iter().filter(|event| matches!(event, TicketEvent::WorkOrderIssued { .. })).count()
    };
    assert_eq!(orders(&story), 1);
    let again = story.and([at("03-04 10:30", no_visit()), at("03-04 10:40", kind(TicketKind::Repair))]);
    assert_eq!(orders(&again), 1);
}

#[test]
fn r10_a_complaint_that_turns_out_to_be_a_repair_is_paid_until_corrected() {
    let (from, to, reason) = (ServiceBasis::Paid, ServiceBasis::Warranty, line("保修期内"));
    given([at("03-04 09:00", complaint()), at("03-04 10:00", kind(TicketKind::Repair))])
        .when(at("03-04 10:10", CorrectServiceBasis { service_basis: to, reason: reason.clone() }))
        .then([TicketEvent::ServiceBasisCorrected { from, to, reason: reason.clone() }])
        .and([at("03-04 10:20", no_visit())])
        .when(at("03-04 10:30", CorrectServiceBasis { service_basis: from, reason }))
        .then_rejected(Rejection::NotARepair);
}

#[test]
fn r32_a_repair_that_turns_out_to_be_a_complaint_gets_policy_s_limit() {
    let mut office = Office::new();
    office.limits(&[rule(Resolution, "8h", Working)]);
    given_in(office.clone(), [at("03-04 09:00", repair()), at("03-04 09:10", respond())])
        .and([at("03-04 10:00", no_visit())])
        .due(Resolution, "03-05 10:00");
    let unanswered = given_in(office, [at("03-04 09:00", repair()), at("03-04 10:00", no_visit())]);
    assert!(unanswered.ticket.clock(Resolution).is_none());
}

#[test]
fn r36_another_kind_moves_the_response_limit_and_its_visit_at_once() {
    let mut office = Office::new();
    let mut complaints = rule(Response, "4h", Wall);
    complaints.kind = Some(TicketKind::Complaint);
    office.limits(&[complaints]);
    given_in(office, [at("03-04 09:00", repair())])
        .when(at("03-04 10:00", no_visit()))
        .then_moved(Response, DeadlineReason::Reclassified, "03-05 09:00", "03-04 13:00")
        .stands(Dispatch, ClockState::Cancelled)
        .when(at("03-04 11:00", kind(TicketKind::Repair)))
        .then_moved(Response, DeadlineReason::Reclassified, "03-04 13:00", "03-05 09:00")
        .due(Dispatch, "03-04 16:00");
}

/// Only an urgent ticket has a limit for the visit; which clocks start again is policy's.
fn only_the_urgent_are_visited_in_time(restart_on_reopen: &[ClockKind]) -> Office {
    let mut urgent = rule(Dispatch, "2h", Working);
    urgent.urgency = Some(Urgency::Urgent);
    let restart_on_reopen = restart_on_reopen.to_vec();
    let mut office = Office::new();
    office.company(SetPolicy {
        policy: Policy { limits: vec![urgent], restart_on_reopen, ..Policy::default() },
    });
    office
}

#[test]
fn r35_a_limit_that_only_the_new_urgency_has_begins_with_the_correction() {
    let story = given_in(only_the_urgent_are_visited_in_time(&[]), [at("03-04 09:00", repair())]);
    assert!(story.ticket.clocks.is_empty());
    story.and([at("03-04 10:00", urgency(Urgency::Urgent))]).due(Dispatch, "03-04 12:00");
}

#[test]
fn r39_in_a_reopened_ticket_such_a_limit_begins_where_policy_starts_the_clock_again() {
    let reopened = |restart_on_reopen: &[ClockKind]| {
        let office = only_the_urgent_are_visited_in_time(restart_on_reopen);
        given_in(office, [at("03-04 09:00", repair()), at("03-04 09:10", respond())])
            .and([
                at("03-04 09:15", dispatch("T1")),
                at("03-04 09:20", arrive()),
                at("03-04 09:22", fix(true)),
            ])
            .and([at("03-04 09:30", reopen())])
            .and([at("03-04 10:00", urgency(Urgency::Urgent))])
    };
    assert!(reopened(&[]).ticket.clocks.is_empty());
    reopened(&[Dispatch]).due(Dispatch, "03-04 12:00");
}

#[test]
fn r31_no_clock_waits_for_a_technician_who_is_there() {
    let story = waiting().and([at("03-04 10:00", dispatch("T1")), at("03-04 11:00", arrive())]);
    story
        .and([at("03-04 11:10", no_visit())])
        .when(at("03-04 11:20", kind(TicketKind::Repair)))
        .then_clocks([])
        .stands(Dispatch, ClockState::Met { at: instant("03-04 11:00"), late_recorded: false });
    // Nor for one who set out before the visit was called off, and came all the same.
    waiting()
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 10:30", no_visit()), at("03-04 11:00", arrive())])
        .when(at("03-04 11:20", kind(TicketKind::Repair)))
        .then_clocks([])
        .stands(Dispatch, ClockState::Cancelled);
}

#[test]
fn r36_deadlines_move_once_and_a_second_run_changes_nothing() {
    waiting()
        .meanwhile(|office| office.limits(&[rule(Dispatch, "3h", Working)]))
        .when(at("03-04 10:00", move_deadlines(DeadlineReason::Policy)))
        .then_moved(Dispatch, DeadlineReason::Policy, "03-04 16:00", "03-04 12:00")
        .when(at("03-04 10:00", move_deadlines(DeadlineReason::Policy)))
        .then_nothing();
}

#[test]
fn r36_only_running_and_paused_clocks_move() {
    let story = waiting()
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 11:00", arrive())])
        .meanwhile(|office| office.limits(&[rule(Dispatch, "1h", Working), rule(Response, "1h", Wall)]))
        .when(at("03-04 12:00", move_deadlines(DeadlineReason::Policy)))
        .then_nothing();
    story
        .and([at("03-04 12:00", fix(true))])
        .when(at("03-04 12:10", move_deadlines(DeadlineReason::Policy)))
        .then_rejected(Rejection::TicketEnded)
        .when(at("03-04 12:10", area(Area::Suburban)))
        .then_rejected(Rejection::TicketEnded);
}

#[test]
fn r36_a_due_instant_that_has_passed_is_not_moved_away_from_its_notice() {
    waiting()
        .meanwhile(|office| office.limits(&[rule(Dispatch, "30h", Working)]))
        .when(at("03-04 16:00:00.000001", move_deadlines(DeadlineReason::Policy)))
        .then_nothing()
        .when(at("03-04 16:00:00.000002", issue(Dispatch, 1)))
        .then(breach(Dispatch, "03-04 16:00", dispatchers()));
    // At the due instant itself the limit is not broken yet (R38), so it moves.
    waiting()
        .meanwhile(|office| office.limits(&[rule(Dispatch, "8h", Working)]))
        .when(at("03-04 16:00", move_deadlines(DeadlineReason::Policy)))
        .then_moved(Dispatch, DeadlineReason::Policy, "03-04 16:00", "03-05 09:00");
}

#[test]
fn r36_a_due_instant_may_move_into_the_past_and_is_urged_then() {
    waiting()
        .meanwhile(|office| office.limits(&[rule(Dispatch, "1h", Working)]))
        .and([at("03-04 11:00", move_deadlines(DeadlineReason::Policy))])
        .due(Dispatch, "03-04 10:00")
        .when(at("03-04 11:00", issue(Dispatch, 1)))
        .then(late_breach(Dispatch, "03-04 10:00", dispatchers()));
}

#[test]
fn r36_a_district_moved_to_the_other_area_takes_its_tickets_along() {
    waiting()
        .meanwhile(|office| office.branch("B0", list(&[("城东", Area::Suburban), ("远郊", Area::Suburban)])))
        .when(at("03-04 10:00", move_deadlines(DeadlineReason::Area)))
        .then_moved(Dispatch, DeadlineReason::Area, "03-04 16:00", "03-04 17:00")
        .when(at("03-04 10:00", move_deadlines(DeadlineReason::Area)))
        .then_nothing();
}

#[test]
fn r36_a_person_s_word_on_the_area_outlasts_the_list_of_districts() {
    waiting()
        .and([at("03-04 10:00", area(Area::Suburban))])
        .when(at("03-04 11:00", move_deadlines(DeadlineReason::Calendar)))
        .then_nothing()
        .due(Dispatch, "03-04 17:00");
}

#[test]
fn r36_a_person_s_word_at_registration_outlasts_the_list_of_districts() {
    let request = |area| RegisterTicket { district: Some(name("远郊")), area, ..call(TicketKind::Repair) };
    let urban_all_the_same = given([at("03-04 09:00", register(request(Some(Area::Urban))))]);
    urban_all_the_same
        .due(Dispatch, "03-04 16:00")
        .when(at("03-04 11:00", move_deadlines(DeadlineReason::Calendar)))
        .then_nothing();
    // An area that only says what the district says follows the district.
    for area in [None, Some(Area::Suburban)] {
        given([at("03-04 09:00", register(request(area)))])
            .meanwhile(|office| office.branch("B0", list(&[("远郊", Area::Urban)])))
            .when(at("03-04 10:00", move_deadlines(DeadlineReason::Area)))
            .then_moved(Dispatch, DeadlineReason::Area, "03-04 17:00", "03-04 16:00");
    }
}

#[test]
fn r31_a_visit_that_a_complaint_turns_out_to_need_counts_from_when_that_was_seen() {
    let needs_visit = ReclassifyTicket { needs_visit: Some(true), ..reclassify() };
    given([at("03-04 09:00", complaint()), at("03-04 10:00", needs_visit)]).due(Dispatch, "03-04 17:00");
}

#[test]
fn r36_a_make_up_day_announced_late_moves_running_clocks() {
    // Friday 16:00: 1.5 hours that day, 4.5 on Monday; a worked Saturday brings it forward.
    let story = given([at("03-06 16:00", repair())]).due(Dispatch, "03-09 14:00");
    story
        .meanwhile(|office| {
            let day = cuiban_domain::working_time::SpecialDay::make_up("2026-03-07".parse().unwrap(), "加班");
            let hours = cuiban_domain::organisation::BranchHours { days: vec![day], ..Default::default() };
            office.branch("B0", cuiban_domain::organisation::SetBranchHours { hours });
        })
        .when(at("03-06 17:00", move_deadlines(DeadlineReason::Calendar)))
        .then_moved(Dispatch, DeadlineReason::Calendar, "03-09 14:00", "03-07 14:00");
}

#[test]
fn r39_a_correction_cannot_reach_back_before_the_cycle() {
    let fixed = [
        at("03-04 10:00", dispatch("T1")),
        at("03-04 11:00", arrive()),
        at("03-04 11:30", fix(true)),
        at("03-05 09:00", reopen()),
    ];
    waiting().and(fixed).when(late("03-05 08:59", "03-05 10:00", area(Area::Suburban))).then_rejected(
        Rejection::OccurredTooEarly {
            occurred_at: instant("03-05 08:59"),
            not_before: instant("03-05 09:00"),
        },
    );
}

#[test]
fn r36_urgency_of_a_complaint_without_visit_starts_no_visit_clock() {
    let request = RegisterTicket { urgency: Urgency::Normal, ..call(TicketKind::Complaint) };
    given([at("03-04 09:00", register(request))])
        .when(at("03-04 10:00", urgency(Urgency::Urgent)))
        .then_clocks([]);
}
