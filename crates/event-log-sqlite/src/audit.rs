//! The audit: the whole file read once, and everything checked that it says of itself.
//!
//! Three at once, on snapshots of their own: SQLite compares the file's pages and its index with each other, a reader
//! takes the rows in their order, and the caller's thread checks positions and seals and looks at each commit. What
//! is read is never trusted to be text, a token, or of any length.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use cuiban_event_log::Position;
use rusqlite::{Connection, Row};

use crate::seal::{End, Seal, Sealed, payload_hash};
use crate::{Config, OpenError, file};

/// How many rows go from the reader to the checker at a time.
const BATCH_ROWS: usize = 256;
/// How many batches wait between them.
const BATCHES_WAITING_MAX: usize = 8;
/// What SQLite's check says of a sound file.
const SOUND: &str = "ok";

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// How many commits were read.
    pub commits: u64,
    /// The last position that was ever given.
    pub head: Position,
    /// The last row's seal. Noted elsewhere, it tells a log that was replaced as a whole.
    pub seal: Seal,
    /// What is wrong, at most [`FAULTS_MAX`] of it, in the order of the log.
    pub faults: Vec<AuditFault>,
}

/// How many faults an audit tells.
pub const FAULTS_MAX: usize = 1_000;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFault {
    /// The place in the log; `None` where it cannot be told.
    pub position: Option<Position>,
    /// The commit's stream as stored, `kind.id`; `None` for a commit that is gone or cannot be read.
    pub stream: Option<String>,
    /// The commit's revision as stored.
    pub revision: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

/// One commit on its way through an audit.
#[derive(Debug)]
pub struct AuditedCommit<'a> {
    /// Its place in the log.
    pub position: Position,
    /// Its stream's kind.
    pub stream_kind: &'a str,
    /// Its stream's id.
    pub stream_id: &'a str,
    /// Its revision by the row.
    pub revision: u64,
    /// The encoded commit.
    pub payload: &'a [u8],
    /// SHA-256 of it.
    pub payload_hash: [u8; 32],
    /// The row's seal as stored.
    pub seal: Seal,
}

/// A log's file cannot be audited at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file is older than the seals.
    #[error(
        "audit the log {path}: its schema version is {found}, which had no seals; it gets them when it is opened for writing"
    )]
    Unsealed {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
}

/// Audits the file; every commit that can be read is also shown to `look`, in order.
pub fn audit(config: &Config, mut look: impl FnMut(&AuditedCommit<'_>)) -> Result<Audit, AuditError> {
    let (pages, rows) = (file::open_for_reading(config)?, file::open_for_reading(config)?);
    let version: i32 = rows.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap_or_default();
    if version < file::SCHEMA_VERSION {
        return Err(AuditError::Unsealed { path: config.path.clone(), found: version });
    }
    let (sender, batches) = sync_channel(BATCHES_WAITING_MAX);
    std::thread::scope(|scope| {
        let pages = scope.spawn(move || check_pages(&pages));
        let reader = scope.spawn(move || read(&rows, &sender));
        let mut checked = Checked::default();
        checked.all(&batches, &mut look);
        let end =
            reader.join().unwrap_or_else(|_| Err(AuditFault::of_file("the reader has panicked".to_owned())));
        let pages = pages
            .join()
            .unwrap_or_else(|_| vec![AuditFault::of_file("SQLite's check has panicked".to_owned())]);
        Ok(checked.audit(end, pages))
    })
}

/// The last position that the file ever gave, 0 where it cannot tell: how far an audit has to go.
pub fn head(config: &Config) -> Result<Position, OpenError> {
    let connection = file::open_for_reading(config)?;
    Ok(End::of(&connection).map_or(Position::START, |end| end.position()))
}

impl AuditFault {
    fn of_file(detail: String) -> Self {
        Self { position: None, stream: None, revision: None, detail }
    }

    fn at(position: i64, detail: String) -> Self {
        Self { position: Some(Position::from_raw(position.cast_unsigned())), ..Self::of_file(detail) }
    }
}

/// The file's law, and SQLite's own comparison of all pages, of each row with its types, and of the rows with the index.
fn check_pages(connection: &Connection) -> Vec<AuditFault> {
    let mut faults = check_integrity(connection);
    match (law_of(connection), law()) {
        (Ok(found), Ok(law)) if found == law => {}
        (Ok(_), Ok(_)) => {
            faults.push(AuditFault::of_file(
                "the table or its triggers are not as cuiban made them".to_owned(),
            ));
        }
        (Err(error), _) | (_, Err(error)) => {
            faults.push(AuditFault::of_file(format!("the table and its triggers cannot be read: {error}")));
        }
    }
    faults
}

/// What the file says that its table, index and triggers are.
fn law_of(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let mut select = connection.prepare("SELECT type || ' ' || name, sql FROM sqlite_schema ORDER BY 1")?;
    select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The same of a new file.
fn law() -> rusqlite::Result<Vec<(String, Option<String>)>> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(include_str!("schema.sql"))?;
    law_of(&fresh)
}

fn check_integrity(connection: &Connection) -> Vec<AuditFault> {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut select = connection.prepare("PRAGMA integrity_check(100)")?;
        select.query_map((), |row| row.get(0))?.collect()
    };
    match check() {
        Ok(said) if said == [SOUND] => Vec::new(),
        Ok(said) => said.into_iter().map(|said| fault_of_pages(connection, &said)).collect(),
        Err(error) => vec![AuditFault::of_file(format!("SQLite's check ended: {error}"))],
    }
}

