//! The writer: one thread that stores all waiting commits in one transaction and answers after its COMMIT.
//!
//! Whatever comes while a COMMIT is syncing waits for the next transaction, so groups form by themselves
//! under load. When the last group was answered and as many may be about to come back, the thread gives
//! them a moment, bounded twice: by a gap without arrivals and by the whole wait. A lone commit never waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cuiban_event_log::{Append, AppendError, BoxError};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::store::{Answer, GroupFailure, store};
use crate::{Config, OpenError, file};

/// The handle to the writer's thread; dropping it lets the thread finish what waits, and waits for that.
pub(crate) struct Writer {
    requests: Option<Sender<Request>>,
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

/// One commit on its way to the thread.
struct Request {
    append: Append,
    answer: oneshot::Sender<Answer>,
    _place: OwnedSemaphorePermit,
}

impl Writer {
    /// Opens the file and starts the thread, which announces each stored group by `signal`.
    pub(crate) fn start(config: &Config, signal: watch::Sender<()>) -> Result<Self, OpenError> {
        let mut connection = file::open_for_writing(config)?;
        let (requests, received) = mpsc::channel();
        let mut queue = Queue::new(received, config);
        let run = move || {
            while let Some(group) = queue.next_group() {
                answer(&mut connection, group, &signal);
            }
        };
        let thread = std::thread::Builder::new()
            .name("cuiban-log-writer".to_owned())
            .spawn(run)
            .map_err(|source| OpenError::Thread { path: config.path.clone(), source })?;
        let places = Arc::new(Semaphore::new(config.queue_commits_max.max(1)));
        Ok(Self { requests: Some(requests), places, thread: Some(thread) })
    }

    /// Hands a commit over and waits for its answer.
    pub(crate) async fn append(&self, append: Append) -> Answer {
        let stream = append.stream.clone();
        let (answer, answered) = oneshot::channel();
        let sent = match (self.places.clone().acquire_owned().await, &self.requests) {
            (Ok(place), Some(requests)) => requests.send(Request { append, answer, _place: place }).is_ok(),
            _ => false,
        };
        if !sent {
            return Err(AppendError::Unavailable { stream, source: "the writer has ended".into() });
        }
        let ended =
            |_| Err(AppendError::Unknown { stream, source: "the writer ended without an answer".into() });
        answered.await.unwrap_or_else(ended)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer has panicked");
        }
    }
}

/// Stores a group and answers each of it.
fn answer(connection: &mut Connection, group: Vec<Request>, signal: &watch::Sender<()>) {
    let answers = match store(connection, group.iter().map(|request| &request.append)) {
        Ok(answers) => {
            signal.send_replace(());
            answers
        }
        Err(failure) => failed(failure, &group),
    };
    for (request, answer) in group.into_iter().zip(answers) {
        // Whoever asked may have gone meanwhile; the commit is stored or not all the same.
        drop(request.answer.send(answer));
    }
}

/// A group's failure as everybody's own.
fn failed(failure: GroupFailure, group: &[Request]) -> Vec<Answer> {
    let (at_commit, error) = match failure {
        GroupFailure::NothingStored(error) => (false, error),
        GroupFailure::Unknown(error) => (true, error),
    };
    tracing::error!(%error, at_commit, commits = group.len(), "the log cannot be written");
    let error = Arc::new(error);
    let answer = |request: &Request| {
        let (stream, source): (_, BoxError) = (request.append.stream.clone(), Box::new(error.clone()));
        Err(match at_commit {
            false => AppendError::Unavailable { stream, source },
            true => AppendError::Unknown { stream, source },
        })
    };
    group.iter().map(answer).collect()
}

/// What waits for the thread, taken group by group.
struct Queue {
    received: Receiver<Request>,
    waiting: VecDeque<Request>,
    /// How many were answered by the last group: those who may come back at once.
    answered: usize,
    group_commits_max: usize,
    gather_max: Duration,
    gather_gap_max: Duration,
}

impl Queue {
    fn new(received: Receiver<Request>, config: &Config) -> Self {
        Self {
            received,
            waiting: VecDeque::new(),
            answered: 0,
            group_commits_max: config.batch_commits_max.max(1),
            gather_max: config.gather(),
            gather_gap_max: config.gather_gap(),
        }
    }

    /// The next group, waited for; `None` when nobody can send any more and all is taken.
    fn next_group(&mut self) -> Option<Vec<Request>> {
        self.waiting.extend(self.received.try_iter());
        // Those who queued during the last COMMIT, and those whom it let go on.
        let expected = (self.waiting.len() + self.answered).min(self.group_commits_max);
        if self.waiting.is_empty() {
            self.waiting.push_back(self.received.recv().ok()?);
        }
        self.gather(expected);
        let group: Vec<_> = self.waiting.drain(..self.waiting.len().min(self.group_commits_max)).collect();
        self.answered = group.len();
        Some(group)
    }

    /// Waits a moment for as many as are expected.
    fn gather(&mut self, expected: usize) {
        self.waiting.extend(self.received.try_iter());
        if self.waiting.len() >= expected {
            return;
        }
        let end = monotonic_now() + self.gather_max;
        while self.waiting.len() < expected {
            let left = end.saturating_duration_since(monotonic_now());
            match self.received.recv_timeout(left.min(self.gather_gap_max)) {
                Ok(request) => self.waiting.push_back(request),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            self.waiting.extend(self.received.try_iter());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a wait of microseconds; no one else sees it")]
fn monotonic_now() -> Instant {
    Instant::now()
}
