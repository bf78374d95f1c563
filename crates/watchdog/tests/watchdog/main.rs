//! The running watchdog over an in-memory log and a clock that moves when told.

#![expect(clippy::unwrap_used, reason = "in a test, a missing value is a failure")]

mod exchanged;
mod unreadable;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use cuiban_command_handler::{Clock, CommandMeta, Handlers, ManualClock, SeededIds, StepOver};
use cuiban_domain::ids::{Actor, BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, BranchCommand, CompanyCommand, LeaveStaff, OpenBranch, SetBranchLimits, SetPolicy,
    StaffMember,
};
use cuiban_domain::people::{Customer, Phone, Role};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Measure, Policy, Span};
use cuiban_domain::text::{Line, Name, Note};
use cuiban_domain::ticket::{
    Area, AssignHandler, CancelTicket, Channel, CustomerLevel, DispatchTechnician, RegisterTicket,
    RespondToCustomer, TicketCommand, TicketEvent, TicketKind, Urgency, VisitWindow,
};
use cuiban_domain::{Event, Instant};
use cuiban_event_log::{Append, EventLog, Expected, Filter, MemoryLog, Position, Route, StreamId, Token};
use cuiban_event_schema::Commit;
use cuiban_projector::{MemoryDisk, StorePlace, WriteFault};
use cuiban_vitals::Vitals;
use cuiban_watchdog::{Config, Watchdog};
use tempfile::TempDir;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

struct Office {
    memory: MemoryLog,
    log: Arc<dyn EventLog>,
    clock: Arc<ManualClock>,
    handlers: Arc<Handlers>,
    dir: TempDir,
    ids: SeededIds,
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn branch() -> BranchId {
    BranchId::new("B0").unwrap()
}

fn staff(id: &str) -> StaffId {
    StaffId::new(id).unwrap()
}

impl Office {
    /// Branch B0 with technicians T1 and T2, on the Monday morning of 2 March 2026, 9:00 in Shanghai.
    async fn open() -> Self {
        Self::open_seeded(7).await
    }

