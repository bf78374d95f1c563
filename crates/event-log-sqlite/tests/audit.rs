//! The audit of a file, and files of an earlier version. Damage by the thousand is in the acceptance flows.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use bytes::Bytes;
use cuiban_event_log::{
    Append, Consistency, EventLog, Expected, Position, Route, StreamId, StreamVersion, Token,
};
use cuiban_event_log_sqlite::{AuditError, AuditFault, Config, SCHEMA_VERSION, SqliteLog, audit};
use rusqlite::{Connection, params};
use uuid::Uuid;

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn commit(id: &str, revision: u64) -> Append {
    Append {
        stream: StreamId { kind: token("ticket"), id: token(id) },
        expected: match revision {
            1 => Expected::NoStream,
            _ => Expected::At(StreamVersion::from_raw(revision - 1)),
        },
        route: Route { branch: token("B0"), class: token("case") },
        commit_id: Uuid::from_u128(revision.into()),
        payload: Bytes::from(format!("{id} {revision}").repeat(20)),
    }
}

/// Six commits: a1 a2 b1 a3 b2 c1.
async fn log() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let log = SqliteLog::open(config.clone()).unwrap();
    for (id, revision) in [("a", 1), ("a", 2), ("b", 1), ("a", 3), ("b", 2), ("c", 1)] {
        log.append(commit(id, revision)).await.unwrap();
    }
    (folder, config)
}

