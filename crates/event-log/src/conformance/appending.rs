//! Facts about [`EventLog::append`](crate::EventLog::append): the expectation, the answer and what is then stored.

use std::collections::HashSet;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::workbench::{
    Log, commit, commit_on, fresh_id, head, heard, is_conflict, payload_of, positions, read, route, stored,
    stored_in_a_row, stream, subscribe, token, within,
};
use crate::{
    Append, AppendError, Appended, Expected, Filter, Position, RecordedCommit, Route, StreamId, StreamVersion,
};

/// How often a writer tries before the log is judged to refuse what it must store.
const CONTENTION_ATTEMPTS_MAX: usize = 10_000;

/// Branch and class of the n-th racer: racers of one stream take different routes.
fn some_route(n: usize) -> Route {
    route(["B0", "B1", "B2", "_"][n % 4], ["case", "expedite", "transfer"][n % 3])
}

/// Lets 64 commits with one expectation race, and judges that exactly one was stored.
async fn race(log: &Log, stream: &StreamId, expected: Expected, stored_before: usize) {
    let mut racers = JoinSet::new();
    for n in 0..64 {
        let (log, append) = (log.clone(), commit_on(stream, expected, some_route(n)));
        racers.spawn(async move { (append.commit_id, within(log.append(append)).await) });
    }
    let mut winners = Vec::new();
    while let Some(racer) = racers.join_next().await {
        let (id, answer) = racer.expect("a racer does not panic");
        match answer {
            Ok(appended) => winners.push((id, appended)),
            Err(AppendError::Conflict { stream: refused, .. }) => assert_eq!(&refused, stream),
            // Permitted by the port, and a broker's "another one in process" is best answered so.
            Err(AppendError::Unknown { .. }) => {}
            Err(other) => panic!("a racer is answered with won, conflict or unknown, not {other}"),
        }
    }
    let kept = read(log, stream).await;
    assert_eq!(kept.len(), stored_before + 1, "exactly one racer is stored");
    assert_eq!(winners.len(), 1, "exactly one racer hears that it won");
    assert_eq!(kept[stored_before].payload, payload_of(winners[0].0), "the winner is the one that is stored");
    assert_eq!(kept[stored_before].position, winners[0].1.position);
}

/// Of 64 racers over several routes that begin one stream, exactly one wins.
pub async fn exactly_one_of_64_racers_begins_a_stream(log: Log) {
    for n in 0..4 {
        race(&log, &stream("ticket", &format!("raced-{n}")), Expected::NoStream, 0).await;
    }
}

/// Of 64 racers over several routes that continue one stream, exactly one wins, each time.
pub async fn exactly_one_of_64_racers_continues_a_stream(log: Log) {
    let raced = stream("ticket", "raced");
    stored(&log, commit(&raced, Expected::NoStream)).await;
    for before in 1..5 {
        let version = read(&log, &raced).await[before - 1].version;
        race(&log, &raced, Expected::At(version), before).await;
    }
}

/// A version that was overtaken is refused, and nothing is stored.
pub async fn refuses_a_stale_version(log: Log) {
    let one = stream("ticket", "1");
    let all = stored_in_a_row(&log, &one, 3).await;
    for stale in &all[..2] {
        refused(&log, commit(&one, Expected::At(stale.version)), Some(all[2].version)).await;
    }
    assert_eq!(read(&log, &one).await.len(), 3);
}

/// A version that the stream has not reached is refused, and nothing is stored.
pub async fn refuses_a_version_that_lies_ahead(log: Log) {
    let one = stream("ticket", "1");
    let last = stored(&log, commit(&one, Expected::NoStream)).await;
    let ahead = StreamVersion::from_raw(last.version.raw() + 1);
    refused(&log, commit(&one, Expected::At(ahead)), Some(last.version)).await;
    let far = StreamVersion::from_raw(last.version.raw() + 1_000_000);
    refused(&log, commit(&one, Expected::At(far)), Some(last.version)).await;
    assert_eq!(read(&log, &one).await.len(), 1);
}

