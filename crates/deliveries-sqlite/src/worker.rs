//! The one thread that owns the connection: what waits while it syncs is its next transaction.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use chrono::DateTime;
use cuiban_deliveries::{BoxError, Key, PutError, Record, Stored, Version};
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::{oneshot, watch};

/// The most puts in one transaction.
const BATCH_MAX: usize = 256;
/// How often what is older than the retention is deleted, counted in transactions.
const FORGET_EVERY: u32 = 1_000;

pub(crate) enum Asked {
    Get(Key, oneshot::Sender<Result<Option<Stored>, BoxError>>),
    Page {
        channel: Option<ChannelId>,
        after: Version,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<Stored>, BoxError>>,
    },
    Put {
        record: Record,
        expected: Option<Version>,
        answer: oneshot::Sender<Result<Version, PutError>>,
    },
}

type Answered = (oneshot::Sender<Result<Version, PutError>>, Result<Version, PutError>);

/// A record to be put, what is expected in its place, and where the answer goes.
type AskedPut = (Record, Option<Version>, oneshot::Sender<Result<Version, PutError>>);

/// The thread's work.
pub(crate) struct Worker {
    pub(crate) connection: Connection,
    pub(crate) now: Box<dyn Fn() -> Instant + Send>,
    pub(crate) retention: Duration,
    pub(crate) last: watch::Sender<Version>,
}

impl Worker {
    /// Works until nobody can ask any more.
    pub(crate) fn run(mut self, asked: &Receiver<Asked>) {
        let mut transactions = 0_u32;
        while let Ok(first) = asked.recv() {
            let mut puts = Vec::new();
            let mut next = Some(first);
            while let Some(asked_now) = next.take() {
                match asked_now {
                    // Who has put something before must find it.
                    Asked::Get(key, answer) => {
                        self.write(&mut puts);
                        let _ = answer.send(self.get(&key));
                    }
                    Asked::Page { channel, after, limit, answer } => {
                        self.write(&mut puts);
                        let _ = answer.send(self.page(channel.as_ref(), after, limit));
                    }
                    Asked::Put { record, expected, answer } => puts.push((record, expected, answer)),
                }
                if puts.len() < BATCH_MAX {
                    next = asked.try_recv().ok();
                }
            }
            self.write(&mut puts);
            if transactions.is_multiple_of(FORGET_EVERY) {
                self.forget();
            }
            transactions = transactions.wrapping_add(1);
        }
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, BoxError> {
        let mut statement =
            self.connection.prepare_cached("SELECT version, stored_us, body FROM record WHERE key = ?1")?;
        let read = |row: &Row<'_>| Ok(read(row, |body| Some(Record::under(key, body))));
        Ok(statement.query_row([key.to_string()], read).optional()?.transpose()?.flatten())
    }

    fn page(
        &self,
        channel: Option<&ChannelId>,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Stored>, BoxError> {
        let of_channel = if channel.is_some() { "channel = ?1 AND" } else { "?1 IS NULL AND" };
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT version, stored_us, body FROM record WHERE {of_channel} version > ?2 ORDER BY version LIMIT ?3"
        ))?;
        let (after, limit) = (i64::try_from(after.0)?, i64::try_from(limit)?);
        let rows = statement.query_map(params![channel.map(ChannelId::as_str), after, limit], |row| {
            Ok(read(row, readable))
        })?;
        rows.filter_map(|row| row.map_err(BoxError::from).flatten().transpose()).collect()
    }

    /// All in one transaction, or none; each that finds another version is answered so.
    fn write(&mut self, puts: &mut Vec<AskedPut>) {
        if puts.is_empty() {
            return;
        }
        let (stored_at, mut answers) = ((self.now)(), Vec::new());
        let waiting = std::mem::take(puts);
        match write_all(&mut self.connection, stored_at, waiting, &mut answers) {
            Ok(last) => {
                if let Some(last) = last {
                    self.last.send_replace(last);
                }
                for (answer, said) in answers {
                    let _ = answer.send(said);
                }
            }
            Err(error) => {
                let detail = error.to_string();
                for (answer, _) in answers {
                    let _ = answer.send(Err(PutError::Unavailable(detail.clone().into())));
                }
            }
        }
    }

    fn forget(&self) {
        let before = (self.now)() - self.retention;
        let before = before.timestamp_micros();
        if let Err(error) = self.connection.execute("DELETE FROM record WHERE stored_us < ?1", [before]) {
            tracing::warn!(error = &error as &dyn std::error::Error, "old deliveries cannot be deleted");
        }
    }
}

fn write_all(
    connection: &mut Connection,
    stored_at: Instant,
    waiting: Vec<AskedPut>,
    answers: &mut Vec<Answered>,
) -> rusqlite::Result<Option<Version>> {
    // Whatever happens, each of them is answered.
    let mut left = waiting.into_iter();
    let mut all = || -> rusqlite::Result<Option<Version>> {
        let transaction = connection.transaction()?;
        let before: i64 = transaction.query_row("SELECT version FROM counter", [], |row| row.get(0))?;
        let before = before.cast_unsigned();
        let mut last = before;
        for (record, expected, answer) in left.by_ref() {
            answers.push((answer, Err(PutError::Conflict)));
            if let Some(version) = write_one(&transaction, &record, expected, last + 1, stored_at)?
                && let Some(answered) = answers.last_mut()
            {
                answered.1 = Ok(version);
                last = version.0;
            }
        }
        if last > before {
            transaction.execute("UPDATE counter SET version = ?1", [last.cast_signed()])?;
        }
        transaction.commit()?;
        Ok((last > before).then_some(Version(last)))
    };
    let written = all();
    answers.extend(left.map(|(_, _, answer)| (answer, Err(PutError::Conflict))));
    written
}

fn write_one(
    transaction: &Transaction<'_>,
    record: &Record,
    expected: Option<Version>,
    version: u64,
    stored_at: Instant,
) -> rusqlite::Result<Option<Version>> {
    let key = record.key();
    let (text, channel) = (key.to_string(), key.channel().as_str());
    let (body, stored_us) = (record.to_bytes(), stored_at.timestamp_micros());
    let number = version.cast_signed();
    let changed = match expected {
        None => transaction
            .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO NOTHING")?
            .execute(params![text, channel, number, stored_us, body])?,
        Some(expected) => transaction
            .prepare_cached(
                "UPDATE record SET version = ?3, stored_us = ?4, body = ?5 WHERE key = ?1 AND channel = ?2 AND version = ?6",
            )?
            .execute(params![text, channel, number, stored_us, body, expected.0.cast_signed()])?,
    };
    Ok((changed == 1).then_some(Version(version)))
}

/// What followers hear of; nothing of what cannot be read.
fn readable(body: &[u8]) -> Option<Record> {
    let record = Record::from_bytes(body);
    record
        .inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "it is passed by"))
        .ok()
}

fn read(row: &Row<'_>, record: impl Fn(&[u8]) -> Option<Record>) -> Result<Option<Stored>, BoxError> {
    let (version, stored_us, body): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let stored_at = DateTime::from_timestamp_micros(stored_us).ok_or("an instant that is none")?;
    let version = Version(version.cast_unsigned());
    Ok(record(&body).map(|record| Stored { version, stored_at, record }))
}
