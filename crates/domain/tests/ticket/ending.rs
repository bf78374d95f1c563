//! Closing, cancelling, merging, reopening: R5, R13, R39, R61.

use cuiban_domain::Rejection;
use cuiban_domain::organisation::SetPolicy;
use cuiban_domain::sla::{ClockKind, ClockState, Policy};
use cuiban_domain::ticket::{
    IssueExpediteNotice, Lifecycle, ReclassifyTicket, TicketEvent, TicketKind, Urgency,
};

use crate::office::{Office, rule};
use crate::story::{Story, at, given, given_in, late};
use crate::words::*;

/// Due at 16:00.
fn waiting() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

fn visited() -> [crate::story::Step; 2] {
    [at("03-04 10:00", dispatch("T1")), at("03-04 11:00", arrive())]
}

fn closed() -> Story {
    waiting().and(visited()).and([at("03-04 11:30", fix(true))])
}

fn restarting(clocks: &[ClockKind]) -> Office {
    let mut office = Office::new();
    let policy = Policy { restart_on_reopen: clocks.to_vec(), ..Policy::default() };
    let policy = policy.overlaid(&[rule(Resolution, "8h", Working)]);
    office.company(SetPolicy { policy });
    office
}

fn open_clocks(story: &Story) -> usize {
    story.ticket.clocks.iter().filter(|clock| clock.is_open()).count()
}

#[test]
fn closing_a_complaint_leaves_no_clock_behind() {
    let mut visit = call(TicketKind::Complaint);
    visit.needs_visit = true;
    let story =
        given([at("03-04 09:00", register(visit)), at("03-04 09:10", respond_within(limit("8h", Working)))]);
    let story = story.when(at("03-04 10:00", close())).then([
        TicketEvent::TicketClosed { note: None },
        met(Resolution, "03-04 10:00", false),
        cancelled(Dispatch, "03-04 10:00"),
    ]);
    assert_eq!(open_clocks(&story), 0);
}

#[test]
fn r2_nothing_closes_before_it_was_answered() {
    given([at("03-04 09:00", complaint()), at("03-04 12:00", respond())])
        .when(late("03-04 11:00", "03-04 13:00", close()))
        .then_rejected(Rejection::OccurredTooEarly {
            occurred_at: instant("03-04 11:00"),
            not_before: instant("03-04 12:00"),
        });
}

#[test]
fn cancelling_in_time_cancels_the_clocks_running_and_paused() {
    given([at("03-04 09:00", repair())])
        .when(at("03-04 10:00", cancel()))
        .then_clocks([cancelled(Response, "03-04 10:00"), cancelled(Dispatch, "03-04 10:00")]);
    let story = waiting().and([at("03-04 10:00", pause())]);
    let story = story.when(at("03-20 10:00", cancel())).then_clocks([cancelled(Dispatch, "03-20 10:00")]);
    assert_eq!((story.ticket.lifecycle, story.ticket.paused_since), (Lifecycle::Cancelled, None));
}

#[test]
fn r61_cancelling_an_overdue_ticket_urges_before_it() {
    waiting()
        .when(at("03-04 16:00:30", cancel()))
        .after_notices(breach(Dispatch, "03-04 16:00", dispatchers()))
        .then_clocks([ended(Dispatch, "03-04 16:00:30")])
        .when(at("03-04 16:01", issue(Dispatch, 1)))
        .then_nothing();
}

#[test]
fn an_ended_ticket_takes_nothing_more() {
    let mut story = closed();
    for step in [
        at("03-04 12:00", respond()),
        at("03-04 12:00", dispatch("T1")),
        at("03-04 12:00", arrive()),
        at("03-04 12:00", fix(true)),
        at("03-04 12:00", pause()),
        at("03-04 12:00", resume()),
        at("03-04 12:00", transfer("B1")),
        at("03-04 12:00", merge(other_ticket_id())),
        at("03-04 12:00", cancel()),
        at("03-04 12:00", close()),
    ] {
        story = story.when(step).then_rejected(Rejection::TicketEnded);
    }
    given([]).when(at("03-04 12:00", close())).then_rejected(Rejection::TicketNotFound);
}