/// A version of a stream that has no commit is refused.
pub async fn refuses_a_version_of_an_unknown_stream(log: Log) {
    let known = stored(&log, commit(&stream("ticket", "known"), Expected::NoStream)).await;
    let unknown = stream("ticket", "unknown");
    refused(&log, commit(&unknown, Expected::At(known.version)), None).await;
    assert!(read(&log, &unknown).await.is_empty());
}

/// `NoStream` is refused once the stream has a commit, on whatever route.
pub async fn refuses_to_begin_an_existing_stream(log: Log) {
    let one = stream("ticket", "1");
    let first = stored(&log, commit(&one, Expected::NoStream)).await;
    for n in 0..4 {
        refused(&log, commit_on(&one, Expected::NoStream, some_route(n)), Some(first.version)).await;
    }
    assert_eq!(read(&log, &one).await.len(), 1);
}

/// A commit on one route makes the version stale that was read on another.
pub async fn the_expectation_covers_all_routes_of_a_stream(log: Log) {
    let one = stream("ticket", "1");
    let first = stored(&log, commit_on(&one, Expected::NoStream, route("B0", "case"))).await;
    let expected = Expected::At(first.version);
    let second = stored(&log, commit_on(&one, expected, route("B1", "expedite"))).await;
    for (branch, class) in [("B0", "case"), ("B0", "expedite"), ("B1", "case"), ("B2", "transfer")] {
        refused(&log, commit_on(&one, expected, route(branch, class)), Some(second.version)).await;
    }
    let next = commit_on(&one, Expected::At(second.version), route("B0", "case"));
    stored(&log, next).await;
    assert_eq!(read(&log, &one).await.len(), 3);
}

/// The same commit sent again is refused, or answered with its first position; it is stored once, and whoever
/// re-reads finds it.
pub async fn a_retry_never_stores_twice(log: Log) {
    let one = stream("ticket", "1");
    let first = commit(&one, Expected::NoStream);
    let mut acknowledged = vec![stored(&log, first.clone()).await];
    let second = commit(&one, Expected::At(acknowledged[0].version));
    acknowledged.push(stored(&log, second.clone()).await);
    for (retried, before) in [(&first, acknowledged[0]), (&second, acknowledged[1])].repeat(3) {
        match within(log.append(retried.clone())).await {
            Ok(answer) => assert_eq!(answer, before, "a recognised retry is answered with the first storing"),
            Err(AppendError::Conflict { .. }) => {}
            Err(other) => panic!("a retry is refused or recognised, not {other}"),
        }
    }
    let kept: Vec<Bytes> = read(&log, &one).await.into_iter().map(|commit| commit.payload).collect();
    assert_eq!(kept, [payload_of(first.commit_id), payload_of(second.commit_id)]);
}

/// A command that is decided again gives other bytes under the same id (it is later now). What is acknowledged is what is
/// stored, byte for byte: of two writers who send one id with different bytes, only the one whose bytes are kept is told so.
pub async fn other_bytes_under_a_known_id_are_never_said_to_be_stored(log: Log) {
    for n in 0..20 {
        let one = stream("ticket", &n.to_string());
        let first = commit(&one, Expected::NoStream);
        let again = Append { payload: Bytes::from_static(b"decided anew"), ..first.clone() };
        let (one_answer, other_answer) =
            tokio::join!(within(log.append(first.clone())), within(log.append(again.clone())));
        let later_answer = within(log.append(again.clone())).await;
        let kept: Vec<Bytes> = read(&log, &one).await.into_iter().map(|commit| commit.payload).collect();
        assert_eq!(kept.len(), 1, "one of the two is stored, once");
        for (sent, answer) in [(&first, one_answer), (&again, other_answer), (&again, later_answer)] {
            match answer {
                Ok(_) => assert_eq!(kept[0], sent.payload, "said to be stored, and other bytes are kept"),
                Err(AppendError::Conflict { .. } | AppendError::Unknown { .. }) => {}
                Err(other) => panic!("the second is refused or unknown, not {other}"),
            }
        }
    }
}

