//! Commands over a log that conflicts, forgets to answer, or goes away.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a missing value is a failure")]

mod exchanged;
mod notices_first;
mod unreadable;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use cuiban_command_handler::{
    Clock, CommandMeta, Config, HandleError, Handlers, IdSource, ManualClock, Outcome, SeededIds, StepOver,
};
use cuiban_domain::Rejection;
use cuiban_domain::ids::{Actor, BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{AdmitStaff, BranchCommand, OpenBranch, SetBranchLimits, StaffMember};
use cuiban_domain::people::{Customer, Phone, Role};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Measure, Notice, Rung};
use cuiban_domain::text::{Line, Name, Note};
use cuiban_domain::ticket::{
    Area, ArriveAtCustomer, AssignHandler, CancelTicket, Channel, CloseTicket, CustomerLevel, DeadlineReason,
    DispatchTechnician, IssueExpediteNotice, MergeTicket, MoveDeadlines, RegisterTicket, ReopenTicket,
    RespondToCustomer, TicketCommand, TicketEvent, TicketKind, Urgency, VisitWindow,
};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, Delivery, EventLog, Expected, Filter, LogError, LogIdentity,
    LogStanding, MemoryLog, Position, RecordedCommit, Route, Stored, StreamId, StreamVersion, Subscription,
    Token,
};
use prost::Message as _;
use tokio::sync::mpsc;
use uuid::Uuid;

/// What happens to the next append.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Stored, but the answer is lost.
    AnswerLost,
    /// Not stored, and no answer.
    CommitLost,
    /// Not stored, and said to be a conflict (JetStream's 10164).
    FalseConflict,
    /// Refused: the log is away.
    Away,
    /// Not stored, and never answered.
    Silence,
}

/// The in-memory log with faults in front of it.
#[derive(Debug)]
struct FaultyLog {
    log: MemoryLog,
    faults: Mutex<VecDeque<Fault>>,
    /// A way into each subscription's channel.
    subscriptions: Mutex<Vec<mpsc::Sender<Result<Delivery, LogError>>>>,
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let stream = append.stream.clone();
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.log.append(append).await,
            Some(Fault::AnswerLost) => {
                self.log.append(append).await?;
                Err(AppendError::Unknown { stream, source: "no answer".into() })
            }
            Some(Fault::CommitLost) => Err(AppendError::Unknown { stream, source: "no answer".into() }),
            Some(Fault::FalseConflict) => Err(AppendError::Conflict { stream, actual: None }),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Away) => Err(AppendError::Unavailable { stream, source: "away".into() }),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<Stored>, LogError> {
        self.log.read_stream(stream, after, consistency).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let mut whole = self.log.subscribe(filter, after).await?;
        let (deliveries, received) = mpsc::channel(16);
        self.subscriptions.lock().unwrap().push(deliveries.clone());
        tokio::spawn(async move {
            let mut caught_up = false;
            while let Some(Ok(batch)) = whole.next_batch(16).await {
                let now_caught_up = batch.caught_up && !std::mem::replace(&mut caught_up, batch.caught_up);
                let commits = batch.commits.into_iter().map(Delivery::Commit);
                for delivery in commits.chain(now_caught_up.then_some(Delivery::CaughtUp)) {
                    if deliveries.send(Ok(delivery)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Subscription::new(received))
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        self.log.stored_at(position).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.log.identity().await
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        self.log.standing().await
    }

    async fn head(&self) -> Result<Position, LogError> {
        self.log.head().await
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.log.time().await
    }
}

/// Two processes' handlers over one log.
struct Office {
    log: Arc<FaultyLog>,
    clock: Arc<ManualClock>,
    handlers: Handlers,
    others: Handlers,
    ids: SeededIds,
}

impl Office {
    async fn open() -> Self {
        Self::open_seeded(1).await
    }

    async fn open_seeded(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_772_413_200, 0).unwrap()));
        let time = clock.clone();
        let log = MemoryLog::with_time(Arc::new(move || time.now()));
        let log = Arc::new(FaultyLog { log, faults: Mutex::default(), subscriptions: Mutex::default() });
        let start = async |seed| {
            let actor = Actor::new("test").unwrap();
            let config = Config {
                retry_delay_ms: 0,
                directory_retry_delay_ms: 0,
                log_looked_at_every_ms: 5,
                ..Config::default()
            };
            Handlers::start(log.clone(), clock.clone(), Arc::new(SeededIds::new(seed)), actor, config)
                .await
                .unwrap()
        };
        let (handlers, others) = (start(seed).await, start(seed + 1).await);
        let office =
            Self { log: log.clone(), clock: clock.clone(), handlers, others, ids: SeededIds::new(seed + 2) };
        let name = |text: &str| Name::new(text).unwrap();
        let branch = BranchId::new("B0").unwrap();
        let member = StaffMember {
            id: staff("T1"),
            name: name("T1"),
            role: Role::Technician,
            skills: vec![],
            areas: vec![],
        };
        let open = OpenBranch { branch: branch.clone(), name: name("城东"), province: None };
        for command in [BranchCommand::from(open), AdmitStaff { member }.into()] {
            let handled = office.handlers.branch(&branch, &command, &office.meta()).await.unwrap();
            office.handlers.directory().wait_for(handled.position).await;
            office.others.directory().wait_for(handled.position).await;
        }
        office
    }

    fn fail_with(&self, faults: impl IntoIterator<Item = Fault>) {
        self.log.faults.lock().unwrap().extend(faults);
    }

    fn meta(&self) -> CommandMeta {
        CommandMeta::new(CommandId(self.ids.new_id(self.clock.now())), Actor::new("test").unwrap())
    }

    async fn call(&self) -> TicketId {
        let ticket = TicketId(self.meta().command_id.0);
        self.handlers.register(ticket, request(), &self.meta()).await.unwrap();
        ticket
    }

    async fn commits(&self, ticket: TicketId) -> usize {
        let commits = self.log.log.commits_after(Position::START);
        commits.iter().filter(|commit| commit.stream.id.as_str() == ticket.to_string()).count()
    }
}

