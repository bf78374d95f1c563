//! What names a commit's place in the log, and how ids, texts and refusals are written.

use cuiban_domain::alert::{Alert, AlertEvent, Outcome};
use cuiban_domain::ids::{Actor, BranchId, ChannelId};
use cuiban_domain::organisation::{Branch, BranchEvent, Company, CompanyEvent};
use cuiban_domain::people::Phone;
use cuiban_domain::schedule::{Schedule, ScheduleCommand, ScheduleEvent};
use cuiban_domain::sla::Span;
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{Ticket, TicketCommand, TicketEvent, VisitWindow};
use cuiban_domain::{Aggregate, Class, Rejection};
use serde_json::json;

use crate::office::{Office, branch, staff};
use crate::story::{at, given};
use crate::words::*;

fn route<A: Aggregate>(events: &[A::Event]) -> (Option<BranchId>, Class) {
    (A::default().branch(events), A::class(events))
}

#[test]
fn a_commit_goes_to_the_branch_that_it_concerns() {
    let b0 = || Some(branch("B0"));
    let visit = VisitWindow { from: instant("03-04 09:00"), until: instant("03-04 11:00") };
    let reserved = ScheduleEvent::VisitReserved { ticket: ticket_id(), branch: branch("B0"), visit };
    let released = ScheduleEvent::VisitReleased { ticket: ticket_id(), branch: branch("B0") };
    assert_eq!(route::<Schedule>(&[reserved]), (b0(), Class::Case));
    assert_eq!(route::<Schedule>(&[released]), (b0(), Class::Case));
    let attempted = AlertEvent::AlertAttempted {
        branch: branch("B0"),
        channel: ChannelId::new("nats").unwrap(),
        attempt: 1,
        outcome: Outcome::Delivered,
    };
    assert_eq!(route::<Alert>(&[attempted]), (b0(), Class::Alert));
    let opened = BranchEvent::BranchOpened { branch: branch("B0"), name: name("总部"), province: None };
    assert_eq!(route::<Branch>(&[opened]), (b0(), Class::Policy));
    let listed = CompanyEvent::ProductsListed { products: Vec::new() };
    assert_eq!(route::<Company>(&[listed]), (None, Class::Policy));
    let called = given([at("03-04 08:30", repair())]);
    assert_eq!(route::<Ticket>(&called.history), (b0(), Class::Case));
}

#[test]
fn later_commits_go_where_the_first_went() {
    let office = Office::new();
    let view = office.organisation.branch(&branch("B0")).unwrap();
    let left = BranchEvent::StaffLeft { staff: staff("T1"), successor: staff("T2") };
    assert_eq!(Aggregate::branch(view.branch, &[left]), Some(branch("B0")));
    let called = given([at("03-04 08:30", repair())]);
    assert_eq!(Aggregate::branch(&called.ticket, &[TicketEvent::WorkOrderArchived]), Some(branch("B0")));
}

#[test]
fn r5_a_merging_looks_at_the_ticket_that_stays() {
    assert_eq!(TicketCommand::from(merge(other_ticket_id())).related(), Some(other_ticket_id()));
    assert_eq!(TicketCommand::from(close()).related(), None);
}

#[test]
fn a_class_is_a_segment_of_the_address() {
    let classes = [Class::Case, Class::Expedite, Class::Transfer, Class::Policy, Class::Alert];
    assert_eq!(classes.map(Class::as_str), ["case", "expedite", "transfer", "policy", "alert"]);
}

#[test]
fn only_a_registration_begins_a_stream_that_nobody_reads_before() {
    assert!(Ticket::creates(&repair().into()));
    assert!(!Ticket::creates(&respond().into()));
    let release = ScheduleCommand::ReleaseVisit { ticket: ticket_id(), branch: branch("B0") };
    assert!(!Schedule::creates(&release));
}

#[test]
fn what_is_written_is_what_was_read() {
    let span: Span = "1day 2h 30m".parse().unwrap();
    assert_eq!(serde_json::to_value(span).unwrap(), json!("1day 2h 30m"));
    let phone = Phone::new("138-0013-8000").unwrap();
    assert_eq!(
        (phone.as_str(), serde_json::to_value(&phone).unwrap()),
        ("13800138000", json!("13800138000"))
    );
    let text: Name = name("客户甲");
    assert_eq!((text.as_str(), serde_json::to_value(&text).unwrap()), ("客户甲", json!("客户甲")));
    assert_eq!(Actor::new("li-si").unwrap().as_str(), "li-si");
    assert_eq!(
        (person("T1").to_string(), dispatchers().to_string()),
        ("T1".to_owned(), "dispatch".to_owned())
    );
}

#[test]
fn a_refusal_has_a_stable_word() {
    for (rejection, code) in [
        (Rejection::TicketNotFound, "ticket_not_found"),
        (Rejection::TicketPaused { since: instant("03-04 09:00") }, "ticket_paused"),
        (Rejection::UnknownProduct { product: "X".to_owned() }, "unknown_product"),
    ] {
        assert_eq!(rejection.code(), code);
    }
}

#[test]
fn r50_until_a_calendar_is_set_monday_to_friday_are_worked() {
    let calendar = Company::default().calendar();
    let weekly = calendar.weekly();
    let worked = [hours("08:30-12:00"), hours("13:00-17:30")];
    for day in [&weekly.mon, &weekly.tue, &weekly.wed, &weekly.thu, &weekly.fri] {
        assert_eq!(*day, worked);
    }
    assert!(weekly.sat.is_empty() && weekly.sun.is_empty());
    assert_eq!(calendar.zone(), chrono_tz::Asia::Shanghai);
}
