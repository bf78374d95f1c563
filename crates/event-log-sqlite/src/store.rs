//! Storing one group of commits: one transaction, one answer each.

use cuiban_event_log::{Append, AppendError, Appended, Expected, Position, StreamVersion};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::seal::{End, Sealed, payload_hash};

const SELECT_LAST: &str =
    "SELECT coalesce(max(revision), 0) FROM commits WHERE stream_kind = ?1 AND stream_id = ?2";
const SELECT_SAME: &str = "
    SELECT position FROM commits
    WHERE stream_kind = ?1 AND stream_id = ?2 AND revision = ?3 AND commit_id = ?4 AND payload = ?5";
const INSERT: &str = "
    INSERT INTO commits (position, stream_kind, stream_id, revision, branch, class, commit_id, payload, seal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// What an append is answered.
pub(crate) type Answer = Result<Appended, AppendError>;

/// Why a group has no answers of its own.
#[derive(Debug)]
pub(crate) enum GroupFailure {
    /// Before COMMIT was attempted: the transaction was rolled back, or never began.
    NothingStored(rusqlite::Error),
    /// At COMMIT. It may have reached the disk: a restart can find it there.
    Unknown(rusqlite::Error),
}

/// A group that is being stored, in one transaction: what is put in is answered when all is committed.
///
/// Dropped before that, the transaction is rolled back.
pub(crate) struct Group<'a> {
    transaction: Transaction<'a>,
    end: End,
    answers: Vec<Answer>,
}

impl<'a> Group<'a> {
    /// Begins in a transaction that holds the file's write lock.
    pub(crate) fn begin(transaction: Transaction<'a>) -> Result<Self, GroupFailure> {
        let end = End::of(&transaction).map_err(GroupFailure::NothingStored)?;
        Ok(Self { transaction, end, answers: Vec::new() })
    }

    /// Stores one more; a conflict is an answer, not a failure.
    pub(crate) fn put(&mut self, append: &Append) -> Result<(), GroupFailure> {
        let answer = insert(&self.transaction, append, &mut self.end);
        self.answers.push(answer.map_err(GroupFailure::NothingStored)?);
        Ok(())
    }

    /// Makes it all durable; the answers in the order in which it was put in.
    pub(crate) fn commit(self) -> Result<Vec<Answer>, GroupFailure> {
        self.transaction.commit().map_err(GroupFailure::Unknown)?;
        Ok(self.answers)
    }
}

/// Checks, then inserts. Nothing comes between the two, as the transaction holds the file's write lock; the
/// table's unique key stands behind them all the same.
fn insert(transaction: &Transaction<'_>, append: &Append, end: &mut End) -> rusqlite::Result<Answer> {
    let (kind, id) = (append.stream.kind.as_str(), append.stream.id.as_str());
    let (branch, class) = (append.route.branch.as_str(), append.route.class.as_str());
    let commit_id = append.commit_id.as_bytes();
    let last = transaction.prepare_cached(SELECT_LAST)?.query_row([kind, id], |row| row.get(0))?;
    let expected = revision(append.expected);
    if expected == Some(last) {
        let (position, revision) = (end.position + 1, last + 1);
        let row = Sealed {
            position,
            stream_kind: kind,
            stream_id: id,
            revision,
            branch,
            class,
            commit_id,
            payload_hash: payload_hash(&append.payload),
        };
        let seal = end.seal.next(&row);
        let payload = &append.payload[..];
        let values = params![position, kind, id, revision, branch, class, commit_id, payload, seal.0];
        transaction.prepare_cached(INSERT)?.execute(values)?;
        *end = End { position, seal };
        return Ok(Ok(appended(position, revision)));
    }
    if let Some(expected) = expected {
        // A retry of what stands exactly where it was to go, byte for byte, is answered with the first storing.
        let mut same = transaction.prepare_cached(SELECT_SAME)?;
        let place = params![kind, id, expected + 1, commit_id, &append.payload[..]];
        let same = same.query_row(place, |row| row.get(0)).optional()?;
        if let Some(position) = same {
            return Ok(Ok(appended(position, expected + 1)));
        }
    }
    let actual = (last > 0).then(|| StreamVersion::from_raw(last.cast_unsigned()));
    Ok(Err(AppendError::Conflict { stream: append.stream.clone(), actual }))
}

/// The revision that the stream must have, 0 for none; `None` for a version that this log never gives.
fn revision(expected: Expected) -> Option<i64> {
    match expected {
        Expected::NoStream => Some(0),
        Expected::At(version) => {
            i64::try_from(version.raw()).ok().filter(|revision| (1..i64::MAX).contains(revision))
        }
    }
}

