//! Reading: a small pool of read-only connections, used on blocking threads.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use cuiban_event_log::{
    BoxError, Filter, Foreign, LogError, LogId, Position, RecordedCommit, Route, Stored, StreamId,
    StreamVersion, Token,
};
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ffi, params, params_from_iter};
use tokio::sync::Semaphore;

use crate::{Config, OpenError, file};

const SELECT: &str = "SELECT position, stream_kind, stream_id, revision, branch, class, payload FROM commits";

/// Read-only connections, opened when first wanted and kept.
pub(crate) struct Readers {
    config: Config,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// What a feeder gets from one look into the file.
pub(crate) struct Page {
    /// What matches, in order.
    pub(crate) stored: Vec<Stored>,
    /// Everything up to here was looked through.
    pub(crate) scanned_to: Position,
    /// Whether that was the end of the log at the time.
    pub(crate) at_end: bool,
}

impl Readers {
    /// Opens a first connection, to know that the file can be read.
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        let first = file::open_for_reading(config)?;
        let places = Semaphore::new(config.readers_max.max(1));
        Ok(Self { config: config.clone(), places, idle: Mutex::new(vec![first]) })
    }

    /// Runs one read on a connection of its own, off the async threads.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        attempted: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, LogError> {
        let place = self.places.acquire().await.map_err(|closed| unavailable(attempted, closed))?;
        let readers = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let connection = readers.take()?;
            let answer = read(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        let answer = task.await;
        drop(place);
        match answer {
            Ok(answer) => answer.map_err(|error| error.named(attempted)),
            Err(join_error) => Err(unavailable(attempted, join_error)),
        }
    }

    fn take(&self) -> Result<Connection, ReadError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => file::open_for_reading(&self.config).map_err(ReadError::Open),
        }
    }
}

/// A read failed; what was attempted is said by [`Readers::run`].
#[derive(Debug)]
pub(crate) enum ReadError {
    Open(OpenError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl ReadError {
    fn named(self, attempted: &'static str) -> LogError {
        match self {
            Self::Open(error) => unavailable(attempted, error),
            // The file ends before its pages do.
            Self::Sqlite(error) if extended_code(&error) == Some(ffi::SQLITE_IOERR_SHORT_READ) => {
                LogError::Damaged { attempted, detail: error.to_string() }
            }
            Self::Sqlite(error) => match error.sqlite_error_code() {
                // Without a code it is rusqlite's: a column of another type, or a text that is none. Neither passes.
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => {
                    LogError::Damaged { attempted, detail: error.to_string() }
                }
                _ => unavailable(attempted, error),
            },
        }
    }
}

fn extended_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

fn unavailable(attempted: &'static str, source: impl Into<BoxError>) -> LogError {
    LogError::Unavailable { attempted, source: source.into() }
}

/// The position of the last commit.
pub(crate) fn head(connection: &Connection) -> Result<Position, ReadError> {
    let mut last = connection.prepare_cached("SELECT coalesce(max(position), 0) FROM commits")?;
    Ok(Position::from_raw(last.query_row((), |row| row.get::<_, i64>(0))?.cast_unsigned()))
}

/// What is stored at a position.
pub(crate) fn at(connection: &Connection, position: Position) -> Result<Option<Stored>, ReadError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} WHERE position = ?1"))?;
    Ok(select.query_row([bound(position.raw())], stored).optional()?)
}

/// The log's id, from its first row.
pub(crate) fn id(connection: &Connection) -> Result<Option<LogId>, ReadError> {
    let mut select = connection.prepare_cached(&format!("{SELECT} ORDER BY position LIMIT 1"))?;
    Ok(select.query_row((), stored).optional()?.map(|first| LogId(first.sha256())))
}

/// All that is stored of a stream after a version, from one snapshot.
pub(crate) fn stream(
    connection: &Connection,
    stream: &StreamId,
    after: Option<StreamVersion>,
) -> Result<Vec<Stored>, ReadError> {
    let sql =
        format!("{SELECT} WHERE stream_kind = ?1 AND stream_id = ?2 AND revision > ?3 ORDER BY revision");
    let mut select = connection.prepare_cached(&sql)?;
    let after = bound(after.map_or(0, StreamVersion::raw));
    let mut rows = select.query(params![stream.kind.as_str(), stream.id.as_str(), after])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row)?);
    }
    Ok(found)
}

/// The filter as SQL, made once for a subscription.
pub(crate) struct PageQuery {
    sql: String,
    tokens: Vec<Token>,
    by_kind: Option<ByKind>,
    page_commits_max: u32,
    scan_positions_max: u32,
}

