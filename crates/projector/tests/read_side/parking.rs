//! Commits that cannot be folded: set aside with their followers, while others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cuiban_domain::ids::{Actor, CommandId, CorrelationId, TicketId};
use cuiban_domain::step_over::StepOverEvent;
use cuiban_domain::text::Line;
use cuiban_domain::{Event, Happened};
use cuiban_event_log::{Position, RecordedCommit};
use cuiban_event_schema::{Commit, Envelope};
use cuiban_projector::{
    FIRST_TABLE, Incoming, Key, Model, OpenClocks, Projection, Row, Tickets, Unfoldable, View,
};
use serde::{Deserialize, Serialize};

use crate::feeding::{bench, decode};
use crate::history::History;

/// The commit with one more event at its end, of a kind that no build knows.
fn with_an_unknown_event(commit: &RecordedCommit) -> RecordedCommit {
    const EVENTS_FIELD: [u8; 2] = [13 << 3 | 2, 3];
    const FIELD_999_EMPTY: [u8; 3] = [0xba, 0x3e, 0];
    let payload = [&commit.payload[..], &EVENTS_FIELD, &FIELD_999_EMPTY].concat();
    RecordedCommit { payload: payload.into(), ..commit.clone() }
}

#[tokio::test]
async fn an_unknown_event_parks_its_stream_and_no_other() {
    let history = History::drawn(41, 300).await;
    let mut commits = history.commits();
    let of = |ticket: TicketId, commits: &[RecordedCommit]| {
        let is_of = |commit: &&RecordedCommit| commit.stream.id.as_str() == ticket.to_string();
        commits.iter().filter(is_of).map(|commit| commit.position).collect::<Vec<_>>()
    };
    let ticket = *history.tickets.iter().max_by_key(|ticket| of(**ticket, &commits).len()).unwrap();
    let positions = of(ticket, &commits);
    assert!(positions.len() >= 4);
    let whole = decode(&commits);
    let broken = commits.iter().position(|commit| commit.position == positions[1]).unwrap();
    commits[broken] = with_an_unknown_event(&commits[broken]);
    let incoming = decode(&commits);

    let (bench, reference) = (bench(), bench());
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    // In two slices, so that the followers come in later batches too.
    model.apply(&incoming[..broken + 1]).unwrap();
    for batch in incoming[broken + 1..].chunks(3) {
        model.apply(batch).unwrap();
    }
    let parked = model.parked().unwrap();
    assert_eq!(parked.iter().map(|entry| entry.position).collect::<Vec<_>>(), positions[1..]);
    assert!(parked[0].reason.contains("does not know"), "{}", parked[0].reason);
    assert!(parked[1].reason.contains("earlier"), "{}", parked[1].reason);
    assert_eq!(model.cursor().unwrap(), commits.last().unwrap().position);

    let retried = model.retry_parked().unwrap();
    assert_eq!((retried.folded, retried.left), (0, positions.len() - 1));
    assert_eq!(model.parked().unwrap().len(), positions.len() - 1);

    let others = Model::open(&reference.store, OpenClocks).unwrap();
    let without: Vec<Incoming> =
        whole.into_iter().filter(|commit| !positions[1..].contains(&commit.recorded.position)).collect();
    others.apply(&without).unwrap();
    let rows = |model: &Model<OpenClocks>| {
        let rows = model.dump().unwrap();
        rows.into_iter().filter(|(key, _)| key[0] >= FIRST_TABLE).collect::<Vec<_>>()
    };
    assert!(rows(&model) == rows(&others));
}