/// What SQLite says, with the commit that it means where it counts one: `row 17 missing from index …`.
fn fault_of_pages(connection: &Connection, said: &str) -> AuditFault {
    let detail = format!("SQLite's check: {}", said.replace('\n', " "));
    let nth = said.strip_prefix("row ").and_then(|said| said.split(' ').next()?.parse::<i64>().ok());
    let row = nth.and_then(|nth| {
        let sql = "SELECT position, stream_kind || '.' || stream_id, revision FROM commits NOT INDEXED
                   ORDER BY position LIMIT 1 OFFSET ?1";
        connection.query_row(sql, [nth - 1], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?))).ok()
    });
    match row {
        Some((position, stream, revision)) => AuditFault {
            stream: Some(stream),
            revision: Some(revision.cast_unsigned()),
            ..AuditFault::at(position, detail)
        },
        None => AuditFault::of_file(detail),
    }
}

/// Rows as they are stored, one behind the other in one piece of memory.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    rows: Vec<StoredRow>,
}

struct StoredRow {
    position: i64,
    revision: i64,
    /// Where each column ends in the batch's bytes: kind, id, branch, class, commit id, payload, seal.
    ends: [usize; 7],
}

/// Sends all rows of one snapshot; answers with its end, or with why it cannot be read further.
fn read(connection: &Connection, batches: &SyncSender<Batch>) -> Result<End, AuditFault> {
    let mut last = 0;
    let mut send_all = || -> rusqlite::Result<End> {
        let snapshot = connection.unchecked_transaction()?;
        let end = End::of(&snapshot)?;
        let mut select = snapshot.prepare(
            "SELECT position, revision, stream_kind, stream_id, branch, class, commit_id, payload, seal
             FROM commits NOT INDEXED ORDER BY position",
        )?;
        let mut rows = select.query(())?;
        let mut batch = Batch::default();
        let result = loop {
            match rows.next() {
                Ok(Some(row)) => last = batch.push(row)?,
                Ok(None) => break Ok(end),
                Err(error) => break Err(error),
            }
            // A receiver that has gone wants no more.
            if batch.rows.len() == BATCH_ROWS && batches.send(std::mem::take(&mut batch)).is_err() {
                break Ok(end);
            }
        };
        drop(batches.send(batch));
        result
    };
    let end = send_all();
    end.map_err(|error| AuditFault::at(last + 1, format!("cannot be read, nor what follows: {error}")))
}