/// The way past all other kinds' commits, for a filter that names the kinds it wants: along the index of the streams.
struct ByKind {
    sql: String,
    kinds: Vec<Token>,
    /// Whether it is the shorter way; asked for once.
    is_short: OnceLock<bool>,
}

/// Up to how many commits of the wanted kinds the index is the shorter way, in pages.
const SHORT_WAY_PAGES: u32 = 8;

impl PageQuery {
    pub(crate) fn new(filter: &Filter, config: &Config) -> Self {
        let mut tokens = Vec::new();
        let mut alternatives = Vec::new();
        for pattern in &filter.any_of {
            let columns = [
                ("stream_kind", &pattern.kind),
                ("stream_id", &pattern.id),
                ("branch", &pattern.branch),
                ("class", &pattern.class),
            ];
            let mut parts = vec!["TRUE".to_owned()];
            for (column, token) in columns {
                if let Some(token) = token {
                    tokens.push(token.clone());
                    parts.push(format!("{column} = ?{}", tokens.len() + 3));
                }
            }
            alternatives.push(parts.join(" AND "));
        }
        let matches = if alternatives.is_empty() { "TRUE".to_owned() } else { alternatives.join(" OR ") };
        let page = format!("position > ?1 AND position <= ?2 AND ({matches}) ORDER BY position LIMIT ?3");
        // NOT INDEXED: along the positions, so that a page's cost does not depend on the filter.
        let sql = format!("{SELECT} NOT INDEXED WHERE {page}");
        let kinds: Option<Vec<Token>> = filter.any_of.iter().map(|pattern| pattern.kind.clone()).collect();
        let by_kind = kinds.filter(|kinds| !kinds.is_empty()).map(|kinds| {
            let first = tokens.len() + 4;
            let of_kind = of_kind(first..first + kinds.len());
            let sql = format!("{SELECT} NOT INDEXED WHERE position IN ({of_kind}) AND {page}");
            ByKind { sql, kinds, is_short: OnceLock::new() }
        });
        let page_commits_max = config.page_commits_max.max(1);
        Self { sql, tokens, by_kind, page_commits_max, scan_positions_max: config.scan_positions_max.max(1) }
    }

    /// The next page after a position.
    pub(crate) fn page(&self, connection: &Connection, after: Position) -> Result<Page, ReadError> {
        let head = head(connection)?;
        let scan_end = after.raw().saturating_add(self.scan_positions_max.into()).min(head.raw());
        let mut page = Page { stored: Vec::new(), scanned_to: after, at_end: head <= after };
        if page.at_end {
            return Ok(page);
        }
        // Only who is far behind has anything to gain.
        let short_way = match &self.by_kind {
            Some(by_kind) if scan_end < head.raw() && self.is_short(by_kind, connection)? => Some(by_kind),
            _ => None,
        };
        let scan_end = if short_way.is_some() { head.raw() } else { scan_end };
        let kinds = short_way.map_or(&[][..], |by_kind| &by_kind.kinds);
        let sql = short_way.map_or(&self.sql, |by_kind| &by_kind.sql);
        let mut values: Vec<Value> =
            vec![bound(after.raw()).into(), bound(scan_end).into(), self.page_commits_max.into()];
        values.extend(self.tokens.iter().chain(kinds).map(text));
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            page.stored.push(stored(row)?);
        }
        page.scanned_to = match page.stored.last() {
            Some(last) if page.stored.len() == self.page_commits_max as usize => last.position(),
            _ => Position::from_raw(scan_end),
        };
        page.at_end = page.scanned_to >= head;
        Ok(page)
    }

    fn is_short(&self, by_kind: &ByKind, connection: &Connection) -> Result<bool, ReadError> {
        if let Some(known) = by_kind.is_short.get() {
            return Ok(*known);
        }
        let commits_max = self.page_commits_max.saturating_mul(SHORT_WAY_PAGES);
        let of_kind = of_kind(2..2 + by_kind.kinds.len());
        let mut count = connection.prepare_cached(&format!("SELECT count(*) FROM ({of_kind} LIMIT ?1)"))?;
        let values = std::iter::once(Value::from(commits_max)).chain(by_kind.kinds.iter().map(text));
        let found: u32 = count.query_row(params_from_iter(values), |row| row.get(0))?;
        Ok(*by_kind.is_short.get_or_init(|| found < commits_max))
    }
}

/// The positions of the commits whose kinds stand in these parameters, from the index of the streams.
fn of_kind(parameters: std::ops::Range<usize>) -> String {
    let kinds: Vec<_> = parameters.map(|n| format!("?{n}")).collect();
    format!("SELECT position FROM commits WHERE stream_kind IN ({})", kinds.join(", "))
}

fn text(token: &Token) -> Value {
    token.as_str().to_owned().into()
}