#[tokio::test]
async fn a_copy_of_a_commit_where_it_does_not_belong_changes_no_row() {
    let commits = History::drawn(42, 60).await.commits();
    let last = commits.last().unwrap();
    let copied = |kind: &str, id: &str, after: u64| {
        let token = |text: &str| cuiban_event_log::Token::new(text).unwrap();
        let first = commits.iter().find(|commit| commit.stream.kind.as_str() == "ticket").unwrap();
        let stream = cuiban_event_log::StreamId { kind: token(kind), id: token(id) };
        let position = Position::from_raw(last.position.raw() + after);
        RecordedCommit { position, stream, ..first.clone() }
    };
    let ticket = commits.iter().rfind(|commit| commit.stream.kind.as_str() == "ticket").unwrap();
    let copies = [copied("ghost", "x", 1), copied("ticket", ticket.stream.id.as_str(), 2)];
    let bench = bench();
    let model = Model::open(&bench.store, Tickets).unwrap();
    model.apply(&decode(&commits)).unwrap();
    let rows = |model: &Model<Tickets>| -> Vec<_> {
        model.dump().unwrap().into_iter().filter(|(key, _)| key[0] >= FIRST_TABLE).collect()
    };
    let before = rows(&model);
    model.apply(&decode(&copies)).unwrap();
    assert!(rows(&model) == before);
    let parked = model.parked().unwrap();
    let told: Vec<_> = parked.iter().map(|entry| (entry.stream.is_some(), entry.address.as_str())).collect();
    assert!(!told[0].0, "nobody's: {told:?}");
    assert!(
        told[0].1.starts_with("ghost.x.") && parked[1].reason.contains("belongs to ticket."),
        "{parked:?}"
    );
}

/// A commit at `position` of the stream of `bad`, which passes over it.
fn steps_over(bad: &RecordedCommit, position: u64) -> RecordedCommit {
    let now = chrono::DateTime::UNIX_EPOCH;
    let envelope = Envelope {
        commit_id: CommandId(uuid::Uuid::from_u128(position.into())),
        stream_kind: bad.stream.kind.to_string(),
        stream_id: bad.stream.id.to_string(),
        revision: position,
        actor: Actor::new("operator").unwrap(),
        correlation_id: CorrelationId(uuid::Uuid::nil()),
        causation_id: None,
        happened: Happened { occurred_at: now, recorded_at: now },
        previous_hash: None,
        request_fingerprint: 0,
    };
    let step = StepOverEvent::CommitSteppedOver {
        position: bad.position.raw(),
        sha256: cuiban_event_schema::hash(&bad.payload),
        reason: Line::new("误写入").unwrap(),
    };
    let payload = cuiban_event_schema::encode(&envelope, &[Event::SteppedOver(step)]).unwrap().into();
    RecordedCommit { position: Position::from_raw(position), payload, ..bad.clone() }
}

#[tokio::test]
async fn a_parked_stream_goes_on_behind_what_is_stepped_over() {
    let history = History::drawn(41, 300).await;
    let commits = history.commits();
    let of = |ticket: &TicketId| {
        let is_of = |commit: &&RecordedCommit| commit.stream.id.as_str() == ticket.to_string();
        commits.iter().filter(is_of).map(|commit| commit.position).collect::<Vec<_>>()
    };
    let positions = history.tickets.iter().map(of).max_by_key(Vec::len).unwrap();
    assert!(positions.len() >= 4);
    let mut broken = commits.clone();
    let mut bad = Vec::new();
    for commit in &mut broken {
        if [positions[1], positions[3]].contains(&commit.position) {
            *commit = with_an_unknown_event(commit);
            bad.push(commit.clone());
        }
    }
    let end = commits.last().unwrap().position.raw();
    let (bench, reference) = (bench(), bench());
    let model = Model::open(&bench.store, OpenClocks).unwrap();
    model.apply(&decode(&broken)).unwrap();
    assert_eq!(model.parked().unwrap().len(), positions.len() - 1);
    let wrong = RecordedCommit { payload: b"others".to_vec().into(), ..bad[0].clone() };
    model.apply(&decode(&[steps_over(&wrong, end + 1)])).unwrap();
    assert_eq!(model.parked().unwrap().len(), positions.len(), "other bytes than those that are there");
    model.apply(&decode(&[steps_over(&bad[0], end + 2)])).unwrap();
    let parked: Vec<_> = model.parked().unwrap().iter().map(|entry| entry.position).collect();
    assert_eq!(parked[0], positions[3], "the next one stands in the way");
    model.apply(&decode(&[steps_over(&bad[1], end + 3)])).unwrap();
    assert_eq!(model.parked().unwrap(), []);

    let others = Model::open(&reference.store, OpenClocks).unwrap();
    let without: Vec<_> = commits
        .into_iter()
        .filter(|commit| ![positions[1], positions[3]].contains(&commit.position))
        .collect();
    others.apply(&decode(&without)).unwrap();
    let rows = |model: &Model<OpenClocks>| {
        let rows = model.dump().unwrap();
        rows.into_iter().filter(|(key, _)| key[0] >= FIRST_TABLE).collect::<Vec<_>>()
    };
    assert!(rows(&model) == rows(&others));
}

