//! 催办 at the due instant: R38, R60, R61, R64.

use cuiban_domain::Rejection;
use cuiban_domain::aggregate::{Aggregate, Class};
use cuiban_domain::organisation::SetPolicy;
use cuiban_domain::sla::{Notice, Policy, Rung};
use cuiban_domain::ticket::{IssueExpediteNotice, Ticket, TicketEvent};

use crate::office::{Office, branch};
use crate::story::{Story, at, given, given_in};
use crate::words::*;

/// Due at 16:00.
fn waiting() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 09:10", respond())])
}

#[test]
fn r38_r60_no_notice_at_the_due_instant_and_one_a_microsecond_later() {
    let due_at = Some(instant("03-04 16:00"));
    let story = waiting()
        .when(at("03-04 16:00", issue(Dispatch, 1)))
        .then_rejected(Rejection::NotOverdue { clock: Dispatch, due_at })
        .when(at("03-04 16:00:00.000001", issue(Dispatch, 1)))
        .then(breach(Dispatch, "03-04 16:00", dispatchers()));
    let commit = &story.history[story.history.len() - 2..];
    assert_eq!(Ticket::class(commit), Class::Expedite);
    assert_eq!(Aggregate::branch(&story.ticket, commit), Some(branch("B0")));
}

#[test]
fn r61_a_notice_is_issued_once_however_often_it_is_asked_for() {
    waiting()
        .and([at("03-04 16:00:01", issue(Dispatch, 1))])
        .when(at("03-04 16:00:02", issue(Dispatch, 1)))
        .then_nothing()
        .and([at("03-04 16:10", dispatch("T1")), at("03-04 17:00", arrive())])
        .when(at("03-04 17:01", issue(Dispatch, 1)))
        .then_nothing();
}

#[test]
fn r61_none_is_issued_when_the_limit_was_met_in_the_log() {
    let not_overdue = Rejection::NotOverdue { clock: Dispatch, due_at: None };
    waiting()
        .and([at("03-04 10:00", dispatch("T1")), at("03-04 16:00", arrive())])
        .when(at("03-04 16:00:01", issue(Dispatch, 1)))
        .then_rejected(not_overdue.clone());
    waiting()
        .and([at("03-04 10:00", cancel())])
        .when(at("03-04 16:00:01", issue(Dispatch, 1)))
        .then_rejected(not_overdue);
}

#[test]
fn r61_a_stale_identity_is_refused() {
    let not_found = Rejection::ClockNotFound { clock: Dispatch, cycle: 2 };
    waiting().when(at("03-04 17:00", issue(Dispatch, 2))).then_rejected(not_found);
    let not_found = Rejection::ClockNotFound { clock: Resolution, cycle: 1 };
    waiting().when(at("03-04 17:00", issue(Resolution, 1))).then_rejected(not_found);
    given([]).when(at("03-04 17:00", issue(Dispatch, 1))).then_rejected(Rejection::TicketNotFound);
}

#[test]
fn r62_a_rung_that_policy_does_not_climb_yet_is_not_passed_off_as_another() {
    let warning = Notice { rung: Rung::Warning, ..notice(Dispatch, 1, 0) };
    for notice in [warning, notice(Dispatch, 1, 7)] {
        waiting()
            .when(at("03-04 17:00", IssueExpediteNotice { notice }))
            .then_rejected(Rejection::NotOverdue { clock: Dispatch, due_at: None });
    }
}

#[test]
fn r61_the_identity_gives_the_same_ids_whoever_computes_them() {
    let (one, other) = (notice(Dispatch, 1, 0), notice(Dispatch, 1, 0));
    assert_eq!(one.id(ticket_id()), other.id(ticket_id()));
    assert_eq!(one.command_id(ticket_id()), other.command_id(ticket_id()));
    let ids = [
        one.id(ticket_id()).0,
        one.command_id(ticket_id()).0,
        one.id(other_ticket_id()).0,
        notice(Response, 1, 0).id(ticket_id()).0,
        notice(Dispatch, 2, 0).id(ticket_id()).0,
        notice(Dispatch, 1, 1).id(ticket_id()).0,
        Notice { episode: 1, ..one }.id(ticket_id()).0,
        Notice { episode: 2, ..one }.id(ticket_id()).0,
        Notice { rung: Rung::Warning, ..one }.id(ticket_id()).0,
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn r64_a_notice_recorded_later_than_policy_allows_is_marked_late() {
    let is_late = |story: Story, now: &str| match story.and([at(now, issue(Dispatch, 1))]).history.last() {
        Some(TicketEvent::ExpediteNoticeIssued { late, .. }) => *late,
        other => panic!("{other:?}"),
    };
    assert!(!is_late(waiting(), "03-04 16:01"));
    assert!(is_late(waiting(), "03-04 16:01:00.000001"));
    let mut office = Office::new();
    let policy = Policy { late_after: "2h".parse().unwrap(), ..Policy::default() };
    office.company(SetPolicy { policy });
    let waiting = given_in(office, [at("03-04 09:00", repair()), at("03-04 09:10", respond())]);
    assert!(!is_late(waiting, "03-04 18:00"));
}