/// What SQLite can compare with: its integers end where positions can never be.
fn bound(raw: u64) -> i64 {
    i64::try_from(raw).unwrap_or(i64::MAX)
}

/// A row as one of the log's messages; one whose address is no commit's is somebody else's.
fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let position = Position::from_raw(row.get::<_, i64>(0)?.cast_unsigned());
    let version = StreamVersion::from_raw(row.get::<_, i64>(3)?.cast_unsigned());
    let payload = Bytes::copy_from_slice(row.get_ref(6)?.as_blob()?);
    let words = [
        row.get_ref(1)?.as_str()?,
        row.get_ref(2)?.as_str()?,
        row.get_ref(4)?.as_str()?,
        row.get_ref(5)?.as_str()?,
    ];
    Ok(match words.map(Token::new) {
        [Ok(kind), Ok(id), Ok(branch), Ok(class)] => {
            let (stream, route) = (StreamId { kind, id }, Route { branch, class });
            RecordedCommit { position, stream, version, route, payload }.into()
        }
        _ => Foreign { position, version, address: words.join("."), payload }.into(),
    })
}

#[cfg(test)]
mod tests {
    use cuiban_event_log::Pattern;

    use super::*;

    const SMALL: u32 = 13;

    /// A log of many tickets' commits with a few of the company among them, and its pages for a filter by kind.
    fn pages(tickets: u32, company: u32, kinds: &[&str]) -> (usize, Vec<Vec<Stored>>) {
        let temporary = tempfile::tempdir().unwrap();
        let config = Config {
            page_commits_max: 3,
            scan_positions_max: SMALL,
            ..Config::at(temporary.path().join("log"))
        };
        let connection = file::open_for_writing(&config).unwrap();
        let insert =
            "INSERT INTO commits (stream_kind, stream_id, revision, branch, class, commit_id, payload, seal)
             VALUES (?1, 'A', ?2, 'B0', 'case', zeroblob(16), x'00', zeroblob(32))";
        for n in 1..=tickets.max(company) {
            for (kind, _) in [("ticket", tickets), ("company", company)].iter().filter(|(_, of)| n <= *of) {
                connection.execute(insert, params![kind, n]).unwrap();
            }
        }
        let any_of = kinds.iter().map(|kind| Pattern { kind: Token::new(*kind).ok(), ..Pattern::default() });
        let query = PageQuery::new(&Filter { any_of: any_of.collect() }, &config);
        let (mut cursor, mut looks, mut found) = (Position::START, 0, Vec::new());
        loop {
            let page = query.page(&connection, cursor).unwrap();
            (cursor, looks) = (page.scanned_to, looks + 1);
            found.push(page.stored);
            if page.at_end {
                return (looks, found);
            }
        }
    }

    #[test]
    fn a_few_commits_among_many_of_other_kinds_are_found_without_looking_through_those() {
        let (looks, found) = pages(500, 4, &["company"]);
        assert_eq!((looks, found.iter().map(Vec::len).collect::<Vec<_>>()), (2, vec![3, 1]));
        let positions: Vec<_> = found.iter().flatten().map(|stored| stored.position().raw()).collect();
        assert_eq!(positions, [2, 4, 6, 8]);
    }

    #[test]
    fn many_commits_are_looked_through_in_the_order_of_their_positions() {
        let (looks, found) = pages(50, 50, &["ticket", "company"]);
        assert_eq!(looks, 34);
        let positions: Vec<_> = found.iter().flatten().map(|stored| stored.position().raw()).collect();
        assert_eq!(positions, (1..=100).collect::<Vec<_>>());
    }

    #[test]
    fn the_short_way_is_along_the_index_of_the_streams() {
        let temporary = tempfile::tempdir().unwrap();
        let config = Config::at(temporary.path().join("log"));
        let connection = file::open_for_writing(&config).unwrap();
        let kind = Pattern { kind: Token::new("company").ok(), ..Pattern::default() };
        let query = PageQuery::new(&Filter { any_of: vec![kind] }, &config);
        let plan = |sql: &str| -> Vec<String> {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values = vec![Value::Null; explain.parameter_count()];
            let steps = explain.query_map(params_from_iter(values), |row| row.get(3)).unwrap();
            steps.collect::<Result<_, _>>().unwrap()
        };
        let short = plan(&query.by_kind.as_ref().unwrap().sql).join("\n");
        assert!(short.contains("USING COVERING INDEX") && short.contains("rowid=?"), "{short}");
        assert!(!short.contains("TEMP B-TREE") && !short.contains("SCAN commits"), "{short}");
        let long = plan(&query.sql).join("\n");
        assert!(long.contains("rowid>? AND rowid<?"), "{long}");
    }
}