    async fn open_seeded(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_772_413_200, 0).unwrap()));
        let time = clock.clone();
        let memory = MemoryLog::with_time(Arc::new(move || time.now()));
        let log: Arc<dyn EventLog> = Arc::new(memory.clone());
        let actor = Actor::new("test").unwrap();
        let ids = Arc::new(SeededIds::new(seed));
        let config = cuiban_command_handler::Config { log_looked_at_every_ms: 5, ..Default::default() };
        let vitals = Vitals::new(cuiban_vitals::Role::Watchdog, "test", "test");
        let handlers = Handlers::start_with_vitals(log.clone(), clock.clone(), ids, actor, config, vitals)
            .await
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let office =
            Self { memory, log, clock, handlers: Arc::new(handlers), dir, ids: SeededIds::new(seed + 1) };
        office.branch(OpenBranch { branch: branch(), name: name("城东"), province: None }.into()).await;
        for (id, role) in
            [("T1", Role::Technician), ("T2", Role::Technician), ("S1", Role::ServiceSupervisor)]
        {
            let member = StaffMember { id: staff(id), name: name(id), role, skills: vec![], areas: vec![] };
            office.branch(AdmitStaff { member }.into()).await;
        }
        office
    }

    fn meta(&self) -> CommandMeta {
        use cuiban_command_handler::IdSource;
        CommandMeta::new(CommandId(self.ids.new_id(self.clock.now())), Actor::new("test").unwrap())
    }

    async fn branch(&self, command: BranchCommand) {
        let handled = self.handlers.branch(&branch(), &command, &self.meta()).await.unwrap();
        self.handlers.directory().wait_for(handled.position).await;
    }

    async fn call(&self) -> TicketId {
        let ticket = TicketId(self.meta().command_id.0);
        self.handlers.register(ticket, request(), &self.meta()).await.unwrap();
        ticket
    }

    async fn obey(&self, ticket: TicketId, command: impl Into<TicketCommand>) {
        self.handlers.ticket(ticket, &command.into(), &self.meta()).await.unwrap();
    }

    fn visit_in_an_hour(&self) -> VisitWindow {
        let from = self.clock.now() + TimeDelta::hours(1);
        VisitWindow { from, until: from + TimeDelta::hours(1) }
    }

    fn watch(&self, name: &str) -> Watchdog {
        let dir = self.dir.path().join(name);
        let config = Config { log_looked_at_every_ms: 5, ..Config::default() };
        Watchdog::start(self.handlers.clone(), self.log.clone(), &dir, config)
    }

    /// Every commit from the log's start until `enough` says that it has seen what it waits for.
    async fn until(&self, mut enough: impl FnMut(&Commit) -> bool) -> Vec<Commit> {
        let mut subscription = self.log.subscribe(Filter::everything(), Position::START).await.unwrap();
        let mut seen = Vec::new();
        let reading = async {
            loop {
                let recorded = subscription.next().await.unwrap().unwrap();
                let Ok(commit) = cuiban_event_schema::decode(recorded.payload()) else { continue };
                let done = enough(&commit);
                seen.push(commit);
                if done {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("what is waited for comes");
        seen
    }

    /// Bytes that no build reads, behind what the stream has.
    fn spoil(&self, stream: &StreamId) -> StepOver {
        let token = |text: &str| Token::new(text).unwrap();
        let payload = Bytes::from_static(b"\xff garbage");
        let sha256 = cuiban_event_schema::hash(&payload);
        let class = if stream.kind.as_str() == "ticket" { "case" } else { "policy" };
        let append = Append {
            stream: stream.clone(),
            expected: self.memory.stream_version(stream).map_or(Expected::NoStream, Expected::At),
            route: Route { branch: token("B0"), class: token(class) },
            commit_id: Uuid::nil(),
            payload,
        };
        let position = self.memory.append_now(append).unwrap().position;
        StepOver { position, sha256, reason: Line::new("误写入").unwrap(), even_newer: false }
    }

    async fn until_notices(&self, count: usize) -> Vec<(TicketId, Instant, bool, Instant)> {
        let mut left = count;
        let commits = self
            .until(|commit| {
                left -= notices(commit).len();
                left == 0
            })
            .await;
        commits.iter().flat_map(notices).collect()
    }
}

fn stream(ticket: TicketId) -> StreamId {
    StreamId { kind: Token::new("ticket").unwrap(), id: Token::new(ticket.to_string()).unwrap() }
}

fn two_hours() -> BranchCommand {
    let limit = Limit { span: "2h".parse().unwrap(), measure: Measure::Working };
    let rule = LimitRule {
        clock: ClockKind::Dispatch,
        limit,
        kind: None,
        urgency: None,
        customer_level: None,
        area: None,
    };
    SetBranchLimits { limits: vec![rule] }.into()
}

fn request() -> RegisterTicket {
    RegisterTicket {
        kind: TicketKind::Repair,
        customer: Customer { name: name("客户"), phone: Phone::new("13800138000").unwrap(), address: None },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: name("KFR-35GW"),
        serial_number: None,
        description: Note::new("不制冷").unwrap(),
        happened_at: None,
        branch: branch(),
        area: Some(Area::Urban),
        district: None,
        urgency: Urgency::Normal,
        needs_visit: false,
        warranty_until: None,
        contract_until: None,
    }
}

/// Ticket, due instant, whether late, and when it was recorded.
fn notices(commit: &Commit) -> Vec<(TicketId, Instant, bool, Instant)> {
    let ticket = commit.envelope.stream_id.parse();
    let notice = |event: &Event| match event {
        Event::Ticket(TicketEvent::ExpediteNoticeIssued { due_at, late, .. }) => {
            Some((ticket.clone().unwrap(), *due_at, *late, commit.envelope.happened.recorded_at))
        }
        _ => None,
    };
    commit.events.iter().filter_map(notice).collect()
}

fn has(commit: &Commit, wanted: impl Fn(&TicketEvent) -> bool) -> bool {
    commit.events.iter().any(|event| matches!(event, Event::Ticket(event) if wanted(event)))
}

/// Six working hours from nine: 17:00 minus the lunch hour, 16:00 in Shanghai.
fn dispatch_due(office: &Office) -> Instant {
    office.clock.now() + TimeDelta::hours(7)
}

#[tokio::test]
async fn r60_a_notice_is_issued_just_after_the_due_instant_and_not_at_it() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let due_at = dispatch_due(&office);
    let watchdog = office.watch("one");
    office.clock.advance_to(due_at);
    watchdog.status().wait_for(|status| status.caught_up && status.open_clocks == 2).await.unwrap();
    office.clock.advance_by(Duration::from_micros(1));
    let issued = office.until_notices(1).await;
    assert_eq!(issued, [(ticket, due_at, false, due_at + TimeDelta::microseconds(1))]);
    watchdog.stop().await;
}

#[tokio::test]
async fn r61_two_watchdogs_issue_each_notice_once() {
    let office = Office::open().await;
    let mut tickets = Vec::new();
    for _ in 0..40 {
        tickets.push(office.call().await);
    }
    let (one, two) = (office.watch("one"), office.watch("two"));
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::seconds(1));
    let issued = office.until_notices(40).await;
    for watchdog in [one, two] {
        watchdog.status().wait_for(|status| status.open_clocks == 40).await.unwrap();
        watchdog.stop().await;
    }
    let mut urged: Vec<_> = issued.iter().map(|(ticket, ..)| *ticket).collect();
    urged.sort();
    tickets.sort();
    assert_eq!(urged, tickets);
    // Both have stopped: what the log holds now is all there is.
    let head = office.log.head().await.unwrap().raw();
    let mut seen = 0;
    let all = office
        .until(|_| {
            seen += 1;
            seen == head
        })
        .await;
    assert_eq!(all.iter().flat_map(notices).count(), 40);
}

