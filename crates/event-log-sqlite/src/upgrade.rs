//! An older file's rows, brought to today's table in one transaction.
//!
//! Version 1 had no seals. Its rows are copied in their order and sealed on the way; nothing else about them changes,
//! and a crash leaves the file as it was.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::file::SCHEMA_VERSION;
use crate::seal::{Seal, Sealed, payload_hash};

/// Brings a file of version 1 to [`SCHEMA_VERSION`]; does nothing if another process came first.
pub(crate) fn seal_version_1(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != 1 {
        return Ok(());
    }
    transaction.execute_batch(
        "DROP TRIGGER commits_are_never_changed;
         DROP TRIGGER commits_are_never_removed;
         DROP TRIGGER commits_are_never_replaced;
         ALTER TABLE commits RENAME TO commits_of_version_1;",
    )?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    copy_sealed(&transaction)?;
    // Also forgets the old table's count of positions; the new one's was set by the last row.
    transaction.execute_batch("DROP TABLE commits_of_version_1")?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn copy_sealed(connection: &Connection) -> rusqlite::Result<()> {
    let mut select = connection.prepare(
        "SELECT position, stream_kind, stream_id, revision, branch, class, commit_id, payload
         FROM commits_of_version_1 ORDER BY position",
    )?;
    let mut insert = connection.prepare("INSERT INTO commits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    let mut rows = select.query(())?;
    let mut seal = Seal::START;
    while let Some(row) = rows.next()? {
        let text = |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
        let payload = row.get_ref(7)?.as_blob()?;
        let sealed = Sealed {
            position: row.get(0)?,
            stream_kind: text(1)?,
            stream_id: text(2)?,
            revision: row.get(3)?,
            branch: text(4)?,
            class: text(5)?,
            commit_id: row.get_ref(6)?.as_blob()?,
            payload_hash: payload_hash(payload),
        };
        seal = seal.next(&sealed);
        let Sealed { position, stream_kind, stream_id, revision, branch, class, commit_id, .. } = sealed;
        insert.execute(params![
            position,
            stream_kind,
            stream_id,
            revision,
            branch,
            class,
            commit_id,
            payload,
            seal.0
        ])?;
    }
    Ok(())
}
