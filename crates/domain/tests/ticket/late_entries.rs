//! What is entered later than it happened: R2, R40, R61.

use cuiban_domain::Rejection;
use cuiban_domain::sla::{ClockState, Notice};
use cuiban_domain::ticket::TicketEvent;

use crate::story::{Story, at, given, late};
use crate::words::*;

/// Due at 16:00, with T1 on the way since 10:00.
fn under_way() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond()), at("03-04 10:00", dispatch("T1"))])
}

fn urged() -> Story {
    under_way().when(at("03-04 16:00:00.000001", issue(Dispatch, 1))).then(breach(
        Dispatch,
        "03-04 16:00",
        person("T1"),
    ))
}

#[test]
fn r2_both_times_of_a_late_entry_are_kept() {
    under_way().when(late("03-04 14:10", "03-04 15:30", arrive())).then_clocks([met(
        Dispatch,
        "03-04 14:10",
        false,
    )]);
}

#[test]
fn r40_in_time_but_entered_after_the_due_instant_and_before_any_notice_is_met_without_one() {
    under_way()
        .when(late("03-04 16:00", "03-04 17:00", arrive()))
        .then_clocks([met(Dispatch, "03-04 16:00", true)])
        .when(at("03-04 17:01", issue(Dispatch, 1)))
        .then_rejected(Rejection::NotOverdue { clock: Dispatch, due_at: None });
}

#[test]
fn r40_in_time_but_entered_after_the_notice_supersedes_it() {
    let story = urged()
        .when(late("03-04 15:59", "03-04 17:00", arrive()))
        .then_clocks([met(Dispatch, "03-04 15:59", true), superseded(Dispatch, 0)]);
    // The notice stays in the history, and is not issued again.
    assert_eq!(story.clock(Dispatch).notices, [notice(Dispatch, 1, 0)]);
    story.when(at("03-04 17:01", issue(Dispatch, 1))).then_nothing();
}

#[test]
fn r40_too_late_remains_too_late_whenever_it_is_entered() {
    urged()
        .when(late("03-04 16:30", "03-04 17:00", arrive()))
        .then_clocks([ended(Dispatch, "03-04 16:30")])
        .stands(
            Dispatch,
            ClockState::Breached { due_at: instant("03-04 16:00"), ended_at: Some(instant("03-04 16:30")) },
        );
}

#[test]
fn r61_a_late_arrival_that_the_watchdog_has_not_seen_is_urged_before_it_in_a_commit_of_its_own() {
    under_way()
        .when(late("03-04 16:30", "03-04 17:00", arrive()))
        .after_notices(late_breach(Dispatch, "03-04 16:00", person("T1")))
        .then_clocks([ended(Dispatch, "03-04 16:30")])
        .when(at("03-04 17:01", issue(Dispatch, 1)))
        .then_nothing();
}

#[test]
fn r40_what_happened_at_or_before_the_due_instant_brings_no_notice_however_late_it_is_entered() {
    let entered = "03-09 17:00";
    let in_time = "03-04 16:00";
    under_way().when(late(in_time, entered, arrive())).then_clocks([met(Dispatch, in_time, true)]);
    let no_visit = cuiban_domain::ticket::ReclassifyTicket {
        kind: Some(cuiban_domain::ticket::TicketKind::Complaint),
        needs_visit: Some(false),
        ..reclassify()
    };
    for step in [late(in_time, entered, cancel()), late(in_time, entered, no_visit)] {
        under_way().when(step).then_obeyed().stands(Dispatch, ClockState::Cancelled);
    }
    under_way()
        .beside(under_way())
        .when(late(in_time, entered, merge(other_ticket_id())))
        .then_clocks([cancelled(Dispatch, in_time)]);
    let since = instant(in_time);
    under_way()
        .when(late(in_time, entered, pause()))
        .then_obeyed()
        .stands(Dispatch, ClockState::Paused { since });
    given([at("03-04 09:00", complaint())]).when(late("03-05 09:00", entered, respond())).then_clocks([met(
        Response,
        "03-05 09:00",
        true,
    )]);
    let limited =
        || given([at("03-04 09:00", complaint()), at("03-04 09:30", respond_within(limit("2h", Working)))]);
    limited().when(late("03-04 11:30", entered, close())).then_clocks([met(Resolution, "03-04 11:30", true)]);
    // A transfer ends no clock.
    under_way().when(at(entered, transfer("B1"))).then_clocks([]);
}

#[test]
fn r60_what_a_rule_refuses_brings_no_notice() {
    let waiting = given([at("03-04 09:00", repair())]);
    waiting.when(at("03-04 17:00", arrive())).then_rejected(Rejection::TechnicianNotDispatched);
}

#[test]
fn r61_each_of_several_broken_limits_has_its_own_notice_before_the_command() {
    let [dispatch_breached, dispatch_issued] = late_breach(Dispatch, "03-04 16:00", dispatchers());
    let [response_breached, response_issued] = late_breach(Response, "03-05 09:00", customer_department());
    given([at("03-04 09:00", repair())])
        .when(at("03-06 09:00", cancel()))
        .after_notices([response_breached, response_issued, dispatch_breached, dispatch_issued])
        .then_clocks([ended(Response, "03-06 09:00"), ended(Dispatch, "03-06 09:00")]);
}

#[test]
fn r40_a_late_answer_makes_good_too() {
    let [breached, issued] = breach(Response, "03-05 09:00", customer_department());
    given([at("03-04 09:00", complaint())])
        .when(at("03-05 09:00:30", issue(Response, 1)))
        .then([breached, issued])
        .when(late("03-05 08:59", "03-05 10:00", respond()))
        .then_clocks([met(Response, "03-05 08:59", true), superseded(Response, 0)]);
}