#[test]
fn r5_merging_cancels_the_clocks_and_keeps_the_history() {
    let story = given([at("03-04 09:00", repair())]).beside(waiting());
    let merged = TicketEvent::TicketMerged { into: other_ticket_id(), reason: line("重复来电") };
    let story = story.when(at("03-04 10:00", merge(other_ticket_id()))).then([
        merged,
        cancelled(Response, "03-04 10:00"),
        cancelled(Dispatch, "03-04 10:00"),
    ]);
    assert_eq!(story.ticket.clocks.len(), 2);
    story.when(at("03-04 11:00", reopen())).then_rejected(Rejection::TicketEnded);
}

#[test]
fn r5_merging_needs_another_ticket_that_is_open() {
    let into = other_ticket_id();
    waiting().when(at("03-04 10:00", merge(ticket_id()))).then_rejected(Rejection::MergedIntoItself);
    waiting().when(at("03-04 10:00", merge(into))).then_rejected(Rejection::MergeTargetNotOpen { into });
    for other in [closed(), waiting().and([at("03-04 09:30", cancel())]), given([])] {
        let story = waiting().beside(other);
        story.when(at("03-04 12:00", merge(into))).then_rejected(Rejection::MergeTargetNotOpen { into });
    }
}

#[test]
fn r2_a_ticket_is_not_merged_before_what_was_done_on_it() {
    waiting()
        .beside(waiting())
        .and([at("03-04 10:00", dispatch("T1"))])
        .when(late("03-04 09:30", "03-04 10:30", merge(other_ticket_id())))
        .then_rejected(Rejection::OccurredTooEarly {
            occurred_at: instant("03-04 09:30"),
            not_before: instant("03-04 10:00"),
        });
}

#[test]
fn r61_merging_an_overdue_ticket_urges_before_it() {
    waiting()
        .beside(waiting())
        .when(at("03-04 16:00:30", merge(other_ticket_id())))
        .after_notices(breach(Dispatch, "03-04 16:00", dispatchers()))
        .then_clocks([ended(Dispatch, "03-04 16:00:30")]);
}

#[test]
fn r39_reopening_starts_a_new_cycle_of_the_clocks_that_policy_names() {
    let story = closed().when(at("03-05 09:00", reopen())).then_obeyed().due(Dispatch, "03-05 16:00");
    assert_eq!(story.clock(Dispatch).cycle, 2);
    // Answered once is answered, unless policy asks for another answer.
    assert_eq!(story.clock(Response).cycle, 1);
    story.when(at("03-05 09:01", reopen())).then_rejected(Rejection::TicketStillOpen);
}

#[test]
fn r39_policy_may_ask_for_another_answer_and_the_limit_comes_with_it() {
    let office = restarting(&[Resolution, Response, Resolution, Dispatch, Response]);
    let story = given_in(office, [at("03-04 09:00", complaint()), at("03-04 09:30", respond())])
        .and([at("03-04 10:00", close()), at("03-05 09:00", reopen())])
        .due(Response, "03-06 09:00");
    assert_eq!((story.clock(Resolution).cycle, open_clocks(&story)), (1, 1));
    let started = |event: &&TicketEvent| matches!(event, TicketEvent::ClockStarted { cycle: 2, .. });
    assert_eq!(story.history.iter().filter(started).count(), 1);
    story
        .when(late("03-05 08:30", "03-05 10:00", respond()))
        .then_rejected(Rejection::OccurredTooEarly {
            occurred_at: instant("03-05 08:30"),
            not_before: instant("03-05 09:00"),
        })
        .and([at("03-05 10:00", respond())])
        .due(Resolution, "03-06 10:00")
        .when(at("03-05 11:00", close()))
        .then_obeyed();
}

#[test]
fn r39_policy_may_restart_the_resolution_alone() {
    let story =
        given_in(restarting(&[Resolution]), [at("03-04 09:00", complaint()), at("03-04 09:30", respond())])
            .and([at("03-04 10:00", close()), at("03-05 09:00", reopen())])
            .due(Resolution, "03-06 09:00");
    assert_eq!(story.clock(Resolution).cycle, 2);
}

