//! What the facts share: short ways to make, append and read commits, and bounded waiting.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    Append, AppendError, Appended, Consistency, EventLog, Expected, Filter, Pattern, Position,
    RecordedCommit, Route, Stored, StreamId, Subscription, Token,
};

/// The log on trial.
pub type Log = Arc<dyn EventLog>;

/// How long a fact waits for something that was promised before it is judged broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn token(text: &str) -> Token {
    Token::new(text).expect("a fact uses valid tokens")
}

pub(super) fn stream(kind: &str, id: &str) -> StreamId {
    StreamId { kind: token(kind), id: token(id) }
}

pub(super) fn route(branch: &str, class: &str) -> Route {
    Route { branch: token(branch), class: token(class) }
}

/// A commit id that no other commit of this process has.
pub(super) fn fresh_id() -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u128(u128::from(LAST.fetch_add(1, Ordering::Relaxed)) + 1)
}

/// A commit on the usual route whose payload is its own id, so that readers recognise it.
pub(super) fn commit(stream: &StreamId, expected: Expected) -> Append {
    commit_on(stream, expected, route("B0", "case"))
}

pub(super) fn commit_on(stream: &StreamId, expected: Expected, route: Route) -> Append {
    let commit_id = fresh_id();
    let payload = payload_of(commit_id);
    Append { stream: stream.clone(), expected, route, commit_id, payload }
}

pub(super) fn payload_of(commit_id: Uuid) -> Bytes {
    Bytes::copy_from_slice(commit_id.as_bytes())
}

/// Appends something that must succeed.
pub(super) async fn stored(log: &Log, append: Append) -> Appended {
    within(log.append(append)).await.expect("a commit with a true expectation is stored")
}

/// Appends `count` commits to one stream, one after the other.
pub(super) async fn stored_in_a_row(log: &Log, stream: &StreamId, count: usize) -> Vec<Appended> {
    let mut expected = last_expected(log, stream).await;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let appended = stored(log, commit(stream, expected)).await;
        expected = Expected::At(appended.version);
        all.push(appended);
    }
    all
}

/// The true expectation for the next commit of a stream.
pub(super) async fn last_expected(log: &Log, stream: &StreamId) -> Expected {
    read(log, stream).await.last().map_or(Expected::NoStream, |commit| Expected::At(commit.version))
}

pub(super) async fn read(log: &Log, stream: &StreamId) -> Vec<RecordedCommit> {
    commits(within(log.read_stream(stream, None, Consistency::Leader)).await.expect("a stream can be read"))
}

/// What must be commits, all of it.
pub(super) fn commits(stored: Vec<Stored>) -> Vec<RecordedCommit> {
    stored
        .into_iter()
        .map(|stored| stored.into_commit().expect("nobody else has put anything there"))
        .collect()
}

pub(super) async fn subscribe(log: &Log, filter: Filter, after: Position) -> Subscription {
    within(log.subscribe(filter, after)).await.expect("a log can be subscribed to")
}

pub(super) async fn head(log: &Log) -> Position {
    within(log.head()).await.expect("the head can be asked for")
}

/// The next `count` commits of a subscription.
pub(super) async fn heard(subscription: &mut Subscription, count: usize) -> Vec<RecordedCommit> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let next = within(subscription.next()).await.expect("a subscription does not end");
        all.push(next.expect("a subscription delivers"));
    }
    commits(all)
}

pub(super) fn positions(commits: &[RecordedCommit]) -> Vec<Position> {
    commits.iter().map(|commit| commit.position).collect()
}

pub(super) fn any_of(patterns: &[Pattern]) -> Filter {
    Filter { any_of: patterns.to_vec() }
}

pub(super) fn is_conflict(answer: &Result<Appended, AppendError>) -> bool {
    matches!(answer, Err(AppendError::Conflict { .. }))
}

/// The future's value, or a panic when it does not come within [`PATIENCE`].
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("an answer comes within the suite's patience")
}

/// Asks until the condition holds, or panics after [`PATIENCE`].
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let asked = async {
        let mut again = tokio::time::interval(Duration::from_millis(2));
        while !holds() {
            again.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asked).await.is_ok(), "{what} within {PATIENCE:?}");
}