/// Only the expectation decides: a commit id that another stream has used hinders nothing, and is never answered
/// with the other stream's position.
pub async fn a_commit_id_seen_elsewhere_does_not_matter(log: Log) {
    let (one, two) = (stream("ticket", "1"), stream("ticket", "2"));
    let first = commit(&one, Expected::NoStream);
    let before = stored(&log, first.clone()).await;
    let appended = stored(&log, Append { stream: two.clone(), ..first }).await;
    assert!(appended.position > before.position);
    assert_eq!(positions(&read(&log, &two).await), [appended.position]);
}

/// Positions grow strictly in the order of storing, whatever the streams.
pub async fn positions_grow_over_all_streams(log: Log) {
    let mut last = Position::START;
    for n in 0..40 {
        let id = format!("{}", n % 7);
        let appended = stored_in_a_row(&log, &stream("ticket", &id), 1).await[0];
        assert!(appended.position > last, "position {} is after {last}", appended.position);
        last = appended.position;
    }
    assert_eq!(head(&log).await, last);
}

/// Names that differ by case, by a suffix or only by kind are different streams.
pub async fn streams_with_similar_names_are_apart(log: Log) {
    let names = [("ticket", "a"), ("ticket", "A"), ("ticket", "ab"), ("ticket", "a-b"), ("ticket", "a_b")];
    let names = names.into_iter().chain([("tickets", "a"), ("Ticket", "a"), ("a", "ticket"), ("_", "-")]);
    let streams: Vec<StreamId> = names.map(|(kind, id)| stream(kind, id)).collect();
    for each in &streams {
        stored(&log, commit(each, Expected::NoStream)).await;
    }
    for each in &streams {
        let kept = read(&log, each).await;
        assert_eq!(kept.len(), 1, "{each} has its own commit");
        assert_eq!(&kept[0].stream, each);
    }
}

/// Tokens of the full length come back as they were.
pub async fn the_longest_tokens_are_carried(log: Log) {
    let long = |letter: &str| token(&letter.repeat(crate::Token::LENGTH_MAX));
    let one = StreamId { kind: long("k"), id: long("i") };
    let far = Route { branch: long("b"), class: long("c") };
    stored(&log, commit_on(&one, Expected::NoStream, far.clone())).await;
    let kept = read(&log, &one).await;
    assert_eq!((&kept[0].stream, &kept[0].route), (&one, &far));
}

/// No byte and a payload of every byte are both kept as they are, read and heard.
pub async fn any_payload_is_kept_as_it_is(log: Log) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let payloads =
        [Bytes::new(), Bytes::from(every_byte.repeat(256)), Bytes::from_static("催办\r\n\0".as_bytes())];
    let one = stream("ticket", "1");
    let mut expected = Expected::NoStream;
    for payload in &payloads {
        let append = Append { payload: payload.clone(), ..commit(&one, expected) };
        expected = Expected::At(stored(&log, append).await.version);
    }
    let mut subscription = subscribe(&log, Filter::everything(), Position::START).await;
    for kept in [read(&log, &one).await, heard(&mut subscription, 3).await] {
        assert!(kept.iter().map(|commit| &commit.payload).eq(&payloads));
    }
}

