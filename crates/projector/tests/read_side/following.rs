//! Following the log: through failures of the log, through damage of the store, to the end and no further.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, Delivery, EventLog, Filter, LogError, LogIdentity,
    LogStanding, MemoryLog, Position, Stored, StreamId, StreamVersion, Subscription,
};
use cuiban_projector::{
    Config, FIRST_TABLE, Key, Model, Notices, OpenClocks, OpenClocksByDue, Projection, Projector, RawRow,
    ReadError, Row, Runner, Store, StoreError, TicketRow, Tickets, Timelines,
};
use serde::{Deserialize, Serialize};

use crate::feeding::{bench, decode, rows_after, small};
use crate::history::History;

const LONG: Duration = Duration::from_secs(60);

fn config() -> Config {
    Config {
        store: small(),
        batch_commits_max: 10,
        retry_delay_ms: 1,
        retry_delay_ms_max: 5,
        ..Config::default()
    }
}

/// A log that cannot be subscribed to at first, and whose subscriptions break after some commits, which come at once.
#[derive(Debug)]
struct Flaky {
    log: MemoryLog,
    refusals: AtomicUsize,
    breaks: AtomicUsize,
    commits_before_break: usize,
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn away(attempted: &'static str) -> LogError {
    LogError::Unavailable { attempted, source: "the broker is away".into() }
}

#[async_trait]
impl EventLog for Flaky {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.log.append(append).await
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
        if take_one(&self.refusals) {
            return Err(away("subscribe"));
        }
        if !take_one(&self.breaks) {
            return self.log.subscribe(filter, after).await;
        }
        let commits = self.log.commits_after(after);
        let (deliveries, received) = tokio::sync::mpsc::channel(commits.len() + 1);
        for commit in commits.into_iter().take(self.commits_before_break) {
            deliveries.send(Ok(Delivery::Commit(commit))).await.unwrap();
        }
        deliveries.send(Err(away("follow"))).await.unwrap();
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
        if take_one(&self.refusals) { Err(away("head")) } else { self.log.head().await }
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.log.time().await
    }
}

#[tokio::test]
async fn a_runner_survives_a_log_that_comes_and_goes() {
    let history = History::drawn(61, 200).await;
    let incoming = decode(&history.commits());
    let log = Flaky {
        log: history.log.clone(),
        refusals: AtomicUsize::new(4),
        breaks: AtomicUsize::new(5),
        commits_before_break: 13,
    };
    let bench = bench();
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    let runner = Runner::start(Arc::new(log), Filter::everything(), &bench.store, model, config());
    let mut progress = runner.progress();
    let seen = *tokio::time::timeout(LONG, progress.wait_for(|one| one.caught_up)).await.unwrap().unwrap();
    assert_eq!((seen.position, seen.head), (incoming.last().unwrap().recorded.position, seen.position));
    assert!(runner.model().dump().unwrap() == rows_after(OpenClocks, &incoming, 1000, 1));
    runner.stop().await;
}

#[tokio::test]
async fn a_large_batch_gives_the_rows_that_one_commit_after_the_other_gives() {
    let history = History::drawn(68, 900).await;
    let incoming = decode(&history.commits());
    // One batch of several slices, the last one not full; what is less than a batch is lost with the subscription.
    let batch = 550;
    let log = Flaky {
        log: history.log.clone(),
        refusals: AtomicUsize::new(0),
        breaks: AtomicUsize::new(usize::MAX),
        commits_before_break: usize::MAX,
    };
    let dir = tempfile::tempdir().unwrap();
    let config = Config { batch_commits_max: batch, ..config() };
    let projector = Projector::start(Arc::new(log), dir.path(), Filter::everything(), config).await.unwrap();
    let incoming = &incoming[..batch];
    let last = incoming[batch - 1].recorded.position;
    let mut progress = projector.progress();
    tokio::time::timeout(LONG, progress.wait_for(|one| one.position == last)).await.unwrap().unwrap();
    assert!(projector.models().parked().unwrap().is_empty());
    projector.stop().await;
    let store = Store::open_with(dir.path(), small()).unwrap();
    assert!(rows_in(&store, Tickets) == rows_after(Tickets, incoming, 1, 1));
    assert!(rows_in(&store, Timelines) == rows_after(Timelines, incoming, 1, 1));
    assert!(rows_in(&store, Notices) == rows_after(Notices, incoming, 1, 1));
    assert!(rows_in(&store, OpenClocksByDue) == rows_after(OpenClocksByDue, incoming, 1, 1));
}

