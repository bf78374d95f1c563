//! What the recorded process writes, and what has to be found afterwards.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cuiban_event_log::{
    Append, Appended, Consistency, EventLog, Expected as Wanted, Filter, Position, RecordedCommit, Route,
    Stored, StreamId, StreamVersion, Token,
};
use cuiban_event_log_sqlite::{Config, SqliteLog};
use uuid::Uuid;

use crate::disk::Disk;
use crate::recording::Recorded;
use crate::scratch;

/// The file that the process tells its acknowledgements in.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
/// Small, so that the write-ahead log is copied into the file again and again, and begun anew.
pub(crate) const CHECKPOINT_PAGES: u32 = 60;

/// How often the process closes the log and opens it again.
const SESSIONS: usize = 3;
const WRITERS: usize = 6;
const COMMITS_OF_A_WRITER: usize = 25;

pub(crate) fn config(folder: &Path) -> Config {
    Config { checkpoint_pages: CHECKPOINT_PAGES, ..Config::at(folder.join("log.sqlite")) }
}

/// Appends from several tasks, to old streams and new ones, and tells each acknowledgement before the next append.
pub(crate) async fn run(folder: &Path) {
    let told = std::fs::File::options().append(true).create(true).open(folder.join(ACKNOWLEDGED)).unwrap();
    let told = Arc::new(Mutex::new(told));
    for _ in 0..SESSIONS {
        let log = SqliteLog::open(config(folder)).unwrap();
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(log.clone(), writer, told.clone()))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    }
}

async fn write(log: SqliteLog, writer: usize, told: Arc<Mutex<std::fs::File>>) {
    for number in 0..COMMITS_OF_A_WRITER {
        // Every third goes to a stream of all times, the others to streams of a few commits.
        let id =
            if number % 3 == 0 { format!("w{writer}") } else { format!("w{writer}-{}", fastrand::u8(..)) };
        let (revision, appended) = append_next(&log, &id).await.unwrap();
        let line = format!("{id} {revision} {}\n", appended.position);
        told.lock().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Appends the stream's next commit.
async fn append_next(log: &SqliteLog, id: &str) -> Result<(u64, Appended), String> {
    let stream = stream(id);
    let kept =
        log.read_stream(&stream, None, Consistency::Leader).await.map_err(|error| error.to_string())?;
    let last = kept.last().map(Stored::version);
    let revision = kept.len() as u64 + 1;
    let append = Append {
        stream,
        expected: last.map_or(Wanted::NoStream, Wanted::At),
        route: Route { branch: token("B0"), class: token("case") },
        commit_id: Uuid::from_u128(revision.into()),
        payload: payload(id, revision),
    };
    let appended = log.append(append).await.map_err(|error| format!("append to {id}: {error:?}"))?;
    Ok((revision, appended))
}

/// Appends to an old stream and to a new one.
pub(crate) async fn append_more(log: &SqliteLog) -> Result<Vec<Commit>, String> {
    let mut commits = Vec::new();
    for id in ["w0", "w0", "afterwards"] {
        let (revision, appended) = append_next(log, id).await?;
        commits.push((id.to_owned(), revision, appended.position));
    }
    Ok(commits)
}

/// A stream's id, a revision in it, and where it stands.
pub(crate) type Commit = (String, u64, Position);

/// What has to be in a log.
#[derive(Clone, Default)]
pub(crate) struct Expected {
    commits: BTreeMap<(String, u64), Position>,
}

impl Expected {
    /// And what these operations acknowledged.
    pub(crate) fn with(&self, ops: &[Recorded]) -> Self {
        let lines = ops.iter().filter_map(|op| match op {
            Recorded::Acknowledged { line } => Some(line.trim_end()),
            _ => None,
        });
        self.clone().and(lines.map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            (word().to_owned(), word().parse().unwrap(), word().parse().unwrap())
        }))
    }

    pub(crate) fn and(mut self, commits: impl IntoIterator<Item = Commit>) -> Self {
        self.commits.extend(commits.into_iter().map(|(id, revision, position)| ((id, revision), position)));
        self
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.commits.len()
    }

    /// Whatever else is on a disk that a process is going to begin on: it will be read, so it has to stay.
    pub(crate) async fn everything_in(&mut self, disk: &Disk) {
        let folder = scratch();
        disk.write(folder.path());
        let log = SqliteLog::open(config(folder.path())).unwrap();
        for commit in all(&log).await.unwrap() {
            self.commits.insert((commit.stream.id.to_string(), commit.version.raw()), commit.position);
        }
    }

    /// All of it is in the log, and nothing that was never sent.
    pub(crate) async fn check(&self, log: &SqliteLog) -> Result<(), String> {
        let mut heads: BTreeMap<String, u64> = BTreeMap::new();
        let mut found: BTreeMap<(String, u64), Position> = BTreeMap::new();
        for commit in all(log).await? {
            let (id, revision) = (commit.stream.id.to_string(), commit.version.raw());
            let head = heads.entry(id.clone()).or_default();
            if revision != *head + 1 {
                return Err(format!("{id} goes from revision {head} to {revision}"));
            }
            *head = revision;
            if commit.payload != payload(&id, revision) {
                return Err(format!("{id} revision {revision} has another content than was sent"));
            }
            found.insert((id, revision), commit.position);
        }
        for ((id, revision), position) in &self.commits {
            match found.get(&(id.clone(), *revision)) {
                Some(at) if at == position => {}
                Some(at) => {
                    return Err(format!("{id} revision {revision} is at {at}, was told at {position}"));
                }
                None => return Err(format!("{id} revision {revision} was acknowledged and is lost")),
            }
        }
        self.check_by_stream(log, &heads).await
    }

    /// The index agrees with the rows.
    async fn check_by_stream(&self, log: &SqliteLog, heads: &BTreeMap<String, u64>) -> Result<(), String> {
        for (id, head) in heads {
            let read = log.read_stream(&stream(id), None, Consistency::Leader).await;
            let read = read.map_err(|error| error.to_string())?;
            if read.last().map(Stored::version) != Some(StreamVersion::from_raw(*head)) {
                return Err(format!("{id} ends before revision {head} when it is read by itself"));
            }
        }
        Ok(())
    }
}

async fn all(log: &SqliteLog) -> Result<Vec<RecordedCommit>, String> {
    let mut subscription =
        log.subscribe(Filter::everything(), Position::START).await.map_err(|error| error.to_string())?;
    let mut commits = Vec::new();
    let patience = Duration::from_secs(60);
    while let Some(batch) = tokio::time::timeout(patience, subscription.next_batch(1_000))
        .await
        .map_err(|_| "the subscription is silent")?
    {
        let batch = batch.map_err(|error| error.to_string())?;
        commits.extend(batch.commits);
        if batch.caught_up {
            return Ok(commits);
        }
    }
    Err("the log was closed while it was read".to_owned())
}

/// A commit's content, by its place alone: some dozens of bytes, or several pages of them.
fn payload(id: &str, revision: u64) -> Bytes {
    let seed = id.bytes().fold(revision, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut draws = fastrand::Rng::with_seed(seed);
    let length = if draws.u8(..10) == 0 { draws.usize(4_000..20_000) } else { draws.usize(40..1_500) };
    std::iter::repeat_with(|| draws.u8(..)).take(length).collect()
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn stream(id: &str) -> StreamId {
    StreamId { kind: token("ticket"), id: token(id) }
}