fn staff(id: &str) -> StaffId {
    StaffId::new(id).unwrap()
}

fn request() -> RegisterTicket {
    RegisterTicket {
        kind: TicketKind::Repair,
        customer: Customer {
            name: Name::new("客户").unwrap(),
            phone: Phone::new("13800138000").unwrap(),
            address: None,
        },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: Name::new("KFR-35GW").unwrap(),
        serial_number: None,
        description: Note::new("不制冷").unwrap(),
        happened_at: None,
        branch: BranchId::new("B0").unwrap(),
        area: Some(Area::Urban),
        district: None,
        urgency: Urgency::Normal,
        needs_visit: false,
        warranty_until: None,
        contract_until: None,
    }
}

fn respond() -> TicketCommand {
    RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }.into()
}

fn rejection(error: HandleError) -> Rejection {
    match error {
        HandleError::Rejected(rejection) => *rejection,
        other => panic!("not a rejection: {other:?}"),
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_again_and_the_command_is_in_the_log_once() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.fail_with([Fault::AnswerLost]);
    let handled = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    assert_eq!((handled.outcome, handled.revision), (Outcome::Replayed, 2));
    assert_eq!(office.commits(ticket).await, 2);
}

#[tokio::test]
async fn a_lost_commit_and_a_false_conflict_are_tried_again() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.fail_with([Fault::CommitLost, Fault::FalseConflict, Fault::CommitLost]);
    let handled = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    assert_eq!((handled.outcome, handled.revision), (Outcome::Recorded, 2));
    assert_eq!(office.commits(ticket).await, 2);
}

#[tokio::test]
async fn retries_have_an_end_and_say_whether_the_outcome_is_known() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.fail_with([Fault::FalseConflict; 9]);
    let contended = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap_err();
    assert!(matches!(contended, HandleError::Contended { attempts: 9 }), "{contended:?}");
    office.fail_with([Fault::CommitLost; 9]);
    let unknown = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap_err();
    assert!(matches!(unknown, HandleError::Unknown(_)), "{unknown:?}");
    office.fail_with([Fault::Away]);
    let away = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap_err();
    assert!(matches!(away, HandleError::Unavailable(_)), "{away:?}");
    assert_eq!(office.commits(ticket).await, 1);
}

