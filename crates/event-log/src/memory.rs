//! The in-memory log: the port's promises without a disk, for tests and for the simulation.
//!
//! It is deterministic: nothing in it waits for a timer, draws a number or depends on a hash order, so
//! that under one single-threaded runtime the same calls give the same deliveries. It is deliberately
//! the least obliging log that the port permits: versions are positions (they jump, as on a broker) and
//! a retry is answered with a conflict, so that callers cannot come to rely on more than was promised.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use crate::{
    Append, AppendError, Appended, Consistency, Delivery, EventLog, Expected, Filter, LogError, Position,
    RecordedCommit, StreamId, StreamVersion, Subscription,
};

/// Where a [`MemoryLog`] takes its own time from.
pub type TimeSource = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A log in memory. Clones are handles to the same log; it is gone with the last of them.
///
/// [`EventLog::subscribe`] must be called within a tokio runtime, which may be paused.
#[derive(Clone)]
pub struct MemoryLog {
    kept: Arc<Mutex<Kept>>,
    /// Where each subscriber hears of the head, in the order in which they came: several receivers of one channel
    /// would be woken in an order that nobody knows.
    heads: Arc<Mutex<Vec<watch::Sender<usize>>>>,
    time: TimeSource,
}

/// What is stored. The commit at position `n` is `commits[n - 1]`.
#[derive(Default)]
struct Kept {
    commits: Vec<RecordedCommit>,
    streams: HashMap<StreamId, Vec<Position>>,
}

impl MemoryLog {
    /// How many commits a subscriber's channel holds before its feeder waits.
    pub const SUBSCRIPTION_COMMITS_MAX: usize = 256;

    /// An empty log whose own time is the system's.
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the log's own time is a source, not a reader, of `Clock`"
        )]
        Self::with_time(Arc::new(Utc::now))
    }

    /// An empty log whose own time is `time`, asked at each [`EventLog::time`].
    pub fn with_time(time: TimeSource) -> Self {
        Self { kept: Arc::default(), heads: Arc::default(), time }
    }

    /// Every commit with a position strictly after `after`, in order, without waiting.
    pub fn commits_after(&self, after: Position) -> Vec<RecordedCommit> {
        self.kept().commits.iter().skip(index_after(after)).cloned().collect()
    }

    /// What [`EventLog::append`] does, without a runtime.
    pub fn append_now(&self, append: Append) -> Result<Appended, AppendError> {
        let mut kept = self.kept();
        let actual = kept.version(&append.stream);
        let expected = match append.expected {
            Expected::NoStream => None,
            Expected::At(version) => Some(version),
        };
        if expected != actual {
            return Err(AppendError::Conflict { stream: append.stream, actual });
        }
        let appended = kept.store(append);
        // Told under the lock, so that the head never goes back when two appends race.
        self.heads().retain(|head| head.send(kept.commits.len()).is_ok());
        Ok(appended)
    }

    /// A stream's version; `None` for one without commits.
    pub fn stream_version(&self, stream: &StreamId) -> Option<StreamVersion> {
        self.kept().version(stream)
    }

    fn heads(&self) -> MutexGuard<'_, Vec<watch::Sender<usize>>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn version(&self, stream: &StreamId) -> Option<StreamVersion> {
        Some(StreamVersion::from_raw(self.streams.get(stream)?.last()?.raw()))
    }

    fn store(&mut self, append: Append) -> Appended {
        let raw = self.commits.len() as u64 + 1;
        let (position, version) = (Position::from_raw(raw), StreamVersion::from_raw(raw));
        self.streams.entry(append.stream.clone()).or_default().push(position);
        let Append { stream, route, payload, .. } = append;
        self.commits.push(RecordedCommit { position, stream, version, route, payload });
        Appended { position, version }
    }

    fn stream(&self, stream: &StreamId, after: Option<StreamVersion>) -> Vec<RecordedCommit> {
        let positions = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let after = after.map_or(0, StreamVersion::raw);
        let first = positions.partition_point(|position| position.raw() <= after);
        positions[first..].iter().map(|position| self.commits[position.raw() as usize - 1].clone()).collect()
    }
}

