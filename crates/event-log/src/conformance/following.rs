//! Facts about a log's identity, and about [`Following`] one that stays what it is.

use std::time::Duration;

use super::workbench::{Log, commit, head, stored, stored_in_a_row, stream, subscribe, within};
use crate::{Batch, Cursor, Expected, Filter, Following, LogError, Position};

/// How often a following looks, in these facts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(super) async fn following(log: &Log, filter: Filter, from: Cursor) -> Result<Following, LogError> {
    within(Following::begin(log.clone(), filter, from, LOOK_EVERY)).await
}

pub(super) async fn begun(log: &Log, filter: Filter, from: Cursor) -> Following {
    following(log, filter, from).await.expect("it is the log that the cursor stands on")
}

async fn next_batch(following: &mut Following) -> Result<Batch, LogError> {
    within(following.next_batch(512)).await.expect("a following does not end without a word")
}

/// Everything up to a position.
pub(super) async fn take_up_to(following: &mut Following, position: Position) {
    while following.cursor().position < position {
        next_batch(following).await.expect("a following delivers");
    }
}

/// What a following is told next, if it is not a batch of what the exchanged log has.
pub(super) async fn exchanged(following: &mut Following) -> LogError {
    loop {
        if let Err(error) = next_batch(following).await {
            return error;
        }
    }
}

pub(super) fn is_replaced<T: std::fmt::Debug>(answer: &Result<T, LogError>) -> bool {
    matches!(answer, Err(LogError::Replaced { .. }))
}

/// What is stored at a position is told, and that nothing is.
pub async fn what_is_stored_at_a_position_is_told(log: Log) {
    let all = stored_in_a_row(&log, &stream("ticket", "1"), 5).await;
    let mut subscription = subscribe(&log, Filter::everything(), Position::START).await;
    for appended in &all {
        let next = within(subscription.next()).await.expect("does not end").expect("delivers");
        let there = within(log.stored_at(appended.position)).await.expect("it can be looked at");
        assert_eq!(there, Some(next));
    }
    for nowhere in
        [Position::START, Position::from_raw(head(&log).await.raw() + 1), Position::from_raw(u64::MAX)]
    {
        assert_eq!(within(log.stored_at(nowhere)).await.expect("it can be looked at"), None, "{nowhere}");
    }
}

/// A log has an id as soon as something is stored: that of its first message. From then on its identity stays.
pub async fn a_log_keeps_its_identity(log: Log) {
    let identity = async || within(log.identity()).await.expect("a log has an identity");
    let empty = identity().await;
    assert_eq!(empty.id, None);
    let first = stored(&log, commit(&stream("ticket", "1"), Expected::NoStream)).await;
    let begun = identity().await;
    let first = within(log.stored_at(first.position)).await.expect("it can be looked at").expect("is there");
    assert_eq!(begun.id.map(|id| id.0), Some(first.sha256()));
    assert_eq!((begun.made_at, empty.exchanged_for(&begun)), (empty.made_at, None));
    stored_in_a_row(&log, &stream("ticket", "2"), 5).await;
    assert_eq!(identity().await, begun);
}

/// A following goes on from each cursor that it gave, over an empty beginning and many looks, and is told of no exchange.
pub async fn a_following_goes_on_from_its_cursor(log: Log) {
    let mut running = begun(&log, Filter::everything(), Cursor::START).await;
    let empty = running.cursor();
    let mut cursors = vec![empty];
    for _ in 0..4 {
        let all = stored_in_a_row(&log, &stream("ticket", "1"), 20).await;
        take_up_to(&mut running, all[19].position).await;
        cursors.push(running.cursor());
        // Nothing comes, and it is looked a few times.
        let quiet = tokio::time::timeout(LOOK_EVERY * 4, running.next_batch(1)).await;
        assert!(
            !quiet.is_ok_and(|answer| answer.expect("does not end").is_ok_and(|batch| !batch.is_empty()))
        );
    }
    let end = head(&log).await;
    for cursor in cursors {
        let mut again = begun(&log, Filter::everything(), cursor).await;
        take_up_to(&mut again, end).await;
        assert_eq!(again.cursor(), running.cursor());
    }
}

/// A cursor that an older build kept, a position alone, is taken over by a log that reaches it, and by no other.
pub async fn a_position_alone_is_adopted_by_a_log_that_reaches_it(log: Log) {
    let all = stored_in_a_row(&log, &stream("ticket", "1"), 5).await;
    let adopted = begun(&log, Filter::everything(), Cursor::at(all[2].position)).await.cursor();
    let there = within(log.stored_at(all[2].position)).await.expect("it can be looked at").expect("is there");
    assert_eq!((adopted.position, adopted.sha256), (all[2].position, Some(there.sha256())));
    assert_eq!(adopted.log, within(log.identity()).await.expect("a log has an identity"));
    let beyond = Position::from_raw(head(&log).await.raw() + 1);
    assert!(is_replaced(&following(&log, Filter::everything(), Cursor::at(beyond)).await));
}
