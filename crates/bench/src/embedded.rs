//! Durable commands on the embedded log, calls alone and whole lives, beside bare group commits of the same bytes into
//! the same kind of file.

use std::path::Path;

use crate::figure::{AnyError, failed};
use crate::office::{COMMANDS_A_LIFE, Office, contents};
use crate::stopwatch::{per_second, timed, timed_async};
use crate::{BenchError, Figure, Goal};

/// Commands a round: at least so many, and so many for each writer.
const COMMANDS_MIN: usize = 4_000;
const COMMANDS_A_WRITER: usize = 1_000;

const LIMIT: &str = "bare SQLite group commits of the same bytes, as many a group as there are writers";

/// Registrations a second by so many writers, each waiting for its answer.
pub(crate) async fn durable_commands(rounds: u32, writers: usize) -> Result<Figure, BenchError> {
    let what = format!("durable command, embedded log, {}", counted(writers));
    Ok(measured(rounds, writers, Work::Calls, what).await?.goal(Goal::Ratio(0.5)))
}

/// Commands a second by so many writers, each of whom takes one ticket after another from its call to its end.
pub(crate) async fn durable_lives(rounds: u32, writers: usize) -> Result<Figure, BenchError> {
    let what = format!("durable command of a whole life, embedded log, {}", counted(writers));
    measured(rounds, writers, Work::Lives, what).await
}

/// What the writers do.
#[derive(Clone, Copy)]
enum Work {
    Calls,
    Lives,
}

fn counted(writers: usize) -> String {
    format!("{writers} writer{}", if writers == 1 { "" } else { "s" })
}

async fn measured(rounds: u32, writers: usize, work: Work, what: String) -> Result<Figure, BenchError> {
    let mut pairs = Vec::new();
    let mut payload_bytes = 0;
    for _ in 0..rounds {
        let pair;
        (pair, payload_bytes) = round(writers, work).await.map_err(failed(&what))?;
        pairs.push(pair);
    }
    Ok(Figure::beside(what, "commands/s", LIMIT, &pairs).note(format!("{payload_bytes} bytes a commit")))
}

/// Ours and the limit, and how many bytes a commit had.
async fn round(writers: usize, work: Work) -> Result<((f64, f64), usize), AnyError> {
    let folder = tempfile::tempdir()?;
    let office = Office::embedded(folder.path()).await?;
    let wanted = COMMANDS_MIN.max(writers * COMMANDS_A_WRITER);
    let (took, done) = timed_async(async {
        match work {
            Work::Calls => office.registrations(writers, wanted).await.map(|()| wanted),
            Work::Lives => {
                let tickets = wanted / COMMANDS_A_LIFE;
                office.lives_in_turn(writers, tickets).await.map(|()| tickets * COMMANDS_A_LIFE)
            }
        }
    })
    .await;
    let count = done?;
    let found = contents(office.log.as_ref()).await?;
    let payload_bytes = found.payload_bytes / found.commits.max(1);
    let bare = bare_group_commits(&folder.path().join("bare.sqlite"), payload_bytes, writers, count)?;
    Ok(((per_second(count, took), bare), payload_bytes))
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