/// Open clocks, but one commit is refused as long as it is told so; half of its work is done by then.
#[derive(Clone)]
struct Refusing {
    position: Position,
    refuses: Arc<AtomicBool>,
    panics: bool,
}

#[derive(Serialize, Deserialize)]
struct Trace(u64);

impl Row for Trace {
    const TABLE: u8 = FIRST_TABLE + 100;
    const FORMAT: u8 = 1;
}

impl Projection for Refusing {
    const NAME: &'static str = "refusing";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, position: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        OpenClocks.project(commit, position, view)?;
        if position == self.position && self.refuses.load(Ordering::Relaxed) {
            view.put(&Key::new(), &Trace(position.raw()))?;
            assert!(!self.panics, "a defect of the fold");
            return Err(Unfoldable::commit("not today"));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_commit_leaves_no_trace_and_is_folded_when_tried_again() {
    let commits = History::drawn(42, 200).await.commits();
    let incoming = decode(&commits);
    let position = incoming[incoming.len() / 2].recorded.position;
    for panics in [false, true] {
        let (bench, reference) = (bench(), bench());
        let refuses = Arc::new(AtomicBool::new(true));
        let refusing = Refusing { position, refuses: refuses.clone(), panics };
        let model = Model::open(&bench.store, refusing.clone()).unwrap();
        model.apply(&incoming).unwrap();
        let parked = model.parked().unwrap();
        assert_eq!(parked[0].position, position);
        assert!(parked[0].reason.contains(if panics { "a defect of the fold" } else { "not today" }));
        assert!(model.get::<Trace>(&Key::new()).unwrap().is_none());

        refuses.store(false, Ordering::Relaxed);
        let retried = model.retry_parked().unwrap();
        assert_eq!((retried.folded, retried.left), (parked.len(), 0));
        assert!(model.parked().unwrap().is_empty());
        let healthy = Model::open(&reference.store, refusing).unwrap();
        healthy.apply(&incoming).unwrap();
        assert!(model.dump().unwrap() == healthy.dump().unwrap());
    }
}

#[tokio::test]
async fn parked_commits_survive_a_restart() {
    let history = History::drawn(43, 60).await;
    let mut commits = history.commits();
    let broken = commits.iter().position(|commit| commit.stream.kind.as_str() == "ticket").unwrap();
    commits[broken] = with_an_unknown_event(&commits[broken]);
    let (incoming, bench) = (decode(&commits), bench());
    let half = incoming.len() / 2;
    {
        let model = Model::open(&bench.store, Tickets).unwrap();
        model.apply(&incoming[..half]).unwrap();
    }
    let model = Model::open(&bench.store, Tickets).unwrap();
    model.apply(&incoming[half..]).unwrap();
    let stream = &commits[broken].stream;
    let all = commits.iter().filter(|commit| commit.stream == *stream).count();
    assert_eq!(model.parked().unwrap().len(), all);
    assert!(model.parked().unwrap().iter().all(|entry| entry.stream.as_ref() == Some(stream)));
}