/// Larger and larger commits are each stored whole or refused as too large; the log goes on after either.
pub async fn a_megabyte_is_kept_whole_or_refused(log: Log) {
    let one = stream("ticket", "1");
    let mut kept_sizes = Vec::new();
    for size_bytes in [100_000, 1_000_000, 1 << 20, 3 << 20, 9 << 20] {
        let expected = super::workbench::last_expected(&log, &one).await;
        let payload = Bytes::from(vec![0xA5; size_bytes]);
        match within(log.append(Append { payload, ..commit(&one, expected) })).await {
            Ok(_) => kept_sizes.push(size_bytes),
            Err(AppendError::TooLarge { size_bytes: told_bytes, limit_bytes, .. }) => {
                assert!(told_bytes >= size_bytes && told_bytes > limit_bytes, "{told_bytes} > {limit_bytes}");
            }
            Err(other) => panic!("a large commit is stored or refused as too large, not {other}"),
        }
    }
    assert!(kept_sizes.contains(&100_000), "100 kB are taken by every log");
    let kept = read(&log, &one).await;
    assert!(kept.iter().map(|commit| commit.payload.len()).eq(kept_sizes));
    stored_in_a_row(&log, &one, 1).await;
}

/// Sixteen writers on eight contended streams: every acknowledged commit is in the log once, in the order of the
/// positions, and nothing else is.
pub async fn many_writers_lose_and_double_nothing(log: Log) {
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let log = log.clone();
        writers.spawn(async move { contend(&log, &stream("ticket", &format!("{}", writer % 8)), 20).await });
    }
    let mut acknowledged: Vec<(Appended, Bytes)> = Vec::new();
    while let Some(writer) = writers.join_next().await {
        acknowledged.extend(writer.expect("a writer does not panic"));
    }
    acknowledged.sort_by_key(|(appended, _)| appended.position);
    let mut subscription = subscribe(&log, Filter::everything(), Position::START).await;
    let all = heard(&mut subscription, acknowledged.len()).await;
    assert_eq!(head(&log).await, all[all.len() - 1].position, "nothing else was stored");
    for (commit, (appended, payload)) in all.iter().zip(&acknowledged) {
        assert_eq!((commit.position, commit.version), (appended.position, appended.version));
        assert_eq!(&commit.payload, payload);
    }
    judge_versions(&all);
}

/// Appends `count` commits to a stream that others append to as well, re-reading after each conflict.
async fn contend(log: &Log, stream: &StreamId, count: usize) -> Vec<(Appended, Bytes)> {
    let mut acknowledged = Vec::new();
    let mut attempts = 0;
    while acknowledged.len() < count {
        attempts += 1;
        assert!(
            attempts <= CONTENTION_ATTEMPTS_MAX,
            "somebody's append is stored in each round of conflicts"
        );
        let kept = read(log, stream).await;
        let expected = kept.last().map_or(Expected::NoStream, |commit| Expected::At(commit.version));
        let payload = payload_of(fresh_id());
        let append = Append { payload: payload.clone(), ..commit(stream, expected) };
        match within(log.append(append)).await {
            Ok(appended) => acknowledged.push((appended, payload)),
            Err(AppendError::Conflict { .. }) => {}
            Err(AppendError::Unknown { .. }) => {
                let found = read(log, stream).await.into_iter().find(|commit| commit.payload == payload);
                let appended = |c: RecordedCommit| Appended { position: c.position, version: c.version };
                acknowledged.extend(found.map(|commit| (appended(commit), payload)));
            }
            Err(other) => panic!("a contended append is stored, refused or unknown, not {other}"),
        }
    }
    acknowledged
}

/// Versions of each stream grow, positions are never repeated.
fn judge_versions(all: &[RecordedCommit]) {
    let mut last = std::collections::HashMap::new();
    let mut seen = HashSet::new();
    for commit in all {
        assert!(seen.insert(commit.position), "position {} comes once", commit.position);
        let before = last.insert(commit.stream.clone(), commit.version);
        assert!(before.is_none_or(|before| before < commit.version), "{}'s versions grow", commit.stream);
    }
}

/// Judges that an append is refused with a conflict that tells no false version.
async fn refused(log: &Log, append: Append, truly: Option<StreamVersion>) {
    let answer = within(log.append(append)).await;
    assert!(is_conflict(&answer), "a false expectation is a conflict, not {answer:?}");
    if let Err(AppendError::Conflict { actual: Some(told), .. }) = answer {
        assert_eq!(Some(told), truly, "the version told is the stream's");
    }
}
