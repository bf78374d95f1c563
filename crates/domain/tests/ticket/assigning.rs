//! Who is in charge: R6, R60.

use cuiban_domain::Rejection;
use cuiban_domain::organisation::LeaveStaff;
use cuiban_domain::ticket::TicketEvent;

use crate::office::{branch, staff};
use crate::story::{Story, at, given};
use crate::words::*;

fn under_way() -> Story {
    given([at("03-04 09:00", repair()), at("03-04 10:00", dispatch("T1")), at("03-04 10:00", assign("K1"))])
}

fn reassigned(from: &str, to: &str) -> TicketEvent {
    TicketEvent::TicketReassigned { from: staff(from), to: staff(to), reason: line("离职") }
}

#[test]
fn a_handler_is_an_active_person_of_the_branch_and_assigned_once() {
    let unknown = Rejection::UnknownStaff { branch: branch("B0"), staff: staff("S5") };
    under_way()
        .when(at("03-04 10:01", assign("K1")))
        .then_rejected(Rejection::NothingToChange)
        .when(at("03-04 10:01", assign("T9")))
        .then_rejected(Rejection::StaffHasLeft { staff: staff("T9") })
        .when(at("03-04 10:01", assign("S5")))
        .then_rejected(unknown)
        .when(at("03-04 10:01", assign("S1")))
        .then([TicketEvent::HandlerAssigned { handler: staff("S1") }]);
}

#[test]
fn r6_what_a_technician_owed_passes_to_another_technician() {
    let story = under_way()
        .when(at("03-04 11:00", reassign("T1", "S1")))
        .then_rejected(Rejection::NotATechnician { staff: staff("S1") })
        .when(at("03-04 11:00", reassign("T1", "T9")))
        .then_rejected(Rejection::StaffHasLeft { staff: staff("T9") })
        .when(at("03-04 11:00", reassign("T1", "T2")))
        .then([reassigned("T1", "T2")])
        .when(at("03-04 11:01", reassign("T1", "T2")))
        .then_rejected(Rejection::NothingToChange)
        .when(at("03-04 11:01", reassign("T2", "T2")))
        .then_rejected(Rejection::NothingToChange);
    // The clock goes on, and who owes the arrival now is urged (R60).
    story.when(at("03-04 16:00:01", issue(Dispatch, 1))).then(breach(Dispatch, "03-04 16:00", person("T2")));
}

#[test]
fn r6_the_successor_of_a_technician_can_take_over_the_visits() {
    let leave = |successor| LeaveStaff { staff: staff("T1"), successor: staff(successor) };
    let story = under_way().meanwhile(|office| {
        let refused = office.try_branch("B0", leave("S1")).unwrap_err();
        assert_eq!(refused, Rejection::NotATechnician { staff: staff("S1") });
        office.branch("B0", leave("T2"));
    });
    story
        .when(at("03-04 11:00", reassign("T1", "T2")))
        .then([reassigned("T1", "T2")])
        .when(at("03-04 11:30", arrive()))
        .then_clocks([met(Dispatch, "03-04 11:30", false)]);
}

#[test]
fn r6_both_parts_of_one_person_pass_together() {
    let story = given([
        at("03-04 09:00", repair()),
        at("03-04 10:00", dispatch("T1")),
        at("03-04 10:00", assign("T1")),
    ])
    .and([at("03-04 11:00", reassign("T1", "T2"))]);
    assert_eq!(story.ticket.technician, Some(staff("T2")));
    assert_eq!(story.ticket.handler, Some(staff("T2")));
}

#[test]
fn r6_nothing_of_an_ended_ticket_is_reassigned() {
    under_way()
        .and([at("03-04 10:30", cancel())])
        .when(at("03-04 11:00", reassign("T1", "T2")))
        .then_rejected(Rejection::TicketEnded);
}

#[test]
fn r60_the_party_that_owes_the_next_step_is_urged() {
    let urged = |story: Story, clock, now| {
        let story = story.and([at(now, issue(clock, 1))]);
        match story.history.last() {
            Some(TicketEvent::ExpediteNoticeIssued { addressee, .. }) => addressee.clone(),
            other => panic!("{other:?}"),
        }
    };
    let called = || given([at("03-04 09:00", repair())]);
    assert_eq!(urged(called(), Dispatch, "03-04 16:01"), dispatchers());
    assert_eq!(urged(under_way(), Dispatch, "03-04 16:01"), person("T1"));
    assert_eq!(urged(called(), Response, "03-05 09:01"), customer_department());
    assert_eq!(urged(under_way(), Response, "03-05 09:01"), person("K1"));
}
