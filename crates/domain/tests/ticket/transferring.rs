//! Transferring to a branch with another zone and other hours: R36, R60.

use cuiban_domain::Rejection;
use cuiban_domain::aggregate::{Aggregate, Class};
use cuiban_domain::organisation::{District, ListDistricts};
use cuiban_domain::people::Role;
use cuiban_domain::sla::ClockState;
use cuiban_domain::ticket::{Area, DeadlineReason, Stage, Ticket, TicketEvent, TransferTicket};

use crate::office::{branch, rule, staff};
use crate::story::{Story, at, given};
use crate::words::*;

/// Called on Wednesday at 15:00 of Shanghai, 08:00 in Berlin; due on Thursday at 12:00.
fn waiting() -> Story {
    given([at("03-04 15:00", repair()), at("03-04 15:10", respond())]).due(Dispatch, "03-05 12:00")
}

#[test]
fn r36_the_receiving_branch_s_calendar_gives_the_due_instant() {
    // Six hours from 09:00 in Berlin, which is 16:00 in Shanghai.
    waiting()
        .when(at("03-04 16:00", transfer("B1")))
        .then_moved(Dispatch, DeadlineReason::Transferred, "03-05 12:00", "03-04 22:00")
        .when(at("03-04 16:01", transfer("B1")))
        .then_rejected(Rejection::NothingToChange);
}

#[test]
fn r36_the_receiving_branch_s_limits_hold() {
    waiting()
        .meanwhile(|office| office.branch_limits("B1", &[rule(Dispatch, "8h", Working)]))
        .when(at("03-04 16:00", transfer("B1")))
        .then_moved(Dispatch, DeadlineReason::Transferred, "03-05 12:00", "03-05 00:00");
}

#[test]
fn r36_the_receiving_branch_s_districts_take_a_transferred_ticket_along() {
    let listed = |area| ListDistricts { districts: vec![District { name: name("北区"), area }] };
    let to_the_north =
        |area| TransferTicket {
            to: branch("B1"), area, district: Some(name("北区")), reason: line("迁址")
        };
    let transferred = |area| {
        let story = waiting().meanwhile(|office| office.branch("B1", listed(Area::Urban)));
        story.and([at("03-04 16:00", to_the_north(area))])
    };
    transferred(None)
        .due(Dispatch, "03-04 22:00")
        .meanwhile(|office| office.branch("B1", listed(Area::Suburban)))
        .when(at("03-04 16:30", move_deadlines(DeadlineReason::Area)))
        .then_moved(Dispatch, DeadlineReason::Area, "03-04 22:00", "03-04 23:00");
    // A person's word stands against the list.
    transferred(Some(Area::Suburban))
        .due(Dispatch, "03-04 23:00")
        .when(at("03-04 16:30", move_deadlines(DeadlineReason::Calendar)))
        .then_nothing();
}

#[test]
fn a_transfer_carries_the_summary_and_goes_to_both_branches() {
    let story = waiting();
    let before: Ticket = story.ticket.clone();
    let story = story.and([at("03-04 16:00", transfer("B1"))]);
    let transferred = &story.history[story.history.len() - 2..];
    assert_eq!(Ticket::class(transferred), Class::Transfer);
    assert_eq!(Aggregate::branch(&before, transferred), Some(branch("B0")));
    let TicketEvent::TicketTransferred { summary, from, to, .. } = &transferred[0] else { panic!() };
    assert_eq!((from, to), (&branch("B0"), &branch("B1")));
    assert_eq!((&summary.clocks, Some(&summary.number)), (&before.clocks, before.number()));
    assert_eq!(story.ticket.branch(), Some(&branch("B1")));
}

#[test]
fn the_receiving_branch_sends_its_own_people() {
    let story = waiting()
        .and([at("03-04 15:20", dispatch("T1")), at("03-04 15:30", assign("K1"))])
        .and([at("03-04 16:00", transfer("B1"))]);
    assert_eq!(
        (story.ticket.stage, &story.ticket.technician, &story.ticket.handler),
        (Stage::Waiting, &None, &None)
    );
    let unknown = Rejection::UnknownStaff { branch: branch("B1"), staff: staff("T1") };
    story
        .when(at("03-04 16:10", dispatch("T1")))
        .then_rejected(unknown)
        .when(at("03-04 16:10", dispatch("T5")))
        .then([TicketEvent::TechnicianDispatched { technician: staff("T5"), visit: None }]);
}

#[test]
fn r37_a_paused_ticket_arrives_paused_and_goes_on_in_the_other_zone() {
    waiting()
        .and([at("03-04 16:00", pause()), at("03-04 17:00", transfer("B1"))])
        .stands(Dispatch, ClockState::Paused { since: instant("03-04 16:00") })
        .and([at("03-04 18:00", resume())])
        .due(Dispatch, "03-04 23:00");
}

#[test]
fn r60_a_limit_broken_before_the_transfer_is_urged_after_it_where_the_ticket_is() {
    let story = waiting()
        .and([at("03-05 12:00:10", transfer("B1"))])
        .due(Dispatch, "03-05 12:00")
        .when(at("03-05 12:00:20", issue(Dispatch, 1)))
        .then_obeyed();
    let Some(TicketEvent::ExpediteNoticeIssued { addressee, informed, .. }) = story.history.last() else {
        panic!()
    };
    assert_eq!((addressee, informed), (&dispatchers(), &vec![staff("S5")]));
    assert_eq!(Ticket::class(&story.history[story.history.len() - 2..]), Class::Expedite);
}

#[test]
fn r60_every_supervisor_of_the_branch_is_informed_but_none_who_left() {
    let story = waiting()
        .meanwhile(|office| {
            office.admit("B0", "S2", Role::ServiceSupervisor);
            office.admit("B0", "S3", Role::ServiceSupervisor);
            let left = cuiban_domain::organisation::LeaveStaff { staff: staff("S2"), successor: staff("S1") };
            office.branch("B0", left);
        })
        .and([at("03-05 12:00:10", issue(Dispatch, 1))]);
    let Some(TicketEvent::ExpediteNoticeIssued { informed, .. }) = story.history.last() else { panic!() };
    assert_eq!(informed, &[staff("S1"), staff("S3")]);
}

#[test]
fn refuses_a_branch_that_is_not_there() {
    waiting()
        .when(at("03-04 16:00", transfer("B7")))
        .then_rejected(Rejection::UnknownBranch { branch: branch("B7") });
}