impl Batch {
    fn push(&mut self, row: &Row<'_>) -> rusqlite::Result<i64> {
        let mut ends = [0; 7];
        for (column, end) in (2..).zip(&mut ends) {
            // A column of another type has no bytes, and is found by its seal.
            let value = row.get_ref(column)?;
            self.bytes.extend_from_slice(value.as_bytes_or_null().ok().flatten().unwrap_or_default());
            *end = self.bytes.len();
        }
        let (position, revision) = (row.get(0)?, row.get(1).unwrap_or_default());
        self.rows.push(StoredRow { position, revision, ends });
        Ok(position)
    }

    /// Each row with its columns.
    fn rows(&self) -> impl Iterator<Item = (&StoredRow, [&[u8]; 7])> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let columns = row.ends.map(|end| {
                let column = &self.bytes[start..end];
                start = end;
                column
            });
            (row, columns)
        })
    }
}

/// What has been checked so far.
struct Checked {
    commits: u64,
    last: End,
    faults: Vec<AuditFault>,
}

impl Default for Checked {
    fn default() -> Self {
        Self { commits: 0, last: End { position: 0, seal: Seal::START }, faults: Vec::new() }
    }
}

impl Checked {
    fn all(&mut self, batches: &Receiver<Batch>, look: &mut impl FnMut(&AuditedCommit<'_>)) {
        for batch in batches {
            for (row, columns) in batch.rows() {
                self.check(row, columns, look);
            }
        }
    }

    fn check(&mut self, row: &StoredRow, columns: [&[u8]; 7], look: &mut impl FnMut(&AuditedCommit<'_>)) {
        let [kind, id, branch, class, commit_id, payload, seal] = columns;
        let [Ok(stream_kind), Ok(stream_id), Ok(branch), Ok(class)] =
            [kind, id, branch, class].map(std::str::from_utf8)
        else {
            self.last.position = row.position;
            return self.fault(AuditFault::at(row.position, "an address that is no text".to_owned()));
        };
        let expected = self.last.position + 1;
        let fault = |position, detail| AuditFault {
            stream: Some(format!("{stream_kind}.{stream_id}")),
            revision: Some(row.revision.cast_unsigned()),
            ..AuditFault::at(position, detail)
        };
        if row.position != expected {
            let next = format!(
                "is missing: the next commit is {stream_kind}.{stream_id} revision {} at {}",
                row.revision, row.position
            );
            self.fault(AuditFault::at(expected, next));
        }
        let payload_hash = payload_hash(payload);
        let (position, revision) = (row.position, row.revision);
        let sealed =
            Sealed { position, stream_kind, stream_id, revision, branch, class, commit_id, payload_hash };
        if self.last.seal.next(&sealed).0 != *seal {
            self.fault(fault(position, "its seal does not close the log up to here".to_owned()));
        }
        // After a fault the log goes on from what was found.
        let seal = Seal(seal.try_into().unwrap_or_default());
        self.last = End { position, seal };
        self.commits += 1;
        let position = self.last.position();
        look(&AuditedCommit {
            position,
            stream_kind,
            stream_id,
            revision: revision.cast_unsigned(),
            payload,
            payload_hash,
            seal,
        });
    }

    fn fault(&mut self, fault: AuditFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// The verdict, once the reader has come to the end of its snapshot.
    fn audit(mut self, end: Result<End, AuditFault>, pages: Vec<AuditFault>) -> Audit {
        match end {
            Ok(end) if end.position > self.last.position => {
                let detail = format!("is missing: positions were given up to {}", end.position);
                self.fault(AuditFault::at(self.last.position + 1, detail));
            }
            Ok(end) if end.position < self.last.position => {
                let detail = format!("was never given: positions were given up to {}", end.position);
                self.fault(AuditFault::at(end.position + 1, detail));
            }
            Ok(_) => {}
            Err(fault) => self.fault(fault),
        }
        self.faults.extend(pages);
        self.faults.sort_by_key(|fault| (fault.position.is_none(), fault.position));
        Audit { commits: self.commits, head: self.last.position(), seal: self.last.seal, faults: self.faults }
    }
}