#[test]
fn r39_policy_may_restart_nothing_and_no_correction_starts_it_after_all() {
    let story = given_in(restarting(&[]), [at("03-04 09:00", repair()), at("03-04 09:10", respond())])
        .and(visited())
        .and([at("03-04 11:30", fix(true)), at("03-05 09:00", reopen())]);
    let urgent = ReclassifyTicket { urgency: Some(Urgency::Urgent), ..reclassify() };
    let story = story.when(at("03-05 09:30", urgent)).then_clocks([]);
    assert_eq!(open_clocks(&story), 0);
}

#[test]
fn r39_reopened_before_it_was_closed_is_refused() {
    given([at("03-04 09:00", complaint()), at("03-04 09:30", respond()), at("03-04 10:00", close())])
        .when(late("03-04 09:45", "03-04 11:00", reopen()))
        .then_rejected(Rejection::OccurredTooEarly {
            occurred_at: instant("03-04 09:45"),
            not_before: instant("03-04 10:00"),
        });
}

#[test]
fn r39_not_fixed_after_all_begins_anew_while_the_first_answer_is_still_owed() {
    let office = restarting(&[Dispatch, Response]);
    let story = given_in(office, [at("03-04 09:00", repair())]).and(visited());
    let story = story.and([at("03-04 11:30", fix(false)), at("03-04 14:00", reopen())]);
    // Both answers are owed, and one answer gives both.
    assert_eq!(open_clocks(&story), 3);
    let story = story.and([at("03-04 15:00", respond())]);
    let answered = ClockState::Met { at: instant("03-04 15:00"), late_recorded: false };
    let states: Vec<_> = story.ticket.clocks.iter().filter(|clock| clock.kind == Response).collect();
    assert_eq!(states.iter().map(|clock| clock.state).collect::<Vec<_>>(), [answered, answered]);
}

#[test]
fn r39_r61_two_breaches_of_two_cycles_on_one_day_are_two_notices() {
    let mut office = Office::new();
    office.limits(&[rule(Dispatch, "1h", Working)]);
    let second = IssueExpediteNotice { notice: notice(Dispatch, 2, 0) };
    let story = given_in(office, [at("03-04 09:00", repair()), at("03-04 09:10", respond())])
        .and([at("03-04 10:00:01", issue(Dispatch, 1))])
        .and([at("03-04 10:10", dispatch("T1")), at("03-04 10:20", arrive()), at("03-04 10:30", fix(true))])
        .and([at("03-04 14:00", reopen())])
        .due(Dispatch, "03-04 15:00")
        .and([at("03-04 15:00:01", second)]);
    let issued: Vec<_> = story
        .history
        .iter()
        .filter_map(|event| match event {
            TicketEvent::ExpediteNoticeIssued { notice, .. } => Some(*notice),
            _ => None,
        })
        .collect();
    assert_eq!(issued, [notice(Dispatch, 1, 0), notice(Dispatch, 2, 0)]);
    assert_ne!(issued[0].id(ticket_id()), issued[1].id(ticket_id()));
    assert_ne!(issued[0].command_id(ticket_id()), issued[1].command_id(ticket_id()));
}

#[test]
fn r39_a_ticket_is_reopened_any_number_of_times() {
    let mut story = closed();
    for (day, cycle) in [("03-05", 2), ("03-06", 3), ("03-09", 4)] {
        let time = |clock: &str| format!("{day} {clock}");
        story = story
            .and([at(&time("09:00"), reopen()), at(&time("09:10"), dispatch("T2"))])
            .and([at(&time("10:00"), arrive()), at(&time("10:30"), fix(true))]);
        assert_eq!((story.ticket.cycle, story.clock(Dispatch).cycle), (cycle, cycle));
    }
    assert_eq!(open_clocks(&story), 0);
}

#[test]
fn closing_by_the_hand_of_a_late_entry_ends_a_pause_entered_before() {
    let story = waiting().and(visited()).and([at("03-04 14:00", pause())]);
    let story = story.and([late("03-04 13:00", "03-04 15:00", fix(true))]);
    assert_eq!((story.ticket.lifecycle, story.ticket.paused_since), (Lifecycle::Closed, None));
}