#[tokio::test]
async fn r64_a_watchdog_that_was_down_issues_every_missed_notice_in_order_and_late() {
    let office = Office::open().await;
    for _ in 0..20 {
        office.call().await;
        office.clock.advance_by(Duration::from_secs(90));
    }
    office.clock.advance_by(Duration::from_secs(3 * 86_400));
    let watchdog = office.watch("one");
    let issued = office.until_notices(40).await;
    assert!(issued.iter().all(|(_, _, late, _)| *late));
    assert!(issued.windows(2).all(|pair| pair[0].1 <= pair[1].1), "in the order of their due instants");
    watchdog.stop().await;
}

#[tokio::test]
async fn r31_a_limit_that_was_met_is_not_urged() {
    let office = Office::open().await;
    let kept = office.call().await;
    office
        .obey(kept, RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None })
        .await;
    let broken = office.call().await;
    office.obey(kept, CancelTicket { reason: Line::new("取消").unwrap() }).await;
    let watchdog = office.watch("one");
    office.clock.advance_by(Duration::from_secs(2 * 86_400));
    let issued = office.until_notices(2).await;
    assert!(issued.iter().all(|(ticket, ..)| *ticket == broken));
    watchdog.status().wait_for(|status| status.open_clocks == 0).await.unwrap();
    watchdog.stop().await;
}

#[tokio::test]
async fn r36_a_changed_policy_moves_the_due_instants_of_running_clocks() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let watchdog = office.watch("one");
    let rule = |hours: u64| LimitRule {
        clock: ClockKind::Dispatch,
        limit: Limit {
            span: Span::new(Duration::from_secs(hours * 3600)).unwrap(),
            measure: Measure::Working,
        },
        kind: None,
        urgency: None,
        customer_level: None,
        area: None,
    };
    office.branch(SetBranchLimits { limits: vec![rule(2)] }.into()).await;
    let two_hours = office.clock.now() + TimeDelta::hours(2);
    office.until(|commit| has(commit, |event| moved_to(event, two_hours))).await;
    office.clock.advance_to(two_hours + TimeDelta::microseconds(1));
    assert_eq!(office.until_notices(1).await[0].0, ticket);
    watchdog.stop().await;
}

fn moved_to(event: &TicketEvent, instant: Instant) -> bool {
    matches!(event, TicketEvent::DeadlineMoved { to: Some(to), .. } if *to == instant)
}

#[tokio::test]
async fn r36_a_change_made_while_the_watchdog_was_down_is_drawn_from_when_it_is_back() {
    let office = Office::open().await;
    office.watch("one").stop().await;
    office.call().await;
    let mut policy = Policy::default();
    policy.limits.push(LimitRule {
        clock: ClockKind::Dispatch,
        limit: Limit { span: "30m".parse().unwrap(), measure: Measure::Working },
        kind: None,
        urgency: None,
        customer_level: None,
        area: None,
    });
    let handled =
        office.handlers.company(&CompanyCommand::from(SetPolicy { policy }), &office.meta()).await.unwrap();
    office.handlers.directory().wait_for(handled.position).await;
    let watchdog = office.watch("one");
    let half_past = office.clock.now() + TimeDelta::minutes(30);
    office.until(|commit| has(commit, |event| moved_to(event, half_past))).await;
    watchdog.stop().await;
}