#[tokio::test]
async fn a_log_that_goes_away_after_a_lost_answer_leaves_the_outcome_unknown() {
    let office = Office::open().await;
    let (ticket, meta) = (office.call().await, office.meta());
    office.fail_with([Fault::CommitLost, Fault::Away]);
    let unknown = office.handlers.ticket(ticket, &respond(), &meta).await.unwrap_err();
    assert!(matches!(unknown, HandleError::Unknown(_)), "{unknown:?}");
    let again = office.handlers.ticket(ticket, &respond(), &meta).await.unwrap();
    assert_eq!((again.outcome, again.revision), (Outcome::Recorded, 2));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_says_nothing_is_waited_for_as_long_as_configured_and_no_longer() {
    let office = Office::open().await;
    let (ticket, meta) = (office.call().await, office.meta());
    office.fail_with([Fault::Silence]);
    let unknown = office.handlers.ticket(ticket, &respond(), &meta).await.unwrap_err();
    assert!(matches!(unknown, HandleError::Unknown(_)), "{unknown:?}");
    let again = office.handlers.ticket(ticket, &respond(), &meta).await.unwrap();
    assert_eq!((again.outcome, again.revision), (Outcome::Recorded, 2));
}

#[tokio::test]
async fn a_command_sent_again_is_replayed_at_any_age_and_by_any_process() {
    let office = Office::open().await;
    let (ticket, meta) = (TicketId(office.meta().command_id.0), office.meta());
    let first = office.handlers.register(ticket, request(), &meta).await.unwrap();
    office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    office.clock.advance_by(Duration::from_secs(40 * 86_400));
    let again = office.others.register(ticket, request(), &meta).await.unwrap();
    assert_eq!((again.outcome, again.revision, again.position), (Outcome::Replayed, 1, first.position));
    assert_eq!(again.state.number(), first.state.number());
    assert_eq!(office.commits(ticket).await, 2);
}

#[tokio::test]
async fn a_key_used_for_another_request_is_refused() {
    let office = Office::open().await;
    let (ticket, meta) = (TicketId(office.meta().command_id.0), office.meta());
    office
        .handlers
        .register(ticket, request(), &CommandMeta { request_fingerprint: 1, ..meta.clone() })
        .await
        .unwrap();
    let other =
        office.handlers.register(ticket, request(), &CommandMeta { request_fingerprint: 2, ..meta }).await;
    assert!(matches!(other, Err(HandleError::KeyReused)));
}

#[tokio::test]
async fn another_process_write_is_seen_before_a_no_is_said() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let dispatch = TicketCommand::from(DispatchTechnician { technician: staff("T1"), visit: None });
    office.others.ticket(ticket, &dispatch, &office.meta()).await.unwrap();
    // Our cache still says that nobody was sent.
    let arrived = office.handlers.ticket(ticket, &ArriveAtCustomer {}.into(), &office.meta()).await.unwrap();
    assert_eq!(arrived.revision, 3);
}

#[tokio::test]
async fn a_write_on_a_stale_cache_is_decided_anew() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.others.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    let error = office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap_err();
    assert!(matches!(rejection(error), Rejection::AlreadyResponded { .. }));
}

#[tokio::test]
async fn an_expected_revision_is_insisted_on() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let meta = CommandMeta { expected_revision: Some(7), ..office.meta() };
    let error = office.handlers.ticket(ticket, &respond(), &meta).await.unwrap_err();
    assert!(matches!(error, HandleError::RevisionMismatch { expected: 7, actual: 1 }));
}

#[tokio::test]
async fn r3_two_processes_never_give_out_the_same_number() {
    let office = Office::open().await;
    let mut numbers = Vec::new();
    for n in 0..120 {
        let handlers = if n % 2 == 0 { &office.handlers } else { &office.others };
        let handled =
            handlers.register(TicketId(office.meta().command_id.0), request(), &office.meta()).await.unwrap();
        numbers.push(handled.state.number().cloned().unwrap());
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 120);
    assert!(numbers[0].as_str().starts_with("BX-202603-"), "{}", numbers[0]);
}

#[tokio::test]
async fn r11_of_two_dispatchers_who_want_the_same_hour_one_is_told_of_the_other() {
    let office = Office::open().await;
    let (first, second) = (office.call().await, office.call().await);
    let from = office.clock.now() + Duration::from_secs(3600);
    let visit = Some(VisitWindow { from, until: from + Duration::from_secs(3600) });
    let dispatch = TicketCommand::from(DispatchTechnician { technician: staff("T1"), visit });
    let (meta, other_meta) = (office.meta(), office.meta());
    let (one, two) = tokio::join!(
        office.handlers.ticket(first, &dispatch, &meta),
        office.others.ticket(second, &dispatch, &other_meta)
    );
    let told = match (one, two) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => rejection(error),
        both => panic!("not exactly one was refused: {both:?}"),
    };
    assert!(matches!(told, Rejection::VisitOverlaps { .. }), "{told:?}");
}

