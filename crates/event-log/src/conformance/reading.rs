//! Facts about reading one stream, and about the log's head and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use super::workbench::{
    Log, commit_on, commits, head, payload_of, positions, read, route, stored, stored_in_a_row, stream,
    within,
};
use crate::{Consistency, Expected, Position, StreamVersion};

/// A stream that nobody wrote is empty, not an error, with both consistencies.
pub async fn an_unknown_stream_is_empty(log: Log) {
    let unknown = stream("ticket", "unknown");
    for consistency in [Consistency::Any, Consistency::Leader] {
        for after in [None, Some(StreamVersion::from_raw(7))] {
            let answer = within(log.read_stream(&unknown, after, consistency)).await;
            assert!(answer.expect("an unknown stream can be read").is_empty());
        }
    }
}

/// Position, version, stream, route and payload come back as they were acknowledged.
pub async fn a_stream_is_read_back_as_it_was_acknowledged(log: Log) {
    let (one, other) = (stream("ticket", "1"), stream("branch", "1"));
    let mut expected = Expected::NoStream;
    let mut sent = Vec::new();
    for (branch, class) in [("B0", "case"), ("B1", "expedite"), ("_", "policy"), ("B0", "case")] {
        stored_in_a_row(&log, &other, 1).await;
        let append = commit_on(&one, expected, route(branch, class));
        let appended = stored(&log, append.clone()).await;
        expected = Expected::At(appended.version);
        sent.push((append, appended));
    }
    let kept = read(&log, &one).await;
    assert_eq!(kept.len(), sent.len());
    for (commit, (append, appended)) in kept.iter().zip(&sent) {
        assert_eq!((commit.position, commit.version), (appended.position, appended.version));
        assert_eq!((&commit.stream, &commit.route), (&append.stream, &append.route));
        assert_eq!(commit.payload, payload_of(append.commit_id));
    }
}

/// Reading after a version gives the rest of the stream: all of it, or nothing at its end.
pub async fn a_stream_is_read_after_a_version(log: Log) {
    let one = stream("ticket", "1");
    let mut all = Vec::new();
    for _ in 0..5 {
        all.extend(stored_in_a_row(&log, &one, 1).await);
        stored_in_a_row(&log, &stream("ticket", "2"), 1).await;
    }
    let all_positions: Vec<Position> = all.iter().map(|appended| appended.position).collect();
    for consistency in [Consistency::Any, Consistency::Leader] {
        for (n, appended) in all.iter().enumerate() {
            let rest = within(log.read_stream(&one, Some(appended.version), consistency)).await;
            let rest = commits(rest.expect("the rest of a stream can be read"));
            assert_eq!(positions(&rest), all_positions[n + 1..], "{consistency:?} after version {n}");
        }
    }
    let beyond = StreamVersion::from_raw(all[4].version.raw() + 100);
    let answer = within(log.read_stream(&one, Some(beyond), Consistency::Leader)).await;
    assert!(answer.expect("a stream can be read beyond its end").is_empty());
}

/// A stream longer than an adapter's page is read whole, with both consistencies.
pub async fn a_long_stream_is_read_whole(log: Log) {
    let long = stream("ticket", "long");
    let all: Vec<Position> = stored_in_a_row(&log, &long, 300).await.iter().map(|a| a.position).collect();
    for consistency in [Consistency::Any, Consistency::Leader] {
        let kept =
            within(log.read_stream(&long, None, consistency)).await.expect("a long stream can be read");
        assert_eq!(positions(&commits(kept)), all, "{consistency:?}");
    }
}

/// Whoever reads a stream that is being written gets its beginning up to some commit, never a hole.
pub async fn a_stream_read_while_it_is_written_has_no_hole(log: Log) {
    let one = stream("ticket", "1");
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (log, one, done) = (log.clone(), one.clone(), done.clone());
        async move {
            let all = stored_in_a_row(&log, &one, 150).await;
            done.store(true, Ordering::Release);
            all
        }
    });
    let mut reads = Vec::new();
    while !done.load(Ordering::Acquire) {
        for consistency in [Consistency::Any, Consistency::Leader] {
            let kept = within(log.read_stream(&one, None, consistency)).await.expect("a stream can be read");
            reads.push(positions(&commits(kept)));
        }
        tokio::task::yield_now().await;
    }
    let all = within(writer).await.expect("the writer does not panic");
    let all: Vec<Position> = all.iter().map(|appended| appended.position).collect();
    for kept in reads {
        assert_eq!(kept, all[..kept.len()], "a read is a beginning of the stream");
    }
}

/// What was acknowledged is in the very next leader read.
pub async fn a_leader_read_contains_what_was_acknowledged(log: Log) {
    let one = stream("ticket", "1");
    let mut expected = Expected::NoStream;
    for n in 0..50 {
        let appended = stored(&log, commit_on(&one, expected, route("B0", "case"))).await;
        let kept = read(&log, &one).await;
        assert_eq!(kept.last().map(|commit| commit.position), Some(appended.position));
        assert_eq!(kept.len(), n + 1);
        expected = Expected::At(appended.version);
    }
}

/// The head of an empty log is [`Position::START`], then the last acknowledged position.
pub async fn the_head_is_the_last_position(log: Log) {
    assert_eq!(head(&log).await, Position::START);
    for n in 0..5 {
        let appended = stored_in_a_row(&log, &stream("ticket", &format!("{n}")), 1).await[0];
        assert_eq!(head(&log).await, appended.position);
    }
}

/// The log's own time is near the machine's and does not go back.
pub async fn the_time_is_plausible_and_never_goes_back(log: Log) {
    let mut last = told(&log).await;
    assert!((wall_clock() - last).abs() < TimeDelta::minutes(1), "{last} is about now");
    for _ in 0..50 {
        let now = told(&log).await;
        assert!(now >= last, "{now} is not before {last}");
        last = now;
    }
}

async fn told(log: &Log) -> DateTime<Utc> {
    within(log.time()).await.expect("the time can be asked for")
}

#[expect(clippy::disallowed_methods, reason = "the suite judges a clock by the machine's own")]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}
