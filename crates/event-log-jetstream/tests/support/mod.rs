//! What the tests on real servers share.

use std::time::Duration;

use bytes::Bytes;
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Expected, LogError, Position, Route, StreamId,
    Subscription, Token,
};
use cuiban_event_log_jetstream::JetStreamLog;
use uuid::Uuid;

/// How long something that was promised is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId { kind: token("ticket"), id: token(id) }
}

/// A commit whose payload is its id.
pub(crate) fn commit(id: &str, expected: Expected, number: u128) -> Append {
    let commit_id = Uuid::from_u128(number);
    let payload = Bytes::copy_from_slice(commit_id.as_bytes());
    Append {
        stream: stream(id),
        expected,
        route: Route { branch: token("B0"), class: token("case") },
        commit_id,
        payload,
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// The positions of the next `count` commits.
pub(crate) async fn heard(subscription: &mut Subscription, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    while positions.len() < count {
        positions.push(within(subscription.next()).await.unwrap().unwrap().position());
    }
    positions
}

/// Appends `count` commits to a stream as a command handler does: after each answer but "stored" it re-reads the
/// leader's stream and looks for its commit, until it knows.
pub(crate) async fn append_through_everything(log: JetStreamLog, id: String, count: u128) -> Vec<Position> {
    let mut acknowledged: Vec<Appended> = Vec::new();
    for number in 0..count {
        let expected = acknowledged.last().map_or(Expected::NoStream, |last| Expected::At(last.version));
        acknowledged.push(within(append_until_known(&log, commit(&id, expected, number))).await);
    }
    acknowledged.iter().map(|appended| appended.position).collect()
}

async fn append_until_known(log: &JetStreamLog, append: Append) -> Appended {
    let mut again = tokio::time::interval(Duration::from_millis(10));
    loop {
        again.tick().await;
        match log.append(append.clone()).await {
            Ok(appended) => return appended,
            Err(error @ AppendError::TooLarge { .. }) => panic!("{error}"),
            Err(_) => {}
        }
        if let Some(appended) = found(log, &append).await {
            return appended;
        }
    }
}

/// The head, asked for until a broker that has just lost its leader, or is one again, has an answer.
pub(crate) async fn head_once_answered(log: &JetStreamLog) -> Position {
    let mut again = tokio::time::interval(Duration::from_millis(10));
    loop {
        again.tick().await;
        match log.head().await {
            Ok(head) => return head,
            Err(LogError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Where a commit is, if the stream's leader has it.
async fn found(log: &JetStreamLog, append: &Append) -> Option<Appended> {
    let kept = log.read_stream(&append.stream, None, Consistency::Leader).await.ok()?;
    let found = kept.into_iter().find(|stored| *stored.payload() == append.payload)?;
    Some(Appended { position: found.position(), version: found.version() })
}
