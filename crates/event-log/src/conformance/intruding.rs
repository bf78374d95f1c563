//! Facts about what others do to the log's storage: messages of their own among the commits, and another log in its place.

use async_trait::async_trait;

use super::following::{begun, exchanged, following, is_replaced, take_up_to};
use super::workbench::{
    Log, any_of, commit, commit_on, head, is_conflict, read, route, stored, stored_in_a_row, stream,
    subscribe, token, within,
};
use crate::{
    Appended, Consistency, Cursor, Expected, Filter, Foreign, LogError, Pattern, Position, Stored,
    StreamVersion, Subscription,
};

/// Who reaches behind the port into an adapter's storage.
#[async_trait]
pub trait Intruder: Send + Sync {
    /// Stores a message whose address has these words: kind, id, branch and class, of which one is no token.
    async fn put_foreign(&self, words: [&str; 4], payload: &[u8]);

    /// Exchanges the log for one that has only what it stored up to `last`, and goes on differently.
    async fn cut_after(&self, last: Position);
}

async fn next_stored(subscription: &mut Subscription) -> Stored {
    within(subscription.next()).await.expect("a subscription does not end").expect("a subscription delivers")
}

fn foreign(stored: Stored) -> Foreign {
    match stored {
        Stored::Foreign(foreign) => foreign,
        Stored::Commit(commit) => panic!("{commit:?} should be foreign"),
    }
}

/// Foreign messages come where they stand, in history and live, one by one and by batch; what follows them comes too.
pub async fn foreign_messages_are_told_in_their_place(log: Log, intruder: impl Intruder) {
    let one = stream("ticket", "1");
    let strangers = [["ticket", "bad!id", "B0", "case"], ["ticket", "1", "B0", "客户"]];
    stored_in_a_row(&log, &one, 2).await;
    let mut live = subscribe(&log, Filter::everything(), Position::START).await;
    for words in strangers {
        intruder.put_foreign(words, b"garbage").await;
        stored_in_a_row(&log, &stream("branch", "B0"), 1).await;
    }
    let is_foreign = [false, false, true, false, true, false];
    let mut late = subscribe(&log, Filter::everything(), Position::START).await;
    for subscription in [&mut live, &mut late] {
        let mut last = Position::START;
        for (n, is_foreign) in is_foreign.into_iter().enumerate() {
            let next = next_stored(subscription).await;
            assert_eq!(matches!(next, Stored::Foreign(_)), is_foreign, "message {n}");
            assert!(next.position() > last, "{} is after {last}", next.position());
            last = next.position();
            if is_foreign {
                let foreign = foreign(next);
                assert_eq!(&foreign.payload[..], b"garbage");
                assert!(foreign.address.contains(strangers[usize::from(n > 3)][1]), "{}", foreign.address);
            }
        }
    }
    let mut batched = subscribe(&log, Filter::everything(), Position::START).await;
    let (mut commits, mut strange, mut last) = (0, 0, None);
    while commits + strange < is_foreign.len() {
        let batch = within(batched.next_batch(2)).await.expect("stays open").expect("delivers");
        assert!(batch.len() <= 2, "the limit counts both");
        commits += batch.commits.len();
        strange += batch.foreign.len();
        for stored in batch.into_stored() {
            assert!(Some(stored.position()) > last, "{} is after {last:?}", stored.position());
            last = Some(stored.position());
        }
    }
    assert_eq!((commits, strange, last), (4, 2, Some(head(&log).await)));
}

/// Who wants only some hears of the foreign messages whose address agrees, and of every commit that matches.
pub async fn filters_bring_the_foreign_messages_that_agree(log: Log, intruder: impl Intruder) {
    intruder.put_foreign(["ticket", "1", "B0", "ex!pedite"], b"1").await;
    intruder.put_foreign(["ticket", "1", "b0!", "case"], b"2").await;
    let last =
        stored(&log, commit(&stream("ticket", "1"), Expected::At(last_version(&log, "1").await))).await;
    let part = |text: &str| Some(token(text));
    let of_ticket = Pattern { kind: part("ticket"), ..Pattern::default() };
    let of_branch = Pattern { branch: part("B0"), ..of_ticket.clone() };
    for (pattern, expected) in [(of_ticket, 2), (of_branch, 1)] {
        let mut subscription = subscribe(&log, any_of(std::slice::from_ref(&pattern)), Position::START).await;
        let mut strange = 0;
        loop {
            match next_stored(&mut subscription).await {
                Stored::Foreign(_) => strange += 1,
                Stored::Commit(commit) => break assert_eq!(commit.position, last.position),
            }
        }
        assert!(strange >= expected, "{strange} of at least {expected} for {pattern:?}");
    }
}

async fn last_version(log: &Log, id: &str) -> StreamVersion {
    let kept = within(log.read_stream(&stream("ticket", id), None, Consistency::Leader)).await;
    kept.expect("a stream can be read").last().expect("something is stored").version()
}