fn appended(position: i64, revision: i64) -> Appended {
    Appended {
        position: Position::from_raw(position.cast_unsigned()),
        version: StreamVersion::from_raw(revision.cast_unsigned()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cuiban_event_log::{Route, StreamId, Token};
    use rusqlite::{Connection, TransactionBehavior};
    use uuid::Uuid;

    use super::*;
    use crate::{Config, file};

    fn log() -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let connection = file::open_for_writing(&Config::at(folder.path().join("log"))).unwrap();
        (folder, connection)
    }

    fn commit(id: &str, expected: Expected, size_bytes: usize) -> Append {
        let token = |text: &str| Token::new(text).unwrap();
        Append {
            stream: StreamId { kind: token("ticket"), id: token(id) },
            expected,
            route: Route { branch: token("B0"), class: token("case") },
            commit_id: Uuid::nil(),
            payload: Bytes::from(vec![7; size_bytes]),
        }
    }

    fn store<'a>(
        connection: &mut Connection,
        mut appends: impl Iterator<Item = &'a Append>,
    ) -> Result<Vec<Answer>, GroupFailure> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let mut group = Group::begin(transaction)?;
        appends.try_for_each(|append| group.put(append))?;
        group.commit()
    }

    fn stored(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM commits", (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_conflict_does_not_spoil_the_others_of_its_group() {
        let (_folder, mut connection) = log();
        let second = Append { commit_id: Uuid::max(), ..commit("a", Expected::NoStream, 1) };
        let never_given = commit("c", Expected::At(StreamVersion::from_raw(0)), 1);
        let group =
            [commit("a", Expected::NoStream, 1), second, never_given, commit("b", Expected::NoStream, 1)];
        let answers = store(&mut connection, group.iter()).unwrap();
        assert!(answers[0].is_ok() && answers[3].is_ok());
        let one = Some(StreamVersion::from_raw(1));
        assert!(matches!(answers[1], Err(AppendError::Conflict { actual, .. }) if actual == one));
        assert!(matches!(answers[2], Err(AppendError::Conflict { actual: None, .. })));
        assert_eq!(stored(&connection), 2);
    }

    #[test]
    fn a_retry_in_the_same_group_or_later_gets_the_first_position() {
        let (_folder, mut connection) = log();
        let one = commit("a", Expected::NoStream, 1);
        let answers = store(&mut connection, [&one, &one].into_iter()).unwrap();
        let later = store(&mut connection, std::iter::once(&one)).unwrap();
        let first = *answers[0].as_ref().unwrap();
        assert_eq!(answers[1].as_ref().unwrap(), &first);
        assert_eq!(later[0].as_ref().unwrap(), &first);
        assert_eq!(stored(&connection), 1);
    }

    #[test]
    fn a_full_disk_before_commit_stores_nothing_of_the_group_and_passes() {
        let (_folder, mut connection) = log();
        store(&mut connection, std::iter::once(&commit("a", Expected::NoStream, 1))).unwrap();
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
        let group = [commit("b", Expected::NoStream, 1), commit("c", Expected::NoStream, 100_000)];
        let failure = store(&mut connection, group.iter()).unwrap_err();
        assert!(matches!(&failure, GroupFailure::NothingStored(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)));
        assert_eq!(stored(&connection), 1);
        connection.pragma_update_and_check(None, "max_page_count", 1 << 30, |_| Ok(())).unwrap();
        assert_eq!(store(&mut connection, group.iter()).unwrap().len(), 2);
        assert_eq!(stored(&connection), 3);
    }

    #[test]
    fn an_error_at_commit_leaves_the_outcome_unknown_and_the_writer_usable() {
        let (_folder, mut connection) = log();
        // A deferred foreign key fails at COMMIT and nowhere before.
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE empty (id INTEGER PRIMARY KEY);
                 CREATE TABLE spoiler (id INTEGER REFERENCES empty DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER spoil AFTER INSERT ON commits BEGIN INSERT INTO spoiler VALUES (1); END;",
            )
            .unwrap();
        let one = commit("a", Expected::NoStream, 1);
        let failure = store(&mut connection, std::iter::once(&one)).unwrap_err();
        assert!(matches!(failure, GroupFailure::Unknown(_)));
        assert!(connection.is_autocommit(), "no transaction is left open");
        connection.execute_batch("DROP TRIGGER spoil").unwrap();
        assert!(store(&mut connection, std::iter::once(&one)).unwrap()[0].is_ok());
    }
}