#[tokio::test]
async fn r6_when_a_person_leaves_all_open_tickets_pass_to_the_successor() {
    let office = Office::open().await;
    let mut tickets = Vec::new();
    for _ in 0..5 {
        let ticket = office.call().await;
        office.obey(ticket, DispatchTechnician { technician: staff("T1"), visit: None }).await;
        tickets.push(ticket);
    }
    office.obey(tickets[4], AssignHandler { handler: staff("T1") }).await;
    let watchdog = office.watch("one");
    office.branch(LeaveStaff { staff: staff("T1"), successor: staff("T2") }.into()).await;
    let mut left = 5;
    office
        .until(|commit| {
            left -= usize::from(has(commit, |event| matches!(event, TicketEvent::TicketReassigned { .. })));
            left == 0
        })
        .await;
    for ticket in tickets {
        let state = office.handlers.known_ticket(ticket).await.unwrap();
        assert_eq!(state.technician, Some(staff("T2")));
    }
    watchdog.stop().await;
}

#[tokio::test]
async fn r11_a_cancelled_tickets_visit_frees_the_technicians_time() {
    let office = Office::open().await;
    let visit = Some(office.visit_in_an_hour());
    let (first, second) = (office.call().await, office.call().await);
    office.obey(first, DispatchTechnician { technician: staff("T1"), visit }).await;
    let overlapping = TicketCommand::from(DispatchTechnician { technician: staff("T1"), visit });
    assert!(office.handlers.ticket(second, &overlapping, &office.meta()).await.is_err());
    let watchdog = office.watch("one");
    office.obey(first, CancelTicket { reason: Line::new("取消").unwrap() }).await;
    office.until(|commit| commit.envelope.stream_kind == "schedule" && commit.envelope.revision == 2).await;
    office.obey(second, DispatchTechnician { technician: staff("T1"), visit }).await;
    watchdog.stop().await;
}

#[tokio::test]
async fn r6_r11_what_came_while_the_watchdog_was_down_is_drawn_from_step_by_step() {
    let office = Office::open().await;
    let visit = Some(office.visit_in_an_hour());
    let (cancelled, left_behind) = (office.call().await, office.call().await);
    office.obey(cancelled, DispatchTechnician { technician: staff("T1"), visit }).await;
    office.obey(cancelled, CancelTicket { reason: Line::new("取消").unwrap() }).await;
    office.obey(left_behind, DispatchTechnician { technician: staff("T1"), visit: None }).await;
    office.branch(LeaveStaff { staff: staff("T1"), successor: staff("T2") }.into()).await;
    let watchdog = office.watch("one");
    let (mut freed, mut passed_on) = (false, false);
    office
        .until(|commit| {
            freed |= commit.envelope.stream_kind == "schedule" && commit.envelope.revision == 2;
            passed_on |= has(commit, |event| matches!(event, TicketEvent::TicketReassigned { .. }));
            freed && passed_on
        })
        .await;
    assert_eq!(office.handlers.known_ticket(left_behind).await.unwrap().technician, Some(staff("T2")));
    watchdog.stop().await;
}

#[test]
fn r61_a_notices_id_is_the_same_for_whoever_computes_it() {
    use cuiban_domain::sla::{Notice, Rung};
    let notice =
        Notice { clock: ClockKind::Dispatch, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
    let ticket = TicketId(Uuid::from_u128(1));
    assert_eq!(notice.id(ticket), notice.id(ticket));
    assert_ne!(notice.id(ticket), Notice { cycle: 2, ..notice }.id(ticket));
    assert_ne!(notice.id(ticket).0, notice.command_id(ticket).0);
}

#[tokio::test]
async fn r64_a_call_entered_days_later_with_its_answer_is_not_urged_for_the_answer() {
    let office = Office::open().await;
    let watchdog = office.watch("one");
    let on_friday = office.clock.now() - TimeDelta::days(3);
    let late = |at| CommandMeta { occurred_at: Some(at), ..office.meta() };
    let ticket = TicketId(office.meta().command_id.0);
    office.handlers.register(ticket, request(), &late(on_friday)).await.unwrap();
    watchdog.status().wait_for(|status| status.caught_up && status.open_clocks == 2).await.unwrap();
    let respond = RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None };
    let answered_at = late(on_friday + TimeDelta::hours(1));
    office.handlers.ticket(ticket, &respond.into(), &answered_at).await.unwrap();
    watchdog.status().wait_for(|status| status.open_clocks == 1).await.unwrap();
    office.clock.advance_by(Duration::from_secs(6));
    let issued = office.until_notices(1).await;
    let dispatch_due = on_friday + TimeDelta::days(3);
    assert!(issued[0].2, "late");
    assert!(
        issued[0].1 < dispatch_due && issued[0].1 != on_friday + TimeDelta::hours(24),
        "the visit alone: {issued:?}"
    );
    watchdog.stop().await;
}
