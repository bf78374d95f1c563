//! Pausing and resuming: R37.

use std::time::Duration;

use cuiban_domain::Rejection;
use cuiban_domain::sla::ClockState;
use cuiban_domain::ticket::{DeadlineReason, ReclassifyTicket, TicketEvent, TicketKind};

use crate::office::rule;
use crate::story::{Story, at, given, given_in, late};
use crate::words::*;

/// Due at 16:00.
fn waiting() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

fn paused() -> Story {
    waiting().and([at("03-04 11:00", pause())])
}

#[test]
fn r37_a_pause_stops_consumption_and_resuming_computes_from_what_is_left() {
    let consumed = Duration::from_secs(2 * 3600);
    let pausing =
        TicketEvent::ClockPaused { clock: Dispatch, cycle: 1, paused_at: instant("03-04 11:00"), consumed };
    let story = waiting().when(at("03-04 11:00", pause())).then_clocks([pausing]);
    let resuming = TicketEvent::ClockResumed {
        clock: Dispatch,
        cycle: 1,
        resumed_at: instant("03-05 09:00"),
        due_at: instant("03-05 14:00"),
        basis: story.office.basis("B0"),
    };
    story.when(at("03-05 09:00", resume())).then([TicketEvent::TicketResumed, resuming]);
}

#[test]
fn r37_a_paused_clock_cannot_breach_and_the_wall_clock_runs_on() {
    let not_overdue = |clock| Rejection::NotOverdue { clock, due_at: None };
    given([at("03-04 09:00", repair()), at("03-04 11:00", pause())])
        .when(at("03-20 09:00", issue(Dispatch, 1)))
        .then_rejected(not_overdue(Dispatch))
        .when(at("03-20 09:00", issue(Response, 1)))
        .then(late_breach(Response, "03-05 09:00", customer_department()));
}

#[test]
fn r37_a_pause_at_the_due_instant_leaves_nothing_and_one_after_it_comes_too_late() {
    waiting()
        .and([at("03-04 16:00", pause()), at("03-06 10:00", resume())])
        .due(Dispatch, "03-06 10:00")
        .when(at("03-06 10:00:00.000001", issue(Dispatch, 1)))
        .then_obeyed();
    waiting()
        .when(at("03-04 16:00:00.000001", pause()))
        .after_notices(breach(Dispatch, "03-04 16:00", dispatchers()))
        .then_clocks([])
        .when(at("03-05 09:00", resume()))
        .then([TicketEvent::TicketResumed]);
}

#[test]
fn r37_a_late_entered_pause_counts_from_when_it_began() {
    let story = waiting().and([late("03-04 10:00", "03-04 15:30", pause())]);
    assert_eq!(story.clock(Dispatch).left(), Duration::from_secs(5 * 3600));
    // Entered after the due instant, but before any notice: nobody is urged.
    let story = waiting().and([late("03-04 10:00", "03-04 17:00", pause())]);
    story.stands(Dispatch, ClockState::Paused { since: instant("03-04 10:00") });
}

#[test]
fn r37_a_late_entered_end_of_a_pause_may_reveal_that_the_limit_is_broken() {
    paused()
        .and([late("03-05 09:00", "03-05 15:00", resume())])
        .due(Dispatch, "03-05 14:00")
        .when(at("03-05 15:00", issue(Dispatch, 1)))
        .then(late_breach(Dispatch, "03-05 14:00", dispatchers()));
}

#[test]
fn r37_pauses_come_one_after_another() {
    let since = instant("03-04 11:00");
    paused()
        .when(at("03-04 11:01", pause()))
        .then_rejected(Rejection::TicketPaused { since })
        .when(late("03-04 10:59", "03-04 11:30", resume()))
        .then_rejected(Rejection::OccurredTooEarly { occurred_at: instant("03-04 10:59"), not_before: since })
        .and([at("03-04 11:30", resume())])
        .when(at("03-04 11:31", resume()))
        .then_rejected(Rejection::TicketNotPaused)
        .when(late("03-04 11:15", "03-04 11:32", pause()))
        .then_rejected(Rejection::OccurredTooEarly {
            occurred_at: instant("03-04 11:15"),
            not_before: instant("03-04 11:30"),
        });
}