#[test]
fn r40_a_pause_that_began_in_time_makes_good_too() {
    let story = urged().when(late("03-04 15:00", "03-04 16:30", pause())).then_obeyed();
    let story = story.stands(Dispatch, ClockState::Paused { since: instant("03-04 15:00") });
    assert_eq!(story.history.last(), Some(&superseded(Dispatch, 0)));
    assert_eq!(story.clock(Dispatch).left().as_secs(), 3600);
}

#[test]
fn r61_a_limit_broken_after_all_gets_a_notice_of_its_own_and_none_twice() {
    let story = urged()
        .and([late("03-04 15:00", "03-04 16:30", pause()), at("03-05 09:00", resume())])
        .due(Dispatch, "03-05 10:00");
    let second = story.clock(Dispatch).next_notice();
    let second_episode = Notice { episode: 1, ..notice(Dispatch, 1, 0) };
    assert_eq!(second, second_episode);
    let issue_second = cuiban_domain::ticket::IssueExpediteNotice { notice: second };
    let story = story
        .when(at("03-05 10:01", issue(Dispatch, 1)))
        .then_nothing()
        .when(at("03-05 10:00", issue_second))
        .then_rejected(Rejection::NotOverdue { clock: Dispatch, due_at: Some(instant("03-05 10:00")) })
        .when(at("03-05 10:00:00.000001", issue_second))
        .then_obeyed()
        .when(at("03-05 10:02", issue_second))
        .then_nothing();
    assert_eq!(story.clock(Dispatch).notices, [notice(Dispatch, 1, 0), second_episode]);
    // An arrival before the second due instant supersedes the second notice; the first one was already.
    story
        .when(late("03-05 09:59", "03-05 11:00", arrive()))
        .then_clocks([met(Dispatch, "03-05 09:59", true), superseded(Dispatch, 1)]);
}

#[test]
fn r61_what_earlier_builds_recorded_as_repetitions_keeps_its_identity_and_none_is_used_twice() {
    // Broken, superseded and broken again, as a build wrote it that knew no episodes.
    let mut story = urged().and([late("03-04 15:00", "03-04 16:30", pause()), at("03-05 09:00", resume())]);
    let recorded_at = instant("03-05 10:00:01");
    let happened = cuiban_domain::Happened { occurred_at: recorded_at, recorded_at };
    let [breached, mut issued] = breach(Dispatch, "03-05 10:00", person("T1"));
    if let TicketEvent::ExpediteNoticeIssued { notice, .. } = &mut issued {
        notice.repetition = 1;
    }
    [breached, issued]
        .iter()
        .for_each(|event| cuiban_domain::Aggregate::evolve(&mut story.ticket, event, happened));
    assert_eq!(story.clock(Dispatch).notices, [notice(Dispatch, 1, 0), notice(Dispatch, 1, 1)]);
    // The late arrival supersedes what stands, and nothing twice.
    let story = story.when(late("03-05 09:30", "03-05 11:00", pause())).then_obeyed();
    let second = TicketEvent::ExpediteNoticeSuperseded { notice: notice(Dispatch, 1, 1) };
    assert_eq!(story.history.last(), Some(&second));
    let third = Notice { episode: 1, ..notice(Dispatch, 1, 0) };
    assert_eq!(story.clock(Dispatch).next_notice(), third);
}

#[test]
fn r61_all_notices_of_an_episode_are_superseded_together() {
    let mut story = urged();
    let clock = story.ticket.clocks.iter_mut().find(|clock| clock.kind == Dispatch).unwrap();
    let repeated = notice(Dispatch, 1, 1);
    clock.notices.push(repeated);
    story.when(late("03-04 15:59", "03-04 17:00", arrive())).then_clocks([
        met(Dispatch, "03-04 15:59", true),
        superseded(Dispatch, 0),
        TicketEvent::ExpediteNoticeSuperseded { notice: repeated },
    ]);
}

#[test]
fn r40_a_cancellation_that_came_in_time_makes_good_too() {
    urged()
        .when(late("03-04 15:00", "03-04 17:00", cancel()))
        .then_clocks([cancelled(Dispatch, "03-04 15:00"), superseded(Dispatch, 0)]);
}

#[test]
fn r2_an_arrival_before_a_pause_is_entered_during_the_pause_and_after_it() {
    let paused = || under_way().and([at("03-04 14:30", pause())]);
    paused().when(late("03-04 14:10", "03-04 15:30", arrive())).then_clocks([met(
        Dispatch,
        "03-04 14:10",
        false,
    )]);
    let resumed = || paused().and([at("03-04 15:00", resume())]);
    resumed().when(late("03-04 14:10", "03-04 15:30", arrive())).then_clocks([met(
        Dispatch,
        "03-04 14:10",
        false,
    )]);
    resumed()
        .when(late("03-04 14:45", "03-04 15:30", arrive()))
        .then_rejected(Rejection::TicketPaused { since: instant("03-04 14:30") });
}

#[test]
fn r36_a_late_correction_does_not_move_a_due_instant_that_has_passed() {
    let suburban = cuiban_domain::ticket::ReclassifyTicket {
        area: Some(cuiban_domain::ticket::Area::Suburban),
        ..reclassify()
    };
    under_way()
        .when(late("03-04 15:00", "03-04 16:10", suburban))
        .then_clocks([])
        .when(at("03-04 16:10", issue(Dispatch, 1)))
        .then(late_breach(Dispatch, "03-04 16:00", person("T1")));
}