/// A foreign message in a stream is read in its place, and the next commit has to expect it.
pub async fn a_foreign_message_counts_for_its_stream(log: Log, intruder: impl Intruder) {
    let one = stream("ticket", "1");
    let first = stored(&log, commit(&one, Expected::NoStream)).await;
    intruder.put_foreign(["ticket", "1", "B0", "no!class"], b"x").await;
    let stale = within(log.append(commit(&one, Expected::At(first.version)))).await;
    assert!(is_conflict(&stale), "{stale:?}");
    let next = stored(&log, commit(&one, Expected::At(last_version(&log, "1").await))).await;
    stored_in_a_row_after(&log, next).await;
    for consistency in [Consistency::Any, Consistency::Leader] {
        for after in [None, Some(first.version)] {
            let kept = within(log.read_stream(&one, after, consistency)).await.expect("a stream can be read");
            let kept: Vec<bool> = kept.iter().map(|stored| matches!(stored, Stored::Foreign(_))).collect();
            let all = [vec![false, true], vec![false; 41]].concat();
            assert_eq!(kept, all[usize::from(after.is_some())..], "{consistency:?} after {after:?}");
        }
    }
}

/// Forty more on the stream `ticket.1`, so that a page's border lies behind the foreign one.
async fn stored_in_a_row_after(log: &Log, mut last: Appended) {
    for _ in 0..40 {
        let next = commit_on(&stream("ticket", "1"), Expected::At(last.version), route("B0", "case"));
        last = stored(log, next).await;
    }
}

/// A foreign message can be looked at where it stands.
pub async fn a_foreign_message_is_stored_at_its_position(log: Log, intruder: impl Intruder) {
    intruder.put_foreign(["company", "x!y", "_", "policy"], b"").await;
    let position = head(&log).await;
    let there =
        foreign(within(log.stored_at(position)).await.expect("it can be looked at").expect("is there"));
    assert_eq!((there.position, there.payload.len()), (position, 0));
    let identity = within(log.identity()).await.expect("a log has an identity");
    assert_eq!(identity.id.map(|id| id.0), Some(Stored::Foreign(there).sha256()), "it is the first message");
}

/// A log that is cut back is noticed while it is followed, and when it is begun from a cursor of before.
pub async fn a_following_notices_a_shorter_log(log: Log, intruder: impl Intruder) {
    let all = stored_in_a_row(&log, &stream("ticket", "1"), 10).await;
    let mut running = begun(&log, Filter::everything(), Cursor::START).await;
    take_up_to(&mut running, all[9].position).await;
    let kept = running.cursor();
    intruder.cut_after(all[4].position).await;
    let noticed = exchanged(&mut running).await;
    assert!(matches!(noticed, LogError::Replaced { .. }), "{noticed}");
    let begun_anew = following(&log, Filter::everything(), kept).await;
    assert!(is_replaced(&begun_anew), "{begun_anew:?}");
    begun(&log, Filter::everything(), Cursor::START).await;
}

/// A log that has diverged and grown beyond the follower's cursor is noticed as well: at once or within a few looks,
/// whatever of it was delivered meanwhile.
pub async fn a_following_notices_a_longer_log(log: Log, intruder: impl Intruder) {
    let one = stream("ticket", "1");
    let all = stored_in_a_row(&log, &one, 10).await;
    let mut running = begun(&log, Filter::everything(), Cursor::START).await;
    take_up_to(&mut running, all[9].position).await;
    let kept = running.cursor();
    intruder.cut_after(all[7].position).await;
    stored_in_a_row(&log, &one, 20).await;
    assert!(head(&log).await > kept.position);
    let noticed = exchanged(&mut running).await;
    assert!(matches!(noticed, LogError::Replaced { .. }), "{noticed}");
    assert!(is_replaced(&following(&log, Filter::everything(), kept).await));
}

/// Also where the logs differ only behind the last commit that the follower had wanted.
pub async fn a_following_notices_a_divergence_behind_its_last_commit(log: Log, intruder: impl Intruder) {
    let (wanted, others) = (stream("branch", "B0"), stream("ticket", "1"));
    let last = stored(&log, commit(&wanted, Expected::NoStream)).await;
    let all = stored_in_a_row(&log, &others, 6).await;
    let of_branch = any_of(&[Pattern { kind: Some(token("branch")), ..Pattern::default() }]);
    let mut running = begun(&log, of_branch, Cursor::START).await;
    take_up_to(&mut running, last.position).await;
    intruder.cut_after(all[3].position).await;
    stored_in_a_row(&log, &others, 9).await;
    let noticed = exchanged(&mut running).await;
    assert!(matches!(noticed, LogError::Replaced { .. }), "{noticed}");
}

/// A following passes by foreign messages, and its cursor may stand on one.
pub async fn a_following_stands_on_foreign_messages_too(log: Log, intruder: impl Intruder) {
    stored_in_a_row(&log, &stream("ticket", "1"), 2).await;
    intruder.put_foreign(["ticket", "bad!id", "B0", "case"], b"garbage").await;
    let end = head(&log).await;
    let mut running = begun(&log, Filter::everything(), Cursor::START).await;
    take_up_to(&mut running, end).await;
    let kept = running.cursor();
    assert_eq!((kept.position, kept.sha256.is_some()), (end, true));
    let next = stored_in_a_row(&log, &stream("ticket", "2"), 1).await[0];
    let mut again = begun(&log, Filter::everything(), kept).await;
    for following in [&mut running, &mut again] {
        take_up_to(following, next.position).await;
        assert_eq!(following.cursor().log, within(log.identity()).await.expect("a log has an identity"));
    }
    assert_eq!(read(&log, &stream("ticket", "2")).await.len(), 1);
}
