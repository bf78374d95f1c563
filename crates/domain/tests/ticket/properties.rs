//! What holds whatever anybody does, in any order, at any time, told as late as they like.

use chrono::TimeDelta;
use cuiban_domain::ids::Actor;
use cuiban_domain::organisation::{BranchHours, District, ListDistricts, SetBranchHours};
use cuiban_domain::sla::{Clock, ClockState, Measure};
use cuiban_domain::ticket::{
    Area, DeadlineReason, IssueExpediteNotice, Lifecycle, ReclassifyTicket, RegisterTicket, Stage, Ticket,
    TicketCommand, TicketEvent, TicketKind, Urgency,
};
use cuiban_domain::working_time::{SpecialDay, WorkingCalendar};
use cuiban_domain::{Aggregate, Class, Context, Happened, Instant, Rejection};
use proptest::prelude::*;
use proptest::sample::select;

use crate::ledger::Ledger;
use crate::office::{Office, branch, rule};
use crate::words::*;

/// When the next thing is asked.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// So much later, in microseconds.
    Later(i64),
    /// At the earliest due instant ahead, or a microsecond beside it.
    AtDue(i64),
}

/// How long before being asked it happened.
#[derive(Clone, Copy, Debug)]
enum Lateness {
    /// So many microseconds.
    Ago(i64),
    /// At the last due instant that has passed, or so many microseconds beside it.
    BesideDue(i64),
}

#[derive(Clone, Debug)]
enum Deed {
    /// What comes next in a ticket that goes well.
    Onward,
    Command(TicketCommand),
    /// The watchdog issues whatever is due.
    Watch,
    /// Limits in hours: dispatch, response.
    Limits(u64, u64, Measure),
    /// The district of the ticket goes to this area.
    District(Area),
    /// This day of March is closed.
    Closed(u32),
}

#[derive(Clone, Debug)]
struct Move {
    pace: Pace,
    lateness: Lateness,
    deed: Deed,
}

fn command() -> impl Strategy<Value = TicketCommand> {
    let kinds = || proptest::option::of(select(TicketKind::ALL));
    let reclassified =
        (kinds(), proptest::option::of(select(Urgency::ALL)), proptest::option::of(select(Area::ALL)))
            .prop_flat_map(|(kind, urgency, area)| {
                proptest::option::of(any::<bool>()).prop_map(move |needs_visit| {
                    ReclassifyTicket { kind, urgency, area, needs_visit, ..reclassify() }.into()
                })
            });
    let measures = select([Measure::Working, Measure::Wall].as_slice());
    let answered = (1u64..40, measures, any::<bool>()).prop_map(|(hours, measure, by_policy)| {
        let limited = respond_within(limit(&format!("{hours}h"), measure));
        if by_policy { respond().into() } else { limited.into() }
    });
    prop_oneof![
        3 => answered,
        4 => select(["T1", "T2", "S1", "T9", "T5"].as_slice()).prop_map(|id| dispatch(id).into()),
        4 => Just(arrive().into()),
        3 => any::<bool>().prop_map(|signed| fix(signed).into()),
        4 => Just(pause().into()),
        4 => Just(resume().into()),
        4 => reclassified,
        1 => select(["K1", "S1", "T1", "S5"].as_slice()).prop_map(|id| assign(id).into()),
        1 => select(["T1", "T2", "K1"].as_slice()).prop_map(|id| reassign(id, "T2").into()),
        1 => Just(merge(other_ticket_id()).into()),
        1 => Just(cancel().into()),
        3 => Just(close().into()),
        3 => Just(reopen().into()),
        2 => select(DeadlineReason::ALL).prop_map(|reason| move_deadlines(reason).into()),
    ]
}

/// Deeds under one calendar, whose every instant is computed again.
fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        10 => command().prop_map(Deed::Command),
        6 => Just(Deed::Onward),
        5 => Just(Deed::Watch),
        1 => (1u64..12, 1u64..48).prop_map(|(dispatch, response)| Deed::Limits(dispatch, response, Measure::Wall)),
        1 => select(Area::ALL).prop_map(Deed::District),
    ]
}

/// Also those that change what a working hour is: calendars, branches, measures.
fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        12 => deed(),
        1 => (2u32..20).prop_map(Deed::Closed),
        1 => select(["B0", "B1"].as_slice()).prop_map(|id| Deed::Command(transfer(id).into())),
        1 => (1u64..12, 1u64..48).prop_map(|(dispatch, response)| Deed::Limits(dispatch, response, Measure::Working)),
    ]
}

fn moves<D: Strategy<Value = Deed>>(deed: D) -> impl Strategy<Value = Vec<Move>> {
    let pace = prop_oneof![
        4 => (0i64..6 * 3_600_000_000).prop_map(Pace::Later),
        1 => (0i64..120 * 3_600_000_000).prop_map(Pace::Later),
        3 => (-1i64..=1).prop_map(Pace::AtDue),
    ];
    let lateness = prop_oneof![
        6 => Just(Lateness::Ago(0)),
        2 => (0i64..12 * 3_600_000_000).prop_map(Lateness::Ago),
        3 => (-1i64..=1).prop_map(Lateness::BesideDue),
        1 => (-3_600_000_000i64..0).prop_map(Lateness::BesideDue),
    ];
    let one = (pace, lateness, deed).prop_map(|(pace, lateness, deed)| Move { pace, lateness, deed });
    proptest::collection::vec(one, 1..40)
}

