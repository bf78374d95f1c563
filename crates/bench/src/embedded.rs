//! A durable command on the embedded log, beside bare group commits of the same bytes into the same kind of file.

use std::path::Path;

use crate::figure::{AnyError, failed};
use crate::office::{Office, contents};
use crate::stopwatch::{per_second, timed, timed_async};
use crate::{BenchError, Figure, Goal};

/// Commands a round: at least so many, and so many for each writer.
const COMMANDS_MIN: usize = 4_000;
const COMMANDS_A_WRITER: usize = 100;

const LIMIT: &str = "bare SQLite group commits of the same bytes, as many a group as there are writers";

/// Registrations a second by so many writers, each waiting for its answer.
pub(crate) async fn durable_commands(rounds: u32, writers: usize) -> Result<Figure, BenchError> {
    let what =
        format!("durable command, embedded log, {writers} writer{}", if writers == 1 { "" } else { "s" });
    let count = COMMANDS_MIN.max(writers * COMMANDS_A_WRITER);
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push(round(writers, count).await.map_err(failed(&what))?);
    }
    Ok(Figure::beside(what, "commands/s", LIMIT, &pairs).goal(Goal::Ratio(0.5)))
}

async fn round(writers: usize, count: usize) -> Result<(f64, f64), AnyError> {
    let folder = tempfile::tempdir()?;
    let office = Office::embedded(folder.path()).await?;
    let (took, result) = timed_async(office.registrations(writers, count)).await;
    result?;
    let found = contents(office.log.as_ref()).await?;
    let payload_bytes = found.payload_bytes / found.commits.max(1);
    let bare = bare_group_commits(&folder.path().join("bare.sqlite"), payload_bytes, writers, count)?;
    Ok((per_second(count, took), bare))
}

/// Appends a second, `group` a transaction, synced as the log syncs.
fn bare_group_commits(
    path: &Path,
    payload_bytes: usize,
    group: usize,
    count: usize,
) -> Result<f64, AnyError> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE commits (position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL,
         revision INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (stream, revision)) STRICT",
    )?;
    let payload = vec![7_u8; payload_bytes];
    let (took, result) = timed(|| -> Result<(), rusqlite::Error> {
        for first in (0..count).step_by(group) {
            let transaction = connection.transaction()?;
            for n in first..(first + group).min(count) {
                transaction
                    .prepare_cached("INSERT INTO commits (stream, revision, payload) VALUES (?1, 1, ?2)")?
                    .execute(rusqlite::params![format!("ticket.{n:036}"), payload])?;
            }
            transaction.commit()?;
        }
        Ok(())
    });
    result?;
    Ok(per_second(count, took))
}
