//! The file: created with its law inside, recognised when it is opened again, refused when it is not ours.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cuiban_event_log::LogProblem;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{Config, upgrade};

/// What SQLite's `application_id` says of our files: `cuib`.
pub const APPLICATION_ID: i32 = 0x6375_6962;

/// The version of the table and its triggers, kept in SQLite's `user_version`.
pub const SCHEMA_VERSION: i32 = 2;

/// How often a new file is asked again for write-ahead logging while another process is creating it too.
const WAL_ATTEMPTS_MAX: u32 = 100;
const WAL_RETRY_DELAY: Duration = Duration::from_millis(10);

/// The log's file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no file, and tools do not create one.
    #[error("open the log {path}: there is no log here")]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// The file belongs to something else; it was not touched.
    #[error("open the log {path}: the file is not a cuiban log ({detail})")]
    Foreign {
        /// The file asked for.
        path: PathBuf,
        /// By what it was recognised.
        detail: String,
    },
    /// The file was written by a later cuiban; it was not touched.
    #[error("open the log {path}: its schema version is {found}, this program knows up to {known}")]
    TooNew {
        /// The file asked for.
        path: PathBuf,
        /// The file's version.
        found: i32,
        /// The latest version known here.
        known: i32,
    },
    /// The file's folder does not support what the log needs.
    #[error("open the log {path}: write-ahead logging is refused (journal mode is {journal_mode})")]
    NoWriteAheadLog {
        /// The file asked for.
        path: PathBuf,
        /// What SQLite uses instead.
        journal_mode: String,
    },
    /// SQLite failed.
    #[error("open the log {path}")]
    Sqlite {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The operating system gave no thread for the writer.
    #[error("open the log {path}: start the writer")]
    Thread {
        /// The file asked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Which file was opened: what stands under its name later may be another, or nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened(Option<FileId>);

/// What tells a file from another under the same name, where the operating system has it.
type FileId = (u64, u64);

impl Opened {
    /// The file that has just been opened under this name.
    pub(crate) fn of(path: &Path) -> Self {
        Self(file_id(path).ok())
    }

    /// What is wrong if the file is not under its name any more: whoever opens the log next will not find in it what is
    /// written now.
    pub(crate) fn gone(&self, path: &Path) -> Option<LogProblem> {
        let detail = match file_id(path) {
            Ok(found) if self.0.is_none_or(|opened| opened == found) => return None,
            Ok(_) => format!("{} is another file than the one that was opened", path.display()),
            Err(error) => format!("{}: {error}", path.display()),
        };
        Some(LogProblem { code: "file_missing", detail, stops_writing: true })
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> std::io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> std::io::Result<FileId> {
    std::fs::metadata(path).map(|_| (0, 0))
}

/// Statements keep their plans whatever is bound to them: SQLite as it is bundled would plan each anew each time, in
/// case the values make another index better, and there is no other.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// What a file says of itself.
struct Marks {
    application_id: i32,
    schema_version: i32,
    objects: i64,
}

/// Opens the file for writing; creates it when there is none or an empty one.
pub(crate) fn open_for_writing(config: &Config) -> Result<Connection, OpenError> {
    let path = &config.path;
    let sqlite = |source| sqlite_error(path, source);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(config.busy()).map_err(sqlite)?;
    keep_plans(&connection).map_err(sqlite)?;
    let found = marks(&connection).map_err(sqlite)?;
    if found.is_empty() {
        use_write_ahead_log(&connection, path)?;
        create(&mut connection).map_err(sqlite)?;
    }
    marks(&connection).map_err(sqlite)?.check(path)?;
    use_write_ahead_log(&connection, path)?;
    upgrade::seal_version_1(&mut connection).map_err(sqlite)?;
    // FULL: the write-ahead log is synced at each COMMIT, before anybody hears of the commit.
    connection.pragma_update(None, "synchronous", "FULL").map_err(sqlite)?;
    connection.pragma_update(None, "recursive_triggers", true).map_err(sqlite)?;
    connection.pragma_update(None, "wal_autocheckpoint", config.checkpoint_pages).map_err(sqlite)?;
    // A negative size is in KiB.
    connection.pragma_update(None, "cache_size", -i64::from(config.cache_kib)).map_err(sqlite)?;
    // From here on only the write lock is waited for, by the writer.
    connection.busy_timeout(Duration::ZERO).map_err(sqlite)?;
    Ok(connection)
}

/// Opens an existing file for reading.
pub(crate) fn open_for_reading(config: &Config) -> Result<Connection, OpenError> {
    let path = &config.path;
    if !path.exists() {
        return Err(OpenError::Missing { path: path.clone() });
    }
    let sqlite = |source| sqlite_error(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(config.busy()).map_err(sqlite)?;
    keep_plans(&connection).map_err(sqlite)?;
    marks(&connection).map_err(sqlite)?.check(path)?;
    Ok(connection)
}

impl Marks {
    /// Whether nobody has put anything into the file yet.
    fn is_empty(&self) -> bool {
        self.application_id == 0 && self.schema_version == 0 && self.objects == 0
    }

    fn check(&self, path: &Path) -> Result<(), OpenError> {
        let path = path.to_owned();
        if self.application_id != APPLICATION_ID {
            let detail = format!(
                "its application id is {:#010x}, ours is {APPLICATION_ID:#010x}",
                self.application_id
            );
            return Err(OpenError::Foreign { path, detail });
        }
        if self.schema_version > SCHEMA_VERSION {
            return Err(OpenError::TooNew { path, found: self.schema_version, known: SCHEMA_VERSION });
        }
        Ok(())
    }
}

fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    Ok(Marks {
        application_id: connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        schema_version: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        objects: connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?,
    })
}

/// Puts table, triggers and marks into an empty file, in one transaction; does nothing if another process
/// came first.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !marks(&transaction)?.is_empty() {
        return Ok(());
    }
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// Switches to write-ahead logging. SQLite does not wait for others here, whatever the busy timeout.
fn use_write_ahead_log(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        match connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(journal_mode) => {
                return Err(OpenError::NoWriteAheadLog { path: path.to_owned(), journal_mode });
            }
            Err(error) if is_busy(&error) && attempts < WAL_ATTEMPTS_MAX => {
                std::thread::sleep(WAL_RETRY_DELAY)
            }
            Err(error) => return Err(sqlite_error(path, error)),
        }
    }
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn sqlite_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            OpenError::Foreign { path, detail: "it is no SQLite file".to_owned() }
        }
        _ => OpenError::Sqlite { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> (tempfile::TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::at(folder.path().join("log"));
        (folder, config)
    }

    #[test]
    fn an_empty_file_becomes_a_log_and_is_recognised_again() {
        let (_folder, config) = config();
        std::fs::write(&config.path, b"").unwrap();
        open_for_writing(&config).unwrap();
        open_for_writing(&config).unwrap();
        open_for_reading(&config).unwrap();
    }

    #[test]
    fn refuses_a_file_that_is_no_database_and_leaves_it_alone() {
        let (_folder, config) = config();
        let text = "客户,电话\n".repeat(1_000);
        std::fs::write(&config.path, &text).unwrap();
        assert!(matches!(open_for_writing(&config), Err(OpenError::Foreign { .. })));
        assert!(matches!(open_for_reading(&config), Err(OpenError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&config.path).unwrap(), text);
    }

    #[test]
    fn refuses_another_programs_database() {
        let (_folder, config) = config();
        let other = Connection::open(&config.path).unwrap();
        other.execute_batch("CREATE TABLE customers (name TEXT)").unwrap();
        assert!(matches!(open_for_writing(&config), Err(OpenError::Foreign { .. })));
    }

    #[test]
    fn refuses_a_later_schema() {
        let (_folder, config) = config();
        open_for_writing(&config).unwrap().pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        assert!(matches!(open_for_writing(&config), Err(OpenError::TooNew { found: 3, known: 2, .. })));
    }

    #[test]
    fn reading_does_not_create_a_file() {
        let (_folder, config) = config();
        assert!(matches!(open_for_reading(&config), Err(OpenError::Missing { .. })));
        assert!(!config.path.exists());
    }

    #[test]
    fn sixteen_openers_of_a_new_file_all_succeed() {
        let (_folder, config) = config();
        std::thread::scope(|scope| {
            let openers: Vec<_> =
                (0..16).map(|_| scope.spawn(|| open_for_writing(&config).map(drop))).collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn the_file_itself_refuses_change_removal_and_replacement() {
        let (_folder, config) = config();
        let log = open_for_writing(&config).unwrap();
        let insert =
            "INTO commits VALUES (?1, 'ticket', '1', ?2, 'B0', 'case', zeroblob(16), x'01', zeroblob(32))";
        log.execute(&format!("INSERT {insert}"), (1, 1)).unwrap();
        let shell = Connection::open(&config.path).unwrap();
        for (sql, position, revision) in [
            ("UPDATE commits SET payload = x'02'", 0, 0),
            ("UPDATE OR REPLACE commits SET position = 5", 0, 0),
            ("DELETE FROM commits", 0, 0),
            (&format!("INSERT OR REPLACE {insert}"), 1, 2),
            (&format!("REPLACE {insert}"), 7, 1),
        ] {
            let answer = match position {
                0 => shell.execute(sql, ()),
                _ => shell.execute(sql, (position, revision)),
            };
            assert!(answer.unwrap_err().to_string().contains("append-only"), "{sql}");
        }
        let payload: Vec<u8> = shell.query_row("SELECT payload FROM commits", (), |row| row.get(0)).unwrap();
        assert_eq!(payload, [1]);
    }
}