fn registration() -> impl Strategy<Value = RegisterTicket> {
    let kinds = prop_oneof![2 => Just(TicketKind::Repair), 1 => select(TicketKind::ALL)];
    (kinds, select(["城东", "远郊"].as_slice()), any::<bool>()).prop_map(|(kind, district, needs_visit)| {
        RegisterTicket { district: Some(name(district)), needs_visit, ..call(kind) }
    })
}

/// What a commit of class `expedite` holds, and no other does.
fn is_breach(event: &TicketEvent) -> bool {
    matches!(event, TicketEvent::SlaBreached { .. } | TicketEvent::ExpediteNoticeIssued { .. })
}

/// A ticket under way, with the second bookkeeping beside it.
struct Run {
    office: Office,
    ticket: Ticket,
    other: Ticket,
    ledger: Ledger,
    history: Vec<(TicketEvent, Happened)>,
    now: Instant,
    /// Whether limits and pauses alone give the due instants.
    is_exact: bool,
}

impl Run {
    fn begin(request: RegisterTicket, is_exact: bool) -> Self {
        let mut run = Self {
            office: Office::new(),
            ticket: Ticket::default(),
            other: Ticket::default(),
            ledger: Ledger::default(),
            history: Vec::new(),
            now: instant("03-04 09:00"),
            is_exact,
        };
        run.office.limits(&[rule(Resolution, "30h", Working)]);
        run.ask(&register(request).into(), run.now).unwrap();
        run.other = run.ticket.clone();
        run
    }

    fn calendar(&self) -> Option<WorkingCalendar> {
        let calendar = || self.office.organisation.branch(&branch("B0")).unwrap().calendar.clone();
        self.is_exact.then(calendar)
    }

    fn decide(&self, command: &TicketCommand, occurred_at: Instant) -> Result<Vec<TicketEvent>, Rejection> {
        let actor = Actor::new("K1").unwrap();
        let organisation = &self.office.organisation;
        let context =
            Context { now: self.now, occurred_at, actor: &actor, organisation, related: Some(&self.other) };
        self.ticket.decide(command, &context)
    }

    /// As the command handler does: the notices that come first are recorded, then the command is decided again.
    fn ask(&mut self, command: &TicketCommand, occurred_at: Instant) -> Result<usize, Rejection> {
        let mut decided = self.decide(command, occurred_at);
        if let Err(Rejection::NoticesFirst { notices }) = &decided {
            for notice in notices.clone() {
                let due_at = self
                    .ledger
                    .running()
                    .find(|(kind, cycle, _)| (*kind, *cycle) == (notice.clock, notice.cycle));
                assert!(
                    due_at.is_some_and(|(_, _, due_at)| due_at < occurred_at),
                    "{notice:?} before {command:?}"
                );
                let issue = TicketCommand::from(IssueExpediteNotice { notice });
                assert_eq!(self.ask(&issue, self.now), Ok(2));
            }
            decided = self.decide(command, occurred_at);
            assert!(decided.is_ok(), "{decided:?}: {command:?} brought a notice and is refused all the same");
        }
        let events = decided?;
        if Ticket::class(&events) == Class::Expedite || events.iter().any(is_breach) {
            assert!(matches!(command, TicketCommand::IssueExpediteNotice(_)), "{command:?} urges");
            assert!(events.iter().all(is_breach), "more than clock events beside a notice: {events:?}");
        }
        let happened = Happened { occurred_at, recorded_at: self.now };
        for event in &events {
            self.ticket.evolve(event, happened);
            self.history.push((event.clone(), happened));
        }
        self.ledger.book(&events, happened, self.calendar().as_ref());
        self.ledger.agrees_with(&self.ticket.clocks);
        Ok(events.len())
    }

