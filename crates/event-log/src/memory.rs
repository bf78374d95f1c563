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
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};

use crate::{
    Append, AppendError, Appended, Consistency, Delivery, EventLog, Expected, Filter, Foreign, LogError,
    LogId, LogIdentity, LogStanding, Position, RecordedCommit, Stored, StreamId, StreamVersion, Subscription,
    Token,
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

/// What is stored. The message at position `n` is `stored[n - 1]`.
#[derive(Clone, Default)]
struct Kept {
    stored: Vec<Stored>,
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
        self.stored_after(after).into_iter().filter_map(Stored::into_commit).collect()
    }

    /// The same, with what is none of ours.
    pub fn stored_after(&self, after: Position) -> Vec<Stored> {
        self.kept().stored.iter().skip(index_after(after)).cloned().collect()
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
        self.tell_head(&kept);
        Ok(appended)
    }

    /// Puts a message among the commits that is none of ours: `address` is its four words, `kind.id.branch.class`, of
    /// which one is no token, or something else altogether. It counts for the stream that the first two name.
    ///
    /// # Panics
    ///
    /// If the address is a commit's.
    pub fn put_foreign(&self, address: &str, payload: impl Into<Bytes>) -> Position {
        let words: Vec<_> = address.split('.').collect();
        let is_ours = words.len() == 4 && words.iter().all(|word| Token::new(word).is_ok());
        assert!(!is_ours, "{address} is a commit's address");
        let mut kept = self.kept();
        let position = kept.put_foreign(address.to_owned(), payload.into());
        self.tell_head(&kept);
        position
    }

    /// Takes away everything after `last`, as no log does that is not exchanged for another: what is appended from then on
    /// has its positions.
    pub fn cut_after(&self, last: Position) {
        let mut kept = self.kept();
        kept.stored.truncate(index_after(last));
        for positions in kept.streams.values_mut() {
            positions.retain(|position| *position <= last);
        }
        kept.streams.retain(|_, positions| !positions.is_empty());
        self.tell_head(&kept);
    }

    /// Puts another log's messages in the place of this one's, behind the backs of all who hold a handle.
    pub fn replace_with(&self, other: &Self) {
        let others = other.kept().clone();
        let mut kept = self.kept();
        *kept = others;
        self.tell_head(&kept);
    }

    /// Told under the lock, so that the head never goes back when two appends race.
    fn tell_head(&self, kept: &Kept) {
        self.heads().retain(|head| head.send(kept.stored.len()).is_ok());
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

    fn next(&self) -> (Position, StreamVersion) {
        let raw = self.stored.len() as u64 + 1;
        (Position::from_raw(raw), StreamVersion::from_raw(raw))
    }

    fn store(&mut self, append: Append) -> Appended {
        let (position, version) = self.next();
        self.streams.entry(append.stream.clone()).or_default().push(position);
        let Append { stream, route, payload, .. } = append;
        self.stored.push(RecordedCommit { position, stream, version, route, payload }.into());
        Appended { position, version }
    }

    fn put_foreign(&mut self, address: String, payload: Bytes) -> Position {
        let (position, version) = self.next();
        let mut words = address.split('.').map(Token::new);
        if let (Some(Ok(kind)), Some(Ok(id))) = (words.next(), words.next()) {
            self.streams.entry(StreamId { kind, id }).or_default().push(position);
        }
        self.stored.push(Foreign { position, version, address, payload }.into());
        position
    }

    fn at(&self, position: Position) -> Option<&Stored> {
        self.stored.get(index_after(position).checked_sub(1)?)
    }

    fn stream(&self, stream: &StreamId, after: Option<StreamVersion>) -> Vec<Stored> {
        let positions = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        let after = after.map_or(0, StreamVersion::raw);
        let first = positions.partition_point(|position| position.raw() <= after);
        positions[first..].iter().filter_map(|position| self.at(*position)).cloned().collect()
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
    ) -> Result<Vec<Stored>, LogError> {
        Ok(self.kept().stream(stream, after))
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let (deliveries, received) = mpsc::channel(Self::SUBSCRIPTION_COMMITS_MAX);
        let kept = self.kept();
        let (told, head) = watch::channel(kept.stored.len());
        self.heads().push(told);
        drop(kept);
        let feeder = Feeder { kept: self.kept.clone(), head, filter, deliveries };
        tokio::spawn(feeder.run(index_after(after)));
        Ok(Subscription::new(received))
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        Ok(self.kept().at(position).cloned())
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let id = self.kept().stored.first().map(|first| LogId(first.sha256()));
        Ok(LogIdentity { id, made_at: None })
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        Ok(LogStanding::default())
    }

    async fn head(&self) -> Result<Position, LogError> {
        Ok(Position::from_raw(self.kept().stored.len() as u64))
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
        f.debug_struct("MemoryLog").field("head", &self.kept().stored.len()).finish_non_exhaustive()
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
                    Some(stored) => place.send(Ok(stored.into())),
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

    /// The next wanted message before `end`; `next` is moved behind it.
    fn wanted(&self, next: &mut usize, end: usize) -> Option<Stored> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that was exchanged may end before.
        let end = end.min(kept.stored.len());
        let found = (*next..end).find(|index| self.wants(&kept.stored[*index]));
        *next = found.map_or((*next).max(end), |index| index + 1);
        found.map(|index| kept.stored[index].clone())
    }

    fn wants(&self, stored: &Stored) -> bool {
        match stored {
            Stored::Commit(commit) => self.filter.matches(&commit.stream, &commit.route),
            Stored::Foreign(foreign) => agrees(&self.filter, &foreign.address),
        }
    }
}

/// Whether an address that is none of ours has every word that the filter names.
fn agrees(filter: &Filter, address: &str) -> bool {
    let words: Vec<&str> = address.split('.').collect();
    let named = filter.shared();
    named
        .words()
        .into_iter()
        .enumerate()
        .all(|(n, named)| named.is_none_or(|named| words.get(n) == Some(&named)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;
    use crate::conformance::Intruder;
    use crate::{Cursor, Following, Route, conformance_suite, intrusion_suite};

    conformance_suite!(async { (MemoryLog::new(), ()) });

    intrusion_suite!(async {
        let log = MemoryLog::new();
        (log.clone(), log)
    });

    #[async_trait]
    impl Intruder for MemoryLog {
        async fn put_foreign(&self, words: [&str; 4], payload: &[u8]) {
            Self::put_foreign(self, &words.join("."), Bytes::copy_from_slice(payload));
        }

        async fn cut_after(&self, last: Position) {
            Self::cut_after(self, last);
        }
    }

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
        assert_eq!(heard.next().await.unwrap().unwrap().position(), Position::from_raw(1));
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

    /// A log that answers nothing while it is away, and whose subscriptions break off then.
    #[derive(Debug)]
    struct Away {
        log: MemoryLog,
        is_away: std::sync::atomic::AtomicBool,
    }

    impl Away {
        fn here(&self) -> Result<&MemoryLog, LogError> {
            match self.is_away.load(std::sync::atomic::Ordering::SeqCst) {
                true => Err(LogError::Unavailable { attempted: "ask", source: "away".into() }),
                false => Ok(&self.log),
            }
        }
    }

    #[async_trait]
    impl EventLog for Away {
        async fn append(&self, append: Append) -> Result<Appended, AppendError> {
            self.log.append(append).await
        }
        async fn read_stream(
            &self,
            stream: &StreamId,
            after: Option<StreamVersion>,
            consistency: Consistency,
        ) -> Result<Vec<Stored>, LogError> {
            self.here()?.read_stream(stream, after, consistency).await
        }
        async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
            self.here()?.subscribe(filter, after).await
        }
        async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
            self.here()?.stored_at(position).await
        }
        async fn identity(&self) -> Result<LogIdentity, LogError> {
            self.here()?.identity().await
        }
        async fn standing(&self) -> Result<LogStanding, LogError> {
            self.here()?.standing().await
        }
        async fn head(&self) -> Result<Position, LogError> {
            self.here()?.head().await
        }
        async fn time(&self) -> Result<DateTime<Utc>, LogError> {
            self.here()?.time().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_cannot_be_reached_is_not_another_log() {
        use std::sync::atomic::Ordering;
        use std::time::Duration;
        let log = Arc::new(Away { log: MemoryLog::new(), is_away: false.into() });
        log.log.append_now(commit("a", Expected::NoStream)).unwrap();
        let begin = |from| {
            let log: Arc<dyn EventLog> = log.clone();
            Following::begin(log, Filter::everything(), from, Duration::from_secs(1))
        };
        let mut following = begin(Cursor::START).await.unwrap();
        following.next_batch(9).await.unwrap().unwrap();
        let kept = following.cursor();
        log.is_away.store(true, Ordering::SeqCst);
        assert!(matches!(begin(kept).await, Err(LogError::Unavailable { .. })));
        let quiet = tokio::time::timeout(Duration::from_secs(10), async {
            // It caught up, and nothing else is told.
            while following.next_batch(9).await.unwrap().unwrap().is_empty() {}
        });
        assert!(quiet.await.is_err(), "it waits through ten looks that have no answer");
        log.is_away.store(false, Ordering::SeqCst);
        log.log.append_now(commit("b", Expected::NoStream)).unwrap();
        let batch = following.next_batch(9).await.unwrap().unwrap();
        assert_eq!(batch.last_position(), Some(Position::from_raw(2)));
        log.log.replace_with(&MemoryLog::new());
        assert!(matches!(following.next_batch(9).await.unwrap(), Err(LogError::Replaced { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_goes_on_however_often_the_wait_for_it_is_given_up() {
        use std::time::Duration;
        let log = MemoryLog::new();
        log.append_now(commit("a", Expected::NoStream)).unwrap();
        let shared: Arc<dyn EventLog> = Arc::new(log.clone());
        let mut following =
            Following::begin(shared, Filter::everything(), Cursor::START, Duration::from_secs(1))
                .await
                .unwrap();
        following.next_batch(9).await.unwrap().unwrap();
        log.cut_after(Position::START);
        let other = Append { payload: Bytes::from_static(b"other"), ..commit("b", Expected::NoStream) };
        log.append_now(other).unwrap();
        // Each wait is shorter than the pause between the two questions of a look.
        let noticed = async {
            loop {
                match tokio::time::timeout(Duration::from_millis(100), following.next_batch(9)).await {
                    Ok(Some(Err(error))) => return error,
                    Ok(None) => panic!("the log is not closed"),
                    Ok(Some(Ok(_))) | Err(_) => {}
                }
            }
        };
        let noticed = tokio::time::timeout(Duration::from_secs(5), noticed).await.unwrap();
        assert!(matches!(noticed, LogError::Replaced { .. }), "{noticed}");
    }
}
