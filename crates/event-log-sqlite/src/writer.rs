//! The writer: one thread that stores what comes in groups, one transaction each, and answers after its COMMIT.
//!
//! Whatever comes while a COMMIT is syncing waits for the next transaction, so groups form by themselves
//! under load. When the last group was answered and as many may be about to come back, the thread leaves
//! the transaction open for them a moment, bounded twice: by a gap without arrivals and by the whole wait;
//! each is put in as it comes. A lone commit never waits.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cuiban_event_log::{Append, AppendError, BoxError, LogProblem};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::file::Opened;
use crate::store::{Answer, Group, GroupFailure};
use crate::{Config, OpenError, file};

/// How often the file's write lock is looked for while another process has it.
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(1);

/// The handle to the writer's thread; dropping it lets the thread finish what waits, and waits for that.
pub(crate) struct Writer {
    requests: Option<Sender<Request>>,
    places: Arc<Semaphore>,
    room: Room,
    thread: Option<JoinHandle<()>>,
}

/// For how long a disk that was full counts as full, if nothing is stored meanwhile.
const FULL_FOR: Duration = Duration::from_secs(10);

/// Whether the disk has room, as the last group found it. Clones are handles to the same.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<Option<(String, Instant)>>>);

impl Room {
    fn note(&self, stored: &Result<Vec<Answer>, GroupFailure>) {
        let full = match stored {
            Ok(_) => None,
            Err(GroupFailure::NothingStored(error) | GroupFailure::Unknown(error)) => {
                let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
                is_full.then(|| (error.to_string(), monotonic_now()))
            }
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = full;
    }

    fn problem(&self, now: Instant) -> Option<LogProblem> {
        let full = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (said, at) = full.as_ref()?;
        let counts = now.saturating_duration_since(*at) < FULL_FOR;
        counts.then(|| LogProblem { code: "log_full", detail: said.clone(), stops_writing: true })
    }
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
        let connection = file::open_for_writing(config)?;
        let (opened, path) = (Opened::of(&config.path), config.path.clone());
        let room = Room::default();
        let found = room.clone();
        let busy_max = config.busy();
        let (requests, received) = mpsc::channel();
        let mut queue = Queue::new(received, config);
        let run = move || {
            while let Some((first, gathering)) = queue.first() {
                let mut group = vec![first];
                if let Some(gone) = opened.gone(&path) {
                    group.extend(queue.all_waiting());
                    queue.answered = group.len();
                    refuse(group, &gone);
                    continue;
                }
                let stored = store(&connection, busy_max, &mut queue, &gathering, &mut group);
                queue.answered = group.len();
                found.note(&stored);
                answer(stored, group, &signal);
            }
        };
        let thread = std::thread::Builder::new()
            .name("cuiban-log-writer".to_owned())
            .spawn(run)
            .map_err(|source| OpenError::Thread { path: config.path.clone(), source })?;
        let places = Arc::new(Semaphore::new(config.queue_commits_max.max(1)));
        Ok(Self { requests: Some(requests), places, room, thread: Some(thread) })
    }

    /// What keeps it from storing, as far as it has found.
    pub(crate) fn problem(&self) -> Option<LogProblem> {
        self.room.problem(monotonic_now())
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

/// Stores the group's first, and whoever comes in time to be of it.
fn store(
    connection: &Connection,
    busy_max: Duration,
    queue: &mut Queue,
    gathering: &Gathering,
    group: &mut Vec<Request>,
) -> Result<Vec<Answer>, GroupFailure> {
    let mut storing = write_lock(connection, busy_max).and_then(Group::begin).inspect_err(|_| {
        // Another process holds the file for longer than is waited: nobody else shall wait as long again, one by one.
        group.extend(queue.all_waiting());
    })?;
    for stored in 0.. {
        let Some(request) = group.get(stored) else { break };
        storing.put(&request.append)?;
        group.extend(queue.next(stored + 1, gathering));
    }
    storing.commit()
}

/// Takes the file's write lock, waited for at most so long.
///
/// SQLite's own waiting looks ten times a second, and a process that stores group after group leaves the lock free for less than
/// a millisecond at a time: seconds can pass before one finds it. So this looks again after each millisecond.
fn write_lock(connection: &Connection, wait_max: Duration) -> Result<Transaction<'_>, GroupFailure> {
    let until = monotonic_now() + wait_max;
    loop {
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error) if file::is_busy(&error) && monotonic_now() < until => {
                std::thread::sleep(LOCK_RETRY_DELAY)
            }
            taken => return taken.map_err(GroupFailure::NothingStored),
        }
    }
}

/// Answers each of a group.
fn answer(stored: Result<Vec<Answer>, GroupFailure>, group: Vec<Request>, signal: &watch::Sender<()>) {
    let answers = match stored {
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

/// Stores nothing of a group: whoever opens the log next would not find it.
fn refuse(group: Vec<Request>, gone: &LogProblem) {
    tracing::error!(detail = gone.detail, commits = group.len(), "the log's file is gone: nothing is stored");
    for request in group {
        let (stream, source) = (request.append.stream, format!("{}: {}", gone.code, gone.detail).into());
        drop(request.answer.send(Err(AppendError::Unavailable { stream, source })));
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

/// What waits for the thread.
struct Queue {
    received: Receiver<Request>,
    waiting: VecDeque<Request>,
    /// How many were answered by the last group: those who may come back at once.
    answered: usize,
    group_commits_max: usize,
    gather_max: Duration,
    gather_gap_max: Duration,
}

/// How long a group waits for company.
struct Gathering {
    /// As many as are about to come: those who queued during the last COMMIT, and those whom it let go on.
    expected: usize,
    until: Instant,
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

    /// The first of the next group, waited for; `None` when nobody can send any more and all is taken.
    fn first(&mut self) -> Option<(Request, Gathering)> {
        self.waiting.extend(self.received.try_iter());
        let expected = (self.waiting.len() + self.answered).min(self.group_commits_max);
        let first = self.waiting.pop_front().or_else(|| self.received.recv().ok())?;
        Some((first, Gathering { expected, until: monotonic_now() + self.gather_max }))
    }

    /// All who wait now.
    fn all_waiting(&mut self) -> impl Iterator<Item = Request> {
        self.waiting.drain(..).chain(self.received.try_iter())
    }

    /// The next of a group that has `size` already: one that waits, or one that is expected and comes in time.
    fn next(&mut self, size: usize, gathering: &Gathering) -> Option<Request> {
        if size >= self.group_commits_max {
            return None;
        }
        let waiting = self.waiting.pop_front().or_else(|| self.received.try_recv().ok());
        if waiting.is_some() || size >= gathering.expected {
            return waiting;
        }
        let left = gathering.until.saturating_duration_since(monotonic_now());
        self.received.recv_timeout(left.min(self.gather_gap_max)).ok()
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a wait; no one else sees it")]
fn monotonic_now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_full_disk_is_a_problem_until_something_is_stored_or_nobody_has_tried_for_a_while() {
        let (room, now) = (Room::default(), monotonic_now());
        let full = || {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None);
            Err(GroupFailure::NothingStored(error))
        };
        assert_eq!(room.problem(now), None);
        room.note(&full());
        assert!(room.problem(now).is_some_and(|problem| problem.code == "log_full" && problem.stops_writing));
        assert_eq!(room.problem(monotonic_now() + FULL_FOR), None);
        room.note(&Ok(Vec::new()));
        assert_eq!(room.problem(now), None);
    }
}