#[tokio::test]
async fn r5_a_ticket_is_merged_only_into_one_that_is_open() {
    let office = Office::open().await;
    let (one, two) = (office.call().await, office.call().await);
    let reason = || Line::new("同一来电").unwrap();
    office.others.ticket(two, &CancelTicket { reason: reason() }.into(), &office.meta()).await.unwrap();
    let merge = |into| TicketCommand::from(MergeTicket { into, reason: reason() });
    let error = office.handlers.ticket(one, &merge(two), &office.meta()).await.unwrap_err();
    assert_eq!(rejection(error), Rejection::MergeTargetNotOpen { into: two });
    let three = office.call().await;
    office.handlers.ticket(one, &merge(three), &office.meta()).await.unwrap();
}

#[tokio::test]
async fn many_writers_of_one_ticket_leave_one_unbroken_history() {
    let office = Arc::new(Office::open().await);
    let ticket = office.call().await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..24 {
        let office = office.clone();
        writers.spawn(async move {
            let handlers = if n % 2 == 0 { &office.handlers } else { &office.others };
            handlers.ticket(ticket, &respond(), &office.meta()).await.is_ok()
        });
    }
    assert_eq!(writers.join_all().await.into_iter().filter(|won| *won).count(), 1);
    let mut chain = cuiban_event_schema::Chain::default();
    for commit in office.log.log.commits_after(Position::START) {
        chain.check(commit.stream.kind.as_str(), commit.stream.id.as_str(), &commit.payload).unwrap();
    }
}

#[tokio::test]
async fn a_directory_whose_subscription_failed_follows_on_from_where_it_was() {
    let office = Office::open().await;
    let broken = std::mem::take(&mut *office.log.subscriptions.lock().unwrap());
    assert_eq!(broken.len(), 2, "each process follows the organisation");
    for subscription in broken {
        let away = LogError::Unavailable { attempted: "follow", source: "away".into() };
        subscription.send(Err(away)).await.unwrap();
    }
    let branch = BranchId::new("B1").unwrap();
    let name = Name::new("城西").unwrap();
    let open = OpenBranch { branch: branch.clone(), name, province: None }.into();
    let opened = office.handlers.branch(&branch, &open, &office.meta()).await.unwrap();
    for handlers in [&office.handlers, &office.others] {
        let heard = handlers.directory().wait_for(opened.position);
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("the directory follows no longer");
        assert!(handlers.directory().organisation().branch(&branch).is_ok());
    }
}

#[tokio::test]
async fn what_is_decided_by_a_clock_that_is_off_is_decided_at_the_logs_own_time() {
    let true_time = DateTime::from_timestamp(1_772_413_200, 0).unwrap();
    for shown in [true_time + Duration::from_secs(7_200), true_time - Duration::from_secs(7_200)] {
        let log = MemoryLog::with_time(Arc::new(move || true_time));
        let clock = Arc::new(ManualClock::new(shown));
        let (ids, actor) = (Arc::new(SeededIds::new(1)), Actor::new("test").unwrap());
        let handlers =
            Handlers::start(Arc::new(log.clone()), clock, ids, actor, Config::default()).await.unwrap();
        let branch = BranchId::new("B0").unwrap();
        let name = Name::new("城东").unwrap();
        let open = OpenBranch { branch: branch.clone(), name, province: None }.into();
        let meta = CommandMeta::new(CommandId(handlers.new_id()), Actor::new("test").unwrap());
        handlers.branch(&branch, &open, &meta).await.unwrap();
        assert!(handlers.clock_guard().clock_suspect());
        assert_eq!(handlers.clock().now(), true_time, "what people see goes by it, too");
        let recorded = log.commits_after(Position::START);
        let commit = cuiban_event_schema::decode(&recorded[0].payload).unwrap();
        assert_eq!(commit.envelope.happened.recorded_at, true_time);
    }
}

