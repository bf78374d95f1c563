//! The suite that judges every log, on one SQLite file: through one handle, and through two that take turns.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::conformance::{self, Intruder};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, LogIdentity, LogStanding,
    Position, Stored, StreamId, StreamVersion, Subscription, conformance_suite, intrusion_suite,
};
use cuiban_event_log_sqlite::{Config, SqliteLog};

fn config(folder: &tempfile::TempDir) -> Config {
    // Small pages and windows, so that every fact crosses their borders; a short period, as two handles
    // hear of each other by it alone.
    let path = folder.path().join("log.sqlite");
    Config { path, page_commits_max: 7, scan_positions_max: 13, poll_ms: 10, ..Config::default() }
}

mod one_handle {
    use super::*;

    conformance_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        (SqliteLog::open(config(&folder)).unwrap(), folder)
    });
}

mod two_handles_on_one_file {
    use super::*;

    conformance_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        let open = || SqliteLog::open(config(&folder)).unwrap();
        (InTurns { handles: [open(), open()], turn: AtomicUsize::new(0) }, folder)
    });
}

mod intruded {
    use super::*;

    intrusion_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        (SqliteLog::open(config(&folder)).unwrap(), Shell { folder })
    });
}

/// Somebody with a shell of SQLite's own.
struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn run(&self, statements: &str) {
        let shell = rusqlite::Connection::open(config(&self.folder).path).unwrap();
        shell.busy_timeout(conformance::PATIENCE).unwrap();
        shell.execute_batch(statements).unwrap();
    }
}

#[async_trait]
impl Intruder for Shell {
    async fn put_foreign(&self, [kind, id, branch, class]: [&str; 4], payload: &[u8]) {
        let payload: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        self.run(&format!(
            "INSERT INTO commits (stream_kind, stream_id, revision, branch, class, commit_id, payload, seal)
             SELECT '{kind}', '{id}', coalesce(max(revision), 0) + 1, '{branch}', '{class}', zeroblob(16),
                    x'{payload}', zeroblob(32)
             FROM commits WHERE stream_kind = '{kind}' AND stream_id = '{id}'"
        ));
    }

    async fn cut_after(&self, last: Position) {
        self.run(&format!(
            "BEGIN IMMEDIATE;
             DROP TRIGGER commits_are_never_removed;
             DELETE FROM commits WHERE position > {last};
             UPDATE sqlite_sequence SET seq = {last} WHERE name = 'commits';
             COMMIT"
        ));
    }
}

/// Two separate logs on one file, as two processes would have them; each call goes to the next one.
#[derive(Debug)]
struct InTurns {
    handles: [SqliteLog; 2],
    turn: AtomicUsize,
}

impl InTurns {
    fn next(&self) -> &SqliteLog {
        &self.handles[self.turn.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl EventLog for InTurns {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.next().append(append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<Stored>, LogError> {
        self.next().read_stream(stream, after, consistency).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        self.next().subscribe(filter, after).await
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        self.next().stored_at(position).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.next().identity().await
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        self.next().standing().await
    }

    async fn head(&self) -> Result<Position, LogError> {
        self.next().head().await
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.handles[0].time().await
    }
}
