//! The file: opened for one process, recognised, put aside when it is damaged.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// What SQLite's `application_id` says of our files: `cuid`.
const APPLICATION_ID: i32 = 0x6375_6964;
/// The version of the tables, kept in SQLite's `user_version`.
const SCHEMA_VERSION: i32 = 1;
/// How often a damaged file's next free name is looked for.
const DAMAGED_FILES_MAX: u32 = 1_000;
/// How long a process that is just ending may keep the file locked.
const LOCK_WAIT: Duration = Duration::from_secs(1);

const SCHEMA: &str = "
CREATE TABLE record (
    key       TEXT    NOT NULL PRIMARY KEY,
    channel   TEXT    NOT NULL,
    version   INTEGER NOT NULL UNIQUE,
    stored_us INTEGER NOT NULL,
    body      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX record_by_channel ON record (channel, version);
CREATE INDEX record_by_time ON record (stored_us);
CREATE TABLE counter (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (1, 0);
";

/// The file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("open the record of deliveries {path}: another process has it")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to something else, or to a later cuiban; it was not touched.
    #[error("open the record of deliveries {path}: it is not one that this program knows ({detail})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// By what it was recognised.
        detail: String,
    },
    /// SQLite failed.
    #[error("open the record of deliveries {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The operating system refused a file's new name, or a thread.
    #[error("open the record of deliveries {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Opens the file, a new one where there is none or where it is damaged.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    match open_once(path) {
        Err(OpenError::Sqlite { source, .. }) if is_damage(&source) => {
            let aside = put_aside(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
            tracing::warn!(
                aside = %aside.display(), error = &source as &dyn std::error::Error,
                "the record of deliveries is damaged and was put aside; what it held counts as settled"
            );
            open_once(path)
        }
        opened => opened,
    }
}

fn open_once(path: &Path) -> Result<Connection, OpenError> {
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::Taken { path: path.to_owned() }
        }
        _ => OpenError::Sqlite { path: path.to_owned(), source },
    };
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(LOCK_WAIT).map_err(failed)?;
    // Before the first access: the lock is then kept until the process ends, and needs no shared memory.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    if tables > 0 {
        let (application, version) =
            (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
        if application != APPLICATION_ID || version != SCHEMA_VERSION {
            let detail = format!("application {application:#x}, version {version}");
            return Err(OpenError::Foreign { path: path.to_owned(), detail });
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    if tables == 0 {
        let create = format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; \
             PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        );
        connection.execute_batch(&create).map_err(failed)?;
    }
    let sound: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if sound != "ok" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(failed(rusqlite::Error::SqliteFailure(code, Some(sound))));
    }
    // This process alone can have the file: each notifier that held a lease has ended.
    connection.execute("DELETE FROM record WHERE key LIKE '%.lease.%'", []).map_err(failed)?;
    Ok(connection)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn put_aside(path: &Path) -> std::io::Result<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let free =
        (1..DAMAGED_FILES_MAX).map(|n| format!(".damaged-{n}")).find(|suffix| !beside(suffix).exists());
    let suffix = free.ok_or_else(|| std::io::Error::other("too many damaged files lie beside it"))?;
    for part in ["-wal", "-shm"] {
        // The log of writes belongs to the file, where there is one.
        match std::fs::rename(beside(part), beside(&format!("{suffix}{part}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, beside(&suffix)).map(|()| beside(&suffix))
}