/// What somebody with a SQLite shell does who takes the triggers away and puts them back.
fn tamper(config: &Config, sql: &str) {
    let shell = Connection::open(&config.path).unwrap();
    let triggers: Vec<(String, String)> = shell
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    triggers.iter().for_each(|(name, _)| shell.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    shell.execute_batch(sql).unwrap();
    triggers.iter().for_each(|(_, sql)| shell.execute_batch(sql).unwrap());
}

fn first_fault(config: &Config) -> AuditFault {
    audit(config, |_| ()).unwrap().faults.remove(0)
}

#[tokio::test]
async fn a_sound_log_has_no_faults_and_every_commit_is_looked_at() {
    let (_folder, config) = log().await;
    let mut seen = Vec::new();
    let verdict = audit(&config, |commit| seen.push((commit.stream_id.to_owned(), commit.revision))).unwrap();
    assert_eq!(verdict.faults, []);
    assert_eq!((verdict.commits, verdict.head), (6, Position::from_raw(6)));
    assert_eq!(
        seen.iter().map(|(id, revision)| format!("{id}{revision}")).collect::<Vec<_>>().join(" "),
        "a1 a2 b1 a3 b2 c1"
    );
}

#[tokio::test]
async fn every_kind_of_tampering_is_named_at_its_first_commit() {
    let move_up = "UPDATE commits SET position = -position - 1 WHERE position >= 3; UPDATE commits SET position = -position WHERE position < 0;";
    let insert = format!(
        "{move_up} INSERT INTO commits SELECT 3, stream_kind, 'z', 1, branch, class, commit_id, payload, seal FROM commits WHERE position = 1;"
    );
    let swap = "UPDATE commits SET position = 99 WHERE position = 3; UPDATE commits SET position = 3 WHERE position = 5; UPDATE commits SET position = 5 WHERE position = 99;";
    for (sql, position, stream, revision) in [
        (
            "UPDATE commits SET payload = CAST(payload || 'x' AS BLOB) WHERE position = 6",
            6,
            Some("ticket.c"),
            Some(1),
        ),
        ("UPDATE commits SET branch = 'B1' WHERE position = 4", 4, Some("ticket.a"), Some(3)),
        ("UPDATE commits SET class = 'expedite' WHERE position = 4", 4, Some("ticket.a"), Some(3)),
        ("UPDATE commits SET stream_id = 'd' WHERE position = 6", 6, Some("ticket.d"), Some(1)),
        ("UPDATE commits SET revision = 9 WHERE position = 6", 6, Some("ticket.c"), Some(9)),
        ("UPDATE commits SET commit_id = zeroblob(16) WHERE position = 2", 2, Some("ticket.a"), Some(2)),
        ("UPDATE commits SET seal = zeroblob(32) WHERE position = 2", 2, Some("ticket.a"), Some(2)),
        ("DELETE FROM commits WHERE position = 4", 4, None, None),
        ("DELETE FROM commits WHERE position > 4", 5, None, None),
        ("DELETE FROM commits", 1, None, None),
        (swap, 3, Some("ticket.b"), Some(2)),
        (&insert, 3, Some("ticket.z"), Some(1)),
    ] {
        let (_folder, config) = log().await;
        tamper(&config, sql);
        let fault = first_fault(&config);
        assert_eq!(
            (fault.position.unwrap().raw(), fault.stream.as_deref(), fault.revision),
            (position, stream, revision),
            "{sql}: {fault:?}"
        );
    }
}

#[tokio::test]
async fn a_trigger_that_was_taken_away_is_noticed() {
    let (_folder, config) = log().await;
    Connection::open(&config.path).unwrap().execute_batch("DROP TRIGGER commits_are_never_changed").unwrap();
    assert!(first_fault(&config).detail.contains("triggers"));
}

#[tokio::test]
async fn what_is_written_after_a_loss_does_not_hide_it() {
    let (_folder, config) = log().await;
    tamper(&config, "DELETE FROM commits WHERE position > 4");
    let log = SqliteLog::open(config.clone()).unwrap();
    // Positions that were given are not given again.
    assert_eq!(log.append(commit("d", 1)).await.unwrap().position, Position::from_raw(7));
    assert_eq!(first_fault(&config).position, Some(Position::from_raw(5)));
}

#[tokio::test]
async fn a_file_of_version_1_is_sealed_when_it_is_opened_for_writing() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let old = Connection::open(&config.path).unwrap();
    old.execute_batch(include_str!("golden/schema.v1.sql")).unwrap();
    old.pragma_update(None, "application_id", cuiban_event_log_sqlite::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    for (id, revision) in [("a", 1), ("b", 1), ("a", 2)] {
        let Append { commit_id, payload, .. } = commit(id, revision);
        let sql = "INSERT INTO commits (stream_kind, stream_id, revision, branch, class, commit_id, payload)
                   VALUES ('ticket', ?1, ?2, 'B0', 'case', ?3, ?4)";
        old.execute(sql, params![id, revision.cast_signed(), commit_id.as_bytes(), &payload[..]]).unwrap();
    }
    // Tools that only read leave it alone, and cannot audit it.
    let tool = SqliteLog::open_read_only(config.clone()).unwrap();
    assert_eq!(tool.head().await.unwrap(), Position::from_raw(3));
    assert!(matches!(audit(&config, |_| ()), Err(AuditError::Unsealed { found: 1, .. })));
    drop((tool, old));

    let log = SqliteLog::open(config.clone()).unwrap();
    let stream = commit("a", 1).stream;
    let kept = log.read_stream(&stream, None, Consistency::Leader).await.unwrap();
    assert_eq!(kept.iter().map(|commit| commit.position().raw()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(*kept[1].payload(), commit("a", 2).payload);
    assert_eq!(log.append(commit("a", 3)).await.unwrap().position, Position::from_raw(4));
    let verdict = audit(&config, |_| ()).unwrap();
    assert_eq!((verdict.commits, verdict.faults), (4, vec![]));
    let file = Connection::open(&config.path).unwrap();
    let version: i32 = file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

/// Not a fact but a measurement: the processor time of an audit beside that of reading the same rows and looking at nothing.
/// `CUIBAN_TEST_LOG=… cargo test --release -p cuiban-event-log-sqlite --test audit -- --ignored --nocapture`
#[test]
#[ignore = "measures a log that is named by CUIBAN_TEST_LOG"]
fn how_much_an_audit_costs_beside_bare_reading() {
    let Some(path) = std::env::var_os("CUIBAN_TEST_LOG") else { return };
    let config = Config::at(path);
    let read = || {
        let bare = Connection::open(&config.path).unwrap();
        let mut select = bare.prepare("SELECT * FROM commits NOT INDEXED ORDER BY position").unwrap();
        let mut rows = select.query(()).unwrap();
        let (mut commits, mut bytes) = (0_u64, 0);
        while let Some(row) = rows.next().unwrap() {
            bytes += (1..9).map(|n| row.get_ref(n).unwrap().as_bytes().map_or(8, <[u8]>::len)).sum::<usize>();
            commits += 1;
        }
        format!("{commits} commits, {bytes} bytes")
    };
    let check = || {
        let bare = Connection::open(&config.path).unwrap();
        bare.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)).unwrap()
    };
    for _ in 0..5 {
        let (reading, read) = processor_ms(read);
        let (checking, sound) = processor_ms(check);
        let (auditing, verdict) = processor_ms(|| audit(&config, |_| ()).unwrap());
        println!(
            "{read}: read {reading} ms, SQLite's check ({sound}) {checking} ms, audit {auditing} ms of processor time, {} faults",
            verdict.faults.len()
        );
    }
}

/// What it cost this process, all threads together, to the hundredth of a second.
fn processor_ms<T>(what: impl FnOnce() -> T) -> (u64, T) {
    let spent = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = spent();
    let answer = what();
    (10 * (spent() - before), answer)
}