fn rows_in<P: Projection>(store: &Store, projection: P) -> Vec<RawRow> {
    let rows = Model::open(store, projection).unwrap().dump().unwrap();
    assert!(!rows.is_empty());
    rows
}

/// Before: so many lives of the log that was followed. After: of the one in its place.
async fn another_log_is_noticed(before: usize, after: usize, running: bool) {
    let (former, other) = (History::drawn(71, before).await, History::drawn(72, after).await);
    let others = decode(&other.commits());
    let bench = bench();
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    let config = Config { log_looked_at_every_ms: 5, ..config() };
    let log = Arc::new(former.log.clone());
    let start = || {
        let (log, model, config) = (log.clone(), model.clone(), config.clone());
        Runner::start(log, Filter::everything(), &bench.store, model, config)
    };
    let mut runner = start();
    runner.progress().wait_for(|one| one.caught_up).await.unwrap();
    if running {
        former.log.replace_with(&other.log);
    } else {
        runner.stop().await;
        former.log.replace_with(&other.log);
        runner = start();
    }
    let (position, wanted) =
        (others.last().unwrap().recorded.position, rows_after(OpenClocks, &others, 1000, 1));
    let mut progress = runner.progress();
    let rebuilt = async {
        while model.dump().ok().as_ref() != Some(&wanted) {
            let there = progress.wait_for(|one| one.caught_up && one.position == position).await;
            drop(there.unwrap());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, rebuilt).await.expect("the rows become those of the other log");
    assert_eq!(bench.store.quarantined().len(), 1, "what stood on the former log is put aside");
    runner.stop().await;
}

#[tokio::test]
async fn a_log_that_was_exchanged_while_it_was_followed_is_noticed() {
    another_log_is_noticed(100, 40, true).await;
    another_log_is_noticed(40, 100, true).await;
}

#[tokio::test]
async fn a_log_that_was_exchanged_while_nobody_followed_it_is_noticed() {
    another_log_is_noticed(100, 40, false).await;
    another_log_is_noticed(40, 100, false).await;
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_parked_with_its_position_and_passed_by() {
    let history = History::drawn(73, 50).await;
    let incoming = decode(&history.commits());
    let foreign = history.log.put_foreign("ticket.bad!id.B0.case", &b"\xff"[..]);
    let bench = bench();
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    let runner =
        Runner::start(Arc::new(history.log.clone()), Filter::everything(), &bench.store, model, config());
    let mut progress = runner.progress();
    tokio::time::timeout(LONG, progress.wait_for(|one| one.position == foreign)).await.unwrap().unwrap();
    let parked = runner.model().parked().unwrap();
    assert_eq!(
        parked.iter().map(|entry| (entry.position, &entry.stream)).collect::<Vec<_>>(),
        [(foreign, &None)]
    );
    assert_eq!(parked[0].address, "ticket.bad!id.B0.case");
    let folded =
        |rows: Vec<RawRow>| rows.into_iter().filter(|(key, _)| key[0] >= FIRST_TABLE).collect::<Vec<_>>();
    let rows = folded(runner.model().dump().unwrap());
    assert!(rows == folded(rows_after(OpenClocks, &incoming, 1000, 1)));
    assert_eq!(runner.model().cursor().unwrap(), foreign);
    runner.stop().await;
}

/// Reads an open clock as something that it is not.
#[derive(Debug, Serialize, Deserialize)]
struct Misread(u64);

impl Row for Misread {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 77;
}

#[tokio::test]
async fn damage_met_by_a_question_rebuilds_the_model_while_the_process_lives() {
    let history = History::drawn(62, 150).await;
    let head = history.commits().last().unwrap().position;
    let bench = bench();
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    let log = Arc::new(history.log.clone());
    let runner = Runner::start(log, Filter::everything(), &bench.store, model.clone(), config());
    runner.progress().wait_for(|one| one.caught_up).await.unwrap();
    let before = model.dump().unwrap();

    let damaged = model.scan::<Misread>(&Key::new(), None, 10);
    assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{damaged:?}");
    assert_eq!(bench.store.quarantined().len(), 1);
    assert!(bench.store.quarantined()[0].path.ends_with("models.damaged-1"));
    tokio::time::timeout(LONG, async {
        while model.query(|_| Ok(())).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(model.cursor().unwrap(), head);
    assert!(model.dump().unwrap() == before);
    runner.stop().await;
}

#[tokio::test]
async fn a_model_whose_rows_were_lost_refuses_what_would_leave_a_gap() {
    let incoming = decode(&History::drawn(63, 60).await.commits());
    let (first, rest) = incoming.split_at(20);
    let bench = bench();
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    model.apply(first).unwrap();
    assert!(model.scan::<Misread>(&Key::new(), None, 10).is_err());
    assert!(matches!(model.apply(rest), Err(StoreError::Replaced)));
    assert_eq!(model.cursor().unwrap(), Position::START);
    model.apply(&incoming).unwrap();
    assert!(model.dump().unwrap() == rows_after(OpenClocks, &incoming, 1000, 1));
}

#[tokio::test]
async fn models_that_are_ahead_of_the_log_are_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("models");
    let long = History::drawn(64, 100).await;
    let short = History::drawn(65, 20).await;
    for (history, put_aside) in [(&long, 0), (&short, 1)] {
        let log = Arc::new(history.log.clone());
        let projector = Projector::start(log, &path, Filter::everything(), config()).await.unwrap();
        projector.progress().wait_for(|one| one.caught_up).await.unwrap();
        let status = projector.models().status().unwrap();
        assert!(status.iter().all(|model| model.of_another_log.len() == put_aside), "{status:?}");
        for ticket in &history.tickets {
            assert!(projector.models().ticket(*ticket).unwrap().is_some());
        }
        projector.stop().await;
    }
}

#[tokio::test]
async fn a_projector_goes_on_where_it_stopped_and_refuses_a_second_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("models");
    let mut history = History::drawn(66, 80).await;
    for _ in 0..3 {
        let log = || Arc::new(history.log.clone());
        let projector = Projector::start(log(), &path, Filter::everything(), config()).await.unwrap();
        let second = Projector::start(log(), &path, Filter::everything(), config()).await;
        assert!(matches!(second, Err(StoreError::InUse { .. })));
        let head = history.commits().last().unwrap().position;
        projector.models().wait_for(head, LONG).await.unwrap();
        projector.progress().wait_for(|one| one.caught_up).await.unwrap();
        assert!(projector.models().is_ready());
        assert!(projector.models().parked().unwrap().is_empty());
        projector.stop().await;
        for _ in 0..20 {
            history.step().await;
        }
    }
}

#[tokio::test]
async fn questions_wait_for_a_position_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::drawn(67, 10).await;
    let log = Arc::new(history.log.clone());
    let projector =
        Projector::start(log, &dir.path().join("models"), Filter::everything(), config()).await.unwrap();
    let models = projector.models();
    let ticket = history.register(History::call()).await;
    let position = history.commits().last().unwrap().position;
    models.wait_for(position, LONG).await.unwrap();
    projector.progress().wait_for(|one| one.caught_up).await.unwrap();
    let row: Option<TicketRow> = models.ticket(ticket).unwrap();
    assert_eq!(row.unwrap().ticket, ticket);
    let beyond = Position::from_raw(position.raw() + 1);
    let lagging = models.wait_for(beyond, Duration::from_millis(5)).await.unwrap_err();
    assert_eq!((lagging.wanted, lagging.reached), (beyond, position));
    projector.stop().await;
}

#[tokio::test]
async fn before_it_has_caught_up_a_projector_answers_nothing_rather_than_half() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::drawn(68, 30).await;
    let log = Flaky {
        log: history.log.clone(),
        refusals: AtomicUsize::new(usize::MAX),
        breaks: AtomicUsize::new(0),
        commits_before_break: 0,
    };
    let projector =
        Projector::start(Arc::new(log), &dir.path().join("models"), Filter::everything(), config())
            .await
            .unwrap();
    let models = projector.models();
    assert!(matches!(models.ticket(history.tickets[0]), Err(ReadError::NotReady { model: "tickets", .. })));
    assert!(matches!(models.open_clocks().map(drop), Err(ReadError::NotReady { model: "open_clocks", .. })));
    assert!(!models.is_ready());
    projector.stop().await;
}

#[tokio::test]
async fn a_stopped_runner_lets_go_of_its_store() {
    let history = History::drawn(69, 50).await;
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("models");
    let store = Store::open_with(&dir, small()).unwrap();
    let model = Model::open(&store, OpenClocks).unwrap();
    let runner = Runner::start(Arc::new(history.log.clone()), Filter::everything(), &store, model, config());
    runner.progress().wait_for(|one| one.caught_up).await.unwrap();
    runner.stop().await;
    drop(store);
    let store = Store::open_with(&dir, small()).unwrap();
    assert!(store.quarantined().is_empty());
}