/// The index of the first commit after a position.
fn index_after(position: Position) -> usize {
    usize::try_from(position.raw()).unwrap_or(usize::MAX)
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.append_now(append)
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        _: Consistency,
    ) -> Result<Vec<RecordedCommit>, LogError> {
        Ok(self.kept().stream(stream, after))
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let (deliveries, received) = mpsc::channel(Self::SUBSCRIPTION_COMMITS_MAX);
        let kept = self.kept();
        let (told, head) = watch::channel(kept.commits.len());
        self.heads().push(told);
        drop(kept);
        let feeder = Feeder { kept: self.kept.clone(), head, filter, deliveries };
        tokio::spawn(feeder.run(index_after(after)));
        Ok(Subscription::new(received))
    }

    async fn head(&self) -> Result<Position, LogError> {
        Ok(Position::from_raw(self.kept().commits.len() as u64))
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        Ok((self.time)())
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog").field("head", &self.kept().commits.len()).finish_non_exhaustive()
    }
}

/// Fills one subscriber's channel. Ends when the subscriber is gone, or at the end of the log when the
/// log is gone.
struct Feeder {
    kept: Arc<Mutex<Kept>>,
    head: watch::Receiver<usize>,
    filter: Filter,
    deliveries: mpsc::Sender<Result<Delivery, LogError>>,
}

impl Feeder {
    async fn run(mut self, mut next: usize) {
        let mut caught_up = false;
        loop {
            let end = *self.head.borrow_and_update();
            while next < end {
                let Ok(place) = self.deliveries.reserve().await else { return };
                match self.wanted(&mut next, end) {
                    Some(commit) => place.send(Ok(Delivery::Commit(commit))),
                    None => break,
                }
            }
            if !caught_up {
                caught_up = true;
                if self.deliveries.send(Ok(Delivery::CaughtUp)).await.is_err() {
                    return;
                }
            }
            let log_is_gone = tokio::select! {
                biased;
                () = self.deliveries.closed() => return,
                changed = self.head.changed() => changed.is_err(),
            };
            if log_is_gone && next >= *self.head.borrow() {
                return;
            }
        }
    }

    /// The next wanted commit before `end`; `next` is moved behind it.
    fn wanted(&self, next: &mut usize, end: usize) -> Option<RecordedCommit> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = (*next..end).find(|index| {
            let commit = &kept.commits[*index];
            self.filter.matches(&commit.stream, &commit.route)
        });
        *next = found.map_or(end, |index| index + 1);
        found.map(|index| kept.commits[index].clone())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::{Route, Token, conformance_suite};

    conformance_suite!(async { (MemoryLog::new(), ()) });

    fn commit(id: &str, expected: Expected) -> Append {
        let token = |text: &str| Token::new(text).unwrap();
        Append {
            stream: StreamId { kind: token("ticket"), id: token(id) },
            expected,
            route: Route { branch: token("B0"), class: token("case") },
            commit_id: Uuid::nil(),
            payload: Bytes::from_static(b"x"),
        }
    }

    #[test]
    fn is_read_from_any_position_without_a_runtime() {
        let log = MemoryLog::new();
        for id in ["a", "b", "c"] {
            log.append_now(commit(id, Expected::NoStream)).unwrap();
        }
        let ids =
            |after| log.commits_after(after).iter().map(|c| c.stream.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(Position::START), ["a", "b", "c"]);
        assert_eq!(ids(Position::from_raw(2)), ["c"]);
        assert_eq!(ids(Position::from_raw(9)), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn tells_the_time_it_was_given_and_delivers_under_paused_time() {
        let at = DateTime::UNIX_EPOCH;
        let log = MemoryLog::with_time(Arc::new(move || at));
        assert_eq!(log.time().await.unwrap(), at);
        let mut heard = log.subscribe(Filter::everything(), Position::START).await.unwrap();
        log.append(commit("a", Expected::NoStream)).await.unwrap();
        assert_eq!(heard.next().await.unwrap().unwrap().position, Position::from_raw(1));
    }

    #[tokio::test]
    async fn a_subscription_drains_and_ends_when_the_log_is_gone() {
        let log = MemoryLog::new();
        let mut heard = log.subscribe(Filter::everything(), Position::START).await.unwrap();
        log.append_now(commit("a", Expected::NoStream)).unwrap();
        drop(log);
        assert!(heard.next().await.unwrap().is_ok());
        assert!(heard.next().await.is_none());
    }
}