    fn go(&mut self, step: Move) {
        self.now = match step.pace {
            Pace::Later(us) => self.now + TimeDelta::microseconds(us),
            Pace::AtDue(us) => {
                let ahead =
                    self.ledger.running().map(|(_, _, due_at)| due_at).filter(|due_at| *due_at > self.now);
                ahead.min().map_or(self.now, |due_at| due_at + TimeDelta::microseconds(us))
            }
        };
        let passed = || self.ledger.due_instants().filter(|due_at| *due_at <= self.now).max();
        let occurred_at = match step.lateness {
            Lateness::Ago(us) => self.now - TimeDelta::microseconds(us),
            Lateness::BesideDue(us) => passed().unwrap_or(self.now) + TimeDelta::microseconds(us),
        };
        match step.deed {
            Deed::Onward => {
                let _ = self.ask(&self.onward(), occurred_at);
            }
            Deed::Command(command) => {
                // A no is an answer; what follows holds all the same.
                let _ = self.ask(&command, occurred_at);
            }
            Deed::Watch => self.watch(),
            Deed::Limits(dispatch, response, measure) => {
                let hours = |hours: u64| format!("{hours}h");
                self.office.limits(&[
                    rule(Dispatch, &hours(dispatch), Working),
                    rule(Response, &hours(response), measure),
                    rule(Resolution, "30h", Working),
                ]);
            }
            Deed::District(area) => {
                let districts =
                    vec![District { name: name("城东"), area }, District { name: name("远郊"), area }];
                self.office.branch("B0", ListDistricts { districts });
            }
            Deed::Closed(day) => {
                let date = format!("2026-03-{day:02}").parse().unwrap();
                let days = vec![SpecialDay::closed(date, "停电")];
                let hours = BranchHours { days, ..BranchHours::default() };
                self.office.branch("B0", SetBranchHours { hours });
            }
        }
        self.holds();
    }

    fn onward(&self) -> TicketCommand {
        match (self.ticket.lifecycle, self.ticket.stage) {
            (Lifecycle::Open, _) if self.ticket.paused_since.is_some() => resume().into(),
            (Lifecycle::Open, _) if self.ticket.responded_at.is_none() => respond().into(),
            (Lifecycle::Open, Stage::Waiting) if self.ticket.needs_visit => dispatch("T1").into(),
            (Lifecycle::Open, Stage::Dispatched) => arrive().into(),
            (Lifecycle::Open, Stage::Arrived) => fix(false).into(),
            (Lifecycle::Open, _) => close().into(),
            _ => reopen().into(),
        }
    }

    /// Issues exactly what is overdue: none early, none missed, none twice (R61).
    fn watch(&mut self) {
        let running: Vec<_> = self.ledger.running().collect();
        for (kind, cycle, due_at) in running {
            let clock =
                self.ticket.clocks.iter().find(|clock| (clock.kind, clock.cycle) == (kind, cycle)).unwrap();
            let command = TicketCommand::from(IssueExpediteNotice { notice: clock.next_notice() });
            let answer = self.ask(&command, self.now);
            if self.now > due_at {
                assert_eq!(answer, Ok(2), "overdue since {due_at}");
                assert_eq!(self.ask(&command, self.now), Ok(0));
            } else {
                assert_eq!(answer, Err(Rejection::NotOverdue { clock: kind, due_at: Some(due_at) }));
            }
        }
    }

    fn holds(&mut self) {
        if let Some(since) = self.ticket.paused_since {
            for clock in self.ticket.clocks.iter().filter(|clock| clock.limit.measure == Measure::Working) {
                if let ClockState::Running { due_at } = clock.state {
                    assert!(due_at < since, "{clock:?} runs while the work stands still");
                }
            }
        }
        if self.ticket.lifecycle == Lifecycle::Open && self.ticket.stage >= Stage::Arrived {
            let waiting = |clock: &&Clock| clock.kind == Dispatch && clock.is_open();
            let clock = self.ticket.clocks.iter().find(waiting);
            assert_eq!(clock, None, "a clock waits for a technician who is there");
        }
        let waits = self.ticket.stage < Stage::Arrived && self.ticket.needs_visit;
        if self.ticket.lifecycle == Lifecycle::Open && waits && self.is_exact {
            let clock = self.ticket.clock(Dispatch).filter(|clock| clock.cycle == self.ticket.cycle);
            let state = clock.map(|clock| clock.state);
            assert!(
                !matches!(state, None | Some(ClockState::Cancelled)),
                "a visit without a clock: {state:?}"
            );
        }
        if self.ticket.lifecycle == Lifecycle::Open {
            let command = move_deadlines(DeadlineReason::Policy).into();
            let first = self.ask(&command, self.now);
            assert!(first.is_ok(), "{first:?}");
            assert_eq!(self.ask(&command, self.now), Ok(0), "deadlines move a second time");
        }
    }

    /// A month later everything that was ever owed has been urged, and the history alone tells all of it.
    fn end(mut self) {
        self.now += TimeDelta::days(31);
        self.watch();
        assert_eq!(self.ledger.running().count(), 0);
        let mut refolded = Ticket::default();
        for (event, happened) in &self.history {
            refolded.evolve(event, *happened);
        }
        assert_eq!(format!("{refolded:?}"), format!("{:?}", self.ticket), "a replay gives another ticket");
    }
}

fn run(request: RegisterTicket, moves: Vec<Move>, is_exact: bool) {
    let mut run = Run::begin(request, is_exact);
    for step in moves {
        run.go(step);
    }
    run.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn r61_r37_every_due_instant_is_what_limit_and_pauses_give_and_every_breach_is_urged_once(
        request in registration(),
        moves in moves(deed()),
    ) {
        run(request, moves, true);
    }

    #[test]
    fn r61_nothing_is_urged_twice_early_or_after_it_was_met_whatever_calendars_and_branches_do(
        request in registration(),
        moves in moves(any_deed()),
    ) {
        run(request, moves, false);
    }
}