#[test]
fn r37_no_work_is_done_in_a_pause() {
    let since = instant("03-04 11:00");
    let story =
        paused().when(at("03-04 12:00", dispatch("T1"))).then_rejected(Rejection::TicketPaused { since });
    story.when(at("03-04 12:00", close())).then_rejected(Rejection::TicketPaused { since });
    waiting()
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 11:00", pause())])
        .when(at("03-04 12:00", arrive()))
        .then_rejected(Rejection::TicketPaused { since });
    waiting()
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 10:30", arrive()), at("03-04 10:50", fix(false))])
        .when(at("03-04 11:00", pause()))
        .then_rejected(Rejection::AlreadyFixed);
}

#[test]
fn r37_a_clock_that_begins_in_a_pause_stands_still_at_once() {
    let visit = ReclassifyTicket { needs_visit: Some(true), ..reclassify() };
    given([at("03-04 09:00", complaint()), at("03-04 10:00", pause()), at("03-04 11:00", visit)])
        .stands(Dispatch, ClockState::Paused { since: instant("03-04 11:00") })
        .and([at("03-05 09:00", resume())])
        .due(Dispatch, "03-05 16:00");
}

#[test]
fn r31_r37_a_clock_that_counts_from_the_call_has_the_pause_that_the_ticket_is_in() {
    let repair = ReclassifyTicket { kind: Some(TicketKind::Repair), ..reclassify() };
    given([at("03-04 09:00", complaint()), at("03-04 10:00", pause()), at("03-04 11:00", repair)])
        .stands(Dispatch, ClockState::Paused { since: instant("03-04 10:00") })
        .and([at("03-05 09:00", resume())])
        .due(Dispatch, "03-05 15:00");
}

#[test]
fn r37_a_pause_from_before_the_clock_began_counts_only_from_then_on() {
    // The visit turns out to be needed at 10:00; then 09:30–09:45 is entered as a pause, and takes nothing away.
    let visit = ReclassifyTicket { needs_visit: Some(true), ..reclassify() };
    given([at("03-04 09:00", complaint()), at("03-04 10:00", visit)])
        .and([late("03-04 09:30", "03-04 10:10", pause()), late("03-04 09:45", "03-04 10:20", resume())])
        .due(Dispatch, "03-04 17:00");
}

#[test]
fn r37_a_clock_that_begins_in_the_past_has_the_pauses_since_then() {
    // Answered at 09:30 with four working hours; paused 10:00–11:00; the answer is entered at 11:30.
    given([at("03-04 09:00", complaint()), at("03-04 10:00", pause()), at("03-04 11:00", resume())])
        .and([late("03-04 09:30", "03-04 11:30", respond_within(limit("4h", Working)))])
        .due(Resolution, "03-04 15:30");
}

#[test]
fn r36_a_limit_changed_during_the_pause_is_recorded_and_holds_after_it() {
    let story = paused().meanwhile(|office| office.limits(&[rule(Dispatch, "4h", Working)]));
    let moved = TicketEvent::DeadlineMoved {
        clock: Dispatch,
        cycle: 1,
        limit: limit("4h", Working),
        from: None,
        to: None,
        reason: DeadlineReason::Policy,
        basis: story.office.basis("B0"),
    };
    story
        .when(at("03-04 12:00", move_deadlines(DeadlineReason::Policy)))
        .then([moved])
        .when(at("03-04 12:00", move_deadlines(DeadlineReason::Policy)))
        .then_nothing()
        .and([at("03-05 09:00", resume())])
        .due(Dispatch, "03-05 11:00");
}

#[test]
fn r37_a_limit_cut_below_what_was_used_is_due_when_the_work_goes_on() {
    paused()
        .meanwhile(|office| office.limits(&[rule(Dispatch, "1h", Working)]))
        .and([at("03-04 12:00", move_deadlines(DeadlineReason::Policy)), at("03-05 09:00", resume())])
        .due(Dispatch, "03-05 09:00");
}

#[test]
fn r37_a_wall_clock_turned_into_working_time_joins_the_pause() {
    given([at("03-04 09:00", repair()), at("03-04 10:00", pause())])
        .meanwhile(|office| office.limits(&[rule(Response, "5h", Working)]))
        .and([at("03-04 11:00", move_deadlines(DeadlineReason::Policy))])
        .stands(Response, ClockState::Paused { since: instant("03-04 10:00") })
        .and([at("03-05 09:00", resume())])
        .due(Response, "03-05 14:00");
}

#[test]
fn r37_an_answer_given_in_a_pause_meets_a_paused_response_clock() {
    let mut office = crate::office::Office::new();
    office.limits(&[rule(Response, "2h", Working)]);
    given_in(office, [at("03-04 09:00", repair()), at("03-04 10:00", pause())])
        .when(at("03-04 17:00", respond()))
        .then_clocks([met(Response, "03-04 17:00", false)]);
}
