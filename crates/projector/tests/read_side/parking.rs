//! Commits that cannot be folded: set aside with their followers, while others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cuiban_domain::ids::TicketId;
use cuiban_event_log::{Position, RecordedCommit};
use cuiban_event_schema::Commit;
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
    assert!(model.parked().unwrap().iter().all(|entry| entry.stream == *stream));
}