#[tokio::test]
async fn another_process_write_is_seen_before_nothing_is_said_to_be_done() {
    let office = Office::open().await;
    let ticket = TicketId(office.meta().command_id.0);
    let claim = RegisterTicket { kind: TicketKind::CompensationClaim, needs_visit: true, ..request() };
    office.handlers.register(ticket, claim, &office.meta()).await.unwrap();
    // Ten hours later the visit's limit is broken; for all that our cache knows, no clock of it runs any more.
    office.clock.advance_by(Duration::from_secs(36_000));
    let notice =
        Notice { clock: ClockKind::Dispatch, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
    let urge = IssueExpediteNotice { notice }.into();
    office.handlers.ticket(ticket, &urge, &office.meta()).await.unwrap();
    let reopen = ReopenTicket { reason: Line::new("又不制冷").unwrap() };
    for command in [respond(), CloseTicket { note: None }.into(), reopen.into()] {
        office.others.ticket(ticket, &command, &office.meta()).await.unwrap();
    }
    let limit = Limit { span: "3h".parse().unwrap(), measure: Measure::Working };
    let (clock, kind, urgency, customer_level, area) = (ClockKind::Dispatch, None, None, None, None);
    let limits = vec![LimitRule { clock, limit, kind, urgency, customer_level, area }];
    let branch = BranchId::new("B0").unwrap();
    let set = SetBranchLimits { limits }.into();
    let set = office.handlers.branch(&branch, &set, &office.meta()).await.unwrap();
    office.handlers.directory().wait_for(set.position).await;
    let moving = MoveDeadlines { reason: DeadlineReason::Policy }.into();
    let moved = office.handlers.ticket(ticket, &moving, &office.meta()).await.unwrap();
    assert!(matches!(&moved.events[..], [TicketEvent::DeadlineMoved { cycle: 2, .. }]), "{:?}", moved.events);
}

#[tokio::test]
async fn on_a_clock_that_lags_and_is_believed_time_stands_still_within_a_stream_and_does_not_go_back() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let called_at = office.clock.now();
    let lagging = Arc::new(ManualClock::new(called_at - Duration::from_secs(7_200)));
    let (ids, actor) = (Arc::new(SeededIds::new(9)), Actor::new("test").unwrap());
    let config = Config { clock_ahead_max_ms: None, ..Config::default() };
    let slow = Handlers::start(office.log.clone(), lagging, ids, actor, config).await.unwrap();
    slow.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    let commits = office.log.log.commits_after(Position::START);
    let last = cuiban_event_schema::decode(&commits[commits.len() - 1].payload).unwrap();
    assert_eq!(last.envelope.happened.recorded_at, called_at);
}

#[tokio::test]
async fn every_command_is_counted_by_how_it_ended_and_every_notice_by_how_late_it_was() {
    let office = Office::open().await;
    let vitals = cuiban_vitals::Vitals::new(cuiban_vitals::Role::Gateway, "g-1", "0");
    let (ids, actor) = (Arc::new(SeededIds::new(9)), Actor::new("test").unwrap());
    let config = Config { answer_ms_max: 50, ..Config::default() };
    let counting = Handlers::start_with_vitals(
        office.log.clone(),
        office.clock.clone(),
        ids,
        actor,
        config,
        vitals.clone(),
    );
    let counting = counting.await.unwrap();
    let ticket = office.call().await;
    office.fail_with([Fault::FalseConflict]);
    let meta = office.meta();
    counting.ticket(ticket, &respond(), &meta).await.unwrap();
    counting.ticket(ticket, &respond(), &meta).await.unwrap();
    counting.ticket(ticket, &respond(), &office.meta()).await.unwrap_err();
    office.clock.advance_by(Duration::from_secs(36_000));
    office.fail_with([Fault::Away, Fault::Silence]);
    for _ in 0..3 {
        let known = counting.known_ticket(ticket).await.unwrap();
        let clock = known.clocks.iter().find(|clock| clock.kind == ClockKind::Dispatch).unwrap();
        let urge = IssueExpediteNotice { notice: clock.next_notice() }.into();
        let _ = counting.ticket(ticket, &urge, &office.meta()).await;
    }
    let figures = vitals.render();
    for line in [
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"recorded\"} 2",
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"replayed\"} 1",
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"rejected\"} 1",
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"unavailable\"} 1",
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"cut_off\"} 1",
        "cuiban_conflicts_total{aggregate=\"ticket\"} 1",
        "cuiban_notice_delay_seconds_count 1",
        "cuiban_loop_silent{loop=\"directory.following\"} 0",
    ] {
        assert!(figures.contains(line), "{line}\n{figures}");
    }
}
