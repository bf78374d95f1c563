//! Schedules, numbers and alerts: R3, R11, R64.

use cuiban_domain::alert::{Alert, AlertEvent, Outcome, RecordAttempt};
use cuiban_domain::ids::{Actor, ChannelId};
use cuiban_domain::numbering::{Numbering, NumberingEvent, ReserveNumbers, Series};
use cuiban_domain::organisation::Organisation;
use cuiban_domain::schedule::{Schedule, ScheduleCommand, ScheduleEvent};
use cuiban_domain::ticket::{TicketKind, VisitWindow};
use cuiban_domain::{Aggregate, Context, Happened, Rejection};

use crate::office::{Office, branch};
use crate::words::*;

fn decide<A: Aggregate>(state: &A, command: &A::Command) -> Result<Vec<A::Event>, Rejection> {
    let (actor, organisation, now) =
        (Actor::new("K1").unwrap(), Organisation::default(), instant("03-04 09:00"));
    let context =
        Context { now, occurred_at: now, actor: &actor, organisation: &organisation, related: None };
    state.decide(command, &context)
}

fn obey<A: Aggregate>(state: &mut A, command: &A::Command) -> Vec<A::Event> {
    let now = instant("03-04 09:00");
    let events = decide(state, command).unwrap();
    for event in &events {
        state.evolve(event, Happened { occurred_at: now, recorded_at: now });
    }
    events
}

fn window(from: &str, until: &str) -> VisitWindow {
    VisitWindow { from: instant(from), until: instant(until) }
}

fn reserve(ticket: cuiban_domain::ids::TicketId, visit: VisitWindow) -> ScheduleCommand {
    ScheduleCommand::ReserveVisit { ticket, branch: branch("B0"), visit }
}

#[test]
fn r11_no_two_visits_of_a_technician_overlap() {
    let mut schedule = Schedule::default();
    let morning = window("03-04 09:00", "03-04 11:00");
    obey(&mut schedule, &reserve(ticket_id(), morning));
    let busy = Rejection::VisitOverlaps { ticket: ticket_id(), from: morning.from, until: morning.until };
    for visit in [
        window("03-04 10:59", "03-04 12:00"),
        window("03-04 08:00", "03-04 09:01"),
        window("03-04 08:00", "03-04 12:00"),
        window("03-04 09:30", "03-04 10:00"),
    ] {
        assert_eq!(decide(&schedule, &reserve(other_ticket_id(), visit)), Err(busy.clone()));
    }
    // One may begin when the other ends.
    obey(&mut schedule, &reserve(other_ticket_id(), window("03-04 11:00", "03-04 12:00")));
}

#[test]
fn r11_a_ticket_s_visit_is_moved_repeated_and_released() {
    let mut schedule = Schedule::default();
    let (first, second) = (window("03-04 09:00", "03-04 11:00"), window("03-04 10:00", "03-04 12:00"));
    obey(&mut schedule, &reserve(ticket_id(), first));
    assert!(obey(&mut schedule, &reserve(ticket_id(), first)).is_empty());
    obey(&mut schedule, &reserve(ticket_id(), second));
    obey(&mut schedule, &reserve(other_ticket_id(), window("03-04 09:00", "03-04 10:00")));
    let release = ScheduleCommand::ReleaseVisit { ticket: ticket_id(), branch: branch("B0") };
    let released = ScheduleEvent::VisitReleased { ticket: ticket_id(), branch: branch("B0") };
    assert_eq!(obey(&mut schedule, &release), [released]);
    assert!(obey(&mut schedule, &release).is_empty());
}

#[test]
fn r3_blocks_of_numbers_never_share_one() {
    let mut numbering = Numbering::default();
    assert_eq!(
        obey(&mut numbering, &ReserveNumbers { count: 100 }),
        [NumberingEvent::NumbersReserved { first: 1, count: 100 }]
    );
    assert_eq!(
        obey(&mut numbering, &ReserveNumbers { count: 1 }),
        [NumberingEvent::NumbersReserved { first: 101, count: 1 }]
    );
    assert_eq!(decide(&numbering, &ReserveNumbers { count: 0 }), Err(Rejection::NothingToChange));
}

#[test]
fn r3_folding_numbers_that_nobody_ever_took_keeps_what_was_given_out() {
    for (first, count, last) in
        [(0, 0, 7), (1, u64::MAX, u64::MAX), (u64::MAX, u64::MAX, u64::MAX), (u64::MAX, 0, u64::MAX)]
    {
        let mut numbering = Numbering { last: 7 };
        let event = NumberingEvent::NumbersReserved { first, count };
        let now = instant("03-04 09:00");
        numbering.evolve(&event, Happened { occurred_at: now, recorded_at: now });
        assert_eq!(numbering.last, last, "{first}, {count}");
    }
}

#[test]
fn r3_the_month_is_the_branch_s_own() {
    let office = Office::new();
    let month = |id| {
        let calendar = office.organisation.branch(&branch(id)).unwrap().calendar;
        Series::of(TicketKind::Complaint, calendar.local_date(instant("04-01 02:00"))).stream_id()
    };
    assert_eq!((month("B0"), month("B1")), ("TS-202604".to_owned(), "TS-202603".to_owned()));
}

#[test]
fn r64_attempts_are_counted_by_channel_until_one_settles_it() {
    let mut alert = Alert::default();
    let attempt = |channel: &str, outcome: Outcome| RecordAttempt {
        branch: branch("B0"),
        channel: ChannelId::new(channel).unwrap(),
        outcome,
    };
    let failed = || Outcome::Failed(line("超时"));
    obey(&mut alert, &attempt("nats", failed()));
    let second = obey(&mut alert, &attempt("nats", Outcome::Delivered));
    let AlertEvent::AlertAttempted { attempt: count, .. } = &second[0];
    assert_eq!(*count, 2);
    assert!(obey(&mut alert, &attempt("nats", failed())).is_empty());
    obey(&mut alert, &attempt("webhook", Outcome::GivenUp(line("410"))));
    let channel = |id| ChannelId::new(id).unwrap();
    assert_eq!((alert.attempts(&channel("webhook")), alert.is_settled(&channel("webhook"))), (1, true));
    assert_eq!((alert.attempts(&channel("mail")), alert.is_settled(&channel("mail"))), (0, false));
}
