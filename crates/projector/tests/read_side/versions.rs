//! A new version of a projection is built beside the old one, which answers meanwhile.

use cuiban_event_log::Position;
use cuiban_event_schema::Commit;
use cuiban_projector::{FIRST_TABLE, Key, Model, Projection, ReadError, Row, Store, Unfoldable, View};
use serde::{Deserialize, Serialize};

use crate::feeding::{bench, decode, small};
use crate::history::History;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Count(u64);

impl Row for Count {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// Counts something, each version another thing.
struct Counting<const VERSION: u32, const READABLE_SINCE: u32>;

impl<const VERSION: u32, const READABLE_SINCE: u32> Projection for Counting<VERSION, READABLE_SINCE> {
    const NAME: &'static str = "counting";
    const VERSION: u32 = VERSION;
    const READABLE_SINCE: u32 = READABLE_SINCE;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Count(count) = view.get(&Key::new())?.unwrap_or(Count(0));
        let more = if VERSION == 1 { 1 } else { commit.events.len() as u64 };
        Ok(view.put(&Key::new(), &Count(count + more))?)
    }
}

fn count<P: Projection>(model: &Model<P>) -> Result<Option<Count>, ReadError> {
    model.query(|rows| rows.get::<Count>(&Key::new()))
}

#[tokio::test]
async fn the_old_version_answers_until_the_new_one_has_caught_up() {
    let incoming = decode(&History::drawn(51, 40).await.commits());
    let commits = incoming.len() as u64;
    let events = incoming.iter().map(|one| one.commit.as_ref().unwrap().events.len() as u64).sum::<u64>();
    let bench = bench();
    let old = Model::open(&bench.store, Counting::<1, 1>).unwrap();
    old.apply(&incoming).unwrap();
    assert!(matches!(count(&old), Err(ReadError::NotReady { model: "counting", .. })));
    old.set_caught_up().unwrap();
    assert_eq!(count(&old).unwrap(), Some(Count(commits)));
    drop(old);

    let new = Model::open(&bench.store, Counting::<2, 1>).unwrap();
    assert_eq!(new.cursor().unwrap(), Position::START);
    assert_eq!(count(&new).unwrap(), Some(Count(commits)));
    new.apply(&incoming).unwrap();
    assert_eq!(count(&new).unwrap(), Some(Count(commits)));
    new.set_caught_up().unwrap();
    assert_eq!(count(&new).unwrap(), Some(Count(events)));
    drop(new);

    // The old one is gone for good.
    let old = Model::open(&bench.store, Counting::<1, 1>).unwrap();
    assert_eq!(old.cursor().unwrap(), Position::START);
}

#[tokio::test]
async fn an_old_version_that_this_build_cannot_read_answers_nothing() {
    let incoming = decode(&History::drawn(52, 20).await.commits());
    let bench = bench();
    let old = Model::open(&bench.store, Counting::<1, 1>).unwrap();
    old.apply(&incoming).unwrap();
    old.set_caught_up().unwrap();
    drop(old);
    let new = Model::open(&bench.store, Counting::<2, 2>).unwrap();
    assert!(matches!(count(&new), Err(ReadError::NotReady { .. })));
    new.apply(&incoming).unwrap();
    new.set_caught_up().unwrap();
    assert!(count(&new).unwrap().is_some());
}

#[tokio::test]
async fn what_has_caught_up_once_answers_at_once_after_a_restart() {
    let incoming = decode(&History::drawn(53, 20).await.commits());
    let temporary = tempfile::tempdir().unwrap();
    for restart in [false, true] {
        let store = Store::open_with(temporary.path().join("models"), small()).unwrap();
        let model = Model::open(&store, Counting::<1, 1>).unwrap();
        assert_eq!(count(&model).is_ok(), restart);
        model.apply(&incoming).unwrap();
        model.set_caught_up().unwrap();
        assert!(count(&model).is_ok());
    }
}
