//! Clocks at the very instant: R37, R38, R40, R61.

use std::time::Duration;

use cuiban_domain::sla::ClockState;
use cuiban_domain::ticket::{Area, DeadlineReason, ReclassifyTicket, TicketEvent, TicketKind};

use crate::office::{branch, rule};
use crate::story::{Story, at, given, late};
use crate::words::*;

/// Due at 16:00.
fn waiting() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

/// A complaint of 09:00, paused since then, that turns out to be a repair: its clock counts from the call.
fn repair_after_all(paused_at: &str) -> Story {
    let repair = ReclassifyTicket { kind: Some(TicketKind::Repair), ..reclassify() };
    given([
        at("03-04 09:00", complaint()),
        at("03-04 09:10", respond()),
        at(paused_at, pause()),
        at("03-04 17:00", repair),
    ])
}

#[test]
fn r37_r38_a_pause_at_the_due_instant_of_a_clock_begun_later_stops_it_with_nothing_left() {
    let story = repair_after_all("03-04 16:00");
    assert_eq!(story.clock(Dispatch).consumed, Duration::from_secs(6 * 3600));
    story
        .stands(Dispatch, ClockState::Paused { since: instant("03-04 16:00") })
        .and([at("03-05 10:00", resume())])
        .due(Dispatch, "03-05 10:00");
    // A moment later the limit is broken, and no pause mends it.
    repair_after_all("03-04 16:00:00.000001").due(Dispatch, "03-04 16:00");
}

#[test]
fn r37_a_pause_after_the_breach_neither_stops_the_clock_nor_takes_the_notice_back() {
    let breached = waiting().and([at("03-04 16:01", issue(Dispatch, 1))]);
    let story = breached.when(at("03-04 16:30", pause())).then_clocks([]);
    story.stands(Dispatch, ClockState::Breached { due_at: instant("03-04 16:00"), ended_at: None });
}

#[test]
fn r38_cancelling_at_the_due_instant_breaks_nothing() {
    waiting().when(at("03-04 16:00", cancel())).then_clocks([cancelled(Dispatch, "03-04 16:00")]);
}

#[test]
fn r61_cancelling_after_the_notice_ends_the_breach_and_keeps_the_notice() {
    waiting()
        .and([at("03-04 16:01", issue(Dispatch, 1))])
        .when(at("03-04 16:30", cancel()))
        .then_clocks([ended(Dispatch, "03-04 16:30")]);
}

#[test]
fn r37_a_wall_clock_that_stays_one_runs_on_through_the_pause() {
    let moved = TicketEvent::DeadlineMoved {
        clock: Response,
        cycle: 1,
        limit: limit("5h", Wall),
        from: Some(instant("03-05 09:00")),
        to: Some(instant("03-04 14:00")),
        reason: DeadlineReason::Policy,
        basis: given([]).meanwhile(|office| office.limits(&[rule(Response, "5h", Wall)])).office.basis("B0"),
    };
    given([at("03-04 09:00", repair()), at("03-04 10:00", pause())])
        .meanwhile(|office| office.limits(&[rule(Response, "5h", Wall)]))
        .when(at("03-04 11:00", move_deadlines(DeadlineReason::Policy)))
        .then([moved])
        .due(Response, "03-04 14:00");
}

#[test]
fn r37_a_clock_turned_into_working_time_has_used_up_working_time_until_the_pause() {
    // From 09:00 to 14:00 are five hours by the wall, and four of work.
    let story = given([at("03-04 09:00", repair()), at("03-04 14:00", pause())])
        .meanwhile(|office| office.limits(&[rule(Response, "10h", Working)]))
        .and([at("03-04 15:00", move_deadlines(DeadlineReason::Policy))])
        .stands(Response, ClockState::Paused { since: instant("03-04 14:00") });
    assert_eq!(story.clock(Response).consumed, Duration::from_secs(4 * 3600));
}

#[test]
fn r37_a_clock_turned_into_working_time_whose_limit_was_used_up_before_the_pause_does_not_join_it() {
    given([at("03-04 09:00", repair()), at("03-04 14:00", pause())])
        .meanwhile(|office| office.limits(&[rule(Response, "2h", Working)]))
        .and([at("03-04 15:00", move_deadlines(DeadlineReason::Policy))])
        .due(Response, "03-04 11:00");
}

#[test]
fn r2_two_things_may_happen_at_one_instant() {
    waiting().and([at("03-04 11:00", pause()), at("03-04 11:00", resume())]).due(Dispatch, "03-04 16:00");
}

#[test]
fn r2_the_first_answer_may_be_given_at_the_instant_of_the_call() {
    given([at("03-04 09:00", repair())]).when(at("03-04 09:00", respond())).then_clocks([met(
        Response,
        "03-04 09:00",
        false,
    )]);
}

#[test]
fn r37_work_goes_on_at_the_instant_at_which_the_pause_ends() {
    waiting().and([
        at("03-04 11:00", pause()),
        at("03-04 11:30", resume()),
        late("03-04 11:30", "03-04 11:40", dispatch("T1")),
        late("03-04 11:30", "03-04 11:50", arrive()),
    ]);
}

#[test]
fn r31_a_branch_without_a_list_of_districts_takes_any_district_beside_an_area() {
    let mut elsewhere = call(TicketKind::Repair);
    elsewhere.branch = branch("B1");
    elsewhere.area = Some(Area::Suburban);
    elsewhere.district = Some(name("Köpenick"));
    given([at("03-04 17:00", register(elsewhere))]);
}
