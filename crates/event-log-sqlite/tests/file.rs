//! What only a file can show: kill -9, reopening, readers beside a writer, and the file's end.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use cuiban_event_log::{
    Append, AppendError, Consistency, EventLog, Expected, Filter, LogError, Position, RecordedCommit, Route,
    Stored, StreamId, Subscription, Token,
};
use cuiban_event_log_sqlite::{Config, OpenError, SqliteLog};
use tokio::task::JoinSet;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);
const CHILDS_FILE: &str = "CUIBAN_TEST_LOG_FILE";
const CHILDS_ROUND: &str = "CUIBAN_TEST_LOG_ROUND";

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn stream(id: &str) -> StreamId {
    StreamId { kind: token("ticket"), id: token(id) }
}

fn commit(id: &str, expected: Expected) -> Append {
    let route = Route { branch: token("B0"), class: token("case") };
    let payload = Bytes::from(vec![b'x'; 300]);
    Append { stream: stream(id), expected, route, commit_id: Uuid::nil(), payload }
}

async fn next(subscription: &mut Subscription) -> RecordedCommit {
    tokio::time::timeout(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .into_commit()
        .unwrap()
}

/// Not a fact by itself: the process that the next test kills. It appends for ever, eight at a time, and prints
/// each stream after its commit was acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by survives_kill_9_with_every_acknowledged_commit"]
async fn appends_until_it_is_killed() {
    let path = std::env::var_os(CHILDS_FILE).expect("started by the test that kills it");
    let round = std::env::var(CHILDS_ROUND).unwrap();
    let log = SqliteLog::open(Config::at(path)).unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (log, round) = (log.clone(), round.clone());
        writers.spawn(async move {
            for n in 0_u64.. {
                let id = format!("{round}-{writer}-{n}");
                log.append(commit(&id, Expected::NoStream)).await.unwrap();
                writeln!(std::io::stdout().lock(), "acknowledged {id}").unwrap();
            }
        });
    }
    writers.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn survives_kill_9_with_every_acknowledged_commit() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let before = acknowledged.len();
        acknowledged.extend(acknowledged_by_a_killed_writer(&config, round, 400));
        assert!(acknowledged.len() >= before + 400);
        let log = SqliteLog::open(config.clone()).unwrap();
        for id in &acknowledged {
            let kept = log.read_stream(&stream(id), None, Consistency::Leader).await.unwrap();
            assert_eq!(kept.len(), 1, "{id} was acknowledged");
        }
        let check = rusqlite::Connection::open(&config.path).unwrap();
        let verdict: String = check.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

/// Starts a writing process on the file, kills it in the middle of its work, and tells what it had acknowledged.
fn acknowledged_by_a_killed_writer(config: &Config, round: u32, kill_after: usize) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["appends_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(CHILDS_FILE, &config.path)
        .env(CHILDS_ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok) {
        acknowledged.extend(line.strip_prefix("acknowledged ").map(str::to_owned));
        if acknowledged.len() == kill_after {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    acknowledged
}

#[tokio::test]
async fn what_was_appended_is_there_after_closing_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let log = SqliteLog::open(config.clone()).unwrap();
    let first = log.append(commit("a", Expected::NoStream)).await.unwrap();
    drop(log);
    let log = SqliteLog::open(config).unwrap();
    assert_eq!(log.head().await.unwrap(), first.position);
    let second = log.append(commit("a", Expected::At(first.version))).await.unwrap();
    assert!(second.position > first.position);
}

#[tokio::test]
async fn a_tool_follows_read_only_what_another_handle_writes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    assert!(matches!(SqliteLog::open_read_only(config.clone()), Err(OpenError::Missing { .. })));
    let log = SqliteLog::open(config.clone()).unwrap();
    let tool = SqliteLog::open_read_only(config).unwrap();
    let mut tail = tool.subscribe(Filter::everything(), Position::START).await.unwrap();
    for id in ["a", "b", "c"] {
        let appended = log.append(commit(id, Expected::NoStream)).await.unwrap();
        assert_eq!(next(&mut tail).await.position, appended.position);
        assert_eq!(tool.head().await.unwrap(), appended.position);
    }
    let refused = tool.append(commit("d", Expected::NoStream)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
}

#[tokio::test]
async fn another_process_holding_the_write_lock_makes_the_log_unavailable_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { busy_ms_max: 20, ..Config::at(folder.path().join("log")) };
    let log = SqliteLog::open(config.clone()).unwrap();
    let other = rusqlite::Connection::open(&config.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = log.append(commit("a", Expected::NoStream)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
    other.execute_batch("ROLLBACK").unwrap();
    log.append(commit("a", Expected::NoStream)).await.unwrap();
}

#[tokio::test]
async fn a_row_that_is_nobodys_commit_is_foreign_and_what_follows_comes() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let log = SqliteLog::open(config.clone()).unwrap();
    let other = rusqlite::Connection::open(&config.path).unwrap();
    let insert = "INSERT INTO commits VALUES (1, 'ticket', 'not a token', 1, 'B0', 'case', zeroblob(16), x'07', zeroblob(32))";
    other.execute(insert, ()).unwrap();
    log.append(commit("a", Expected::NoStream)).await.unwrap();
    let mut tail = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    let Stored::Foreign(foreign) = tail.next().await.unwrap().unwrap() else { panic!("it is none of ours") };
    assert_eq!((foreign.address.as_str(), &foreign.payload[..]), ("ticket.not a token.B0.case", &[7][..]));
    assert_eq!(log.stored_at(foreign.position).await.unwrap(), Some(foreign.into()));
    assert_eq!(next(&mut tail).await.position, Position::from_raw(2));
}

#[tokio::test]
async fn a_file_that_is_taken_away_or_replaced_under_a_running_log_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let log = SqliteLog::open(config.clone()).unwrap();
    log.append(commit("a", Expected::NoStream)).await.unwrap();
    assert_eq!(log.standing().await.unwrap().problems, []);
    let aside = folder.path().join("aside");
    std::fs::rename(&config.path, &aside).unwrap();
    for put_in_its_place in [None, Some("another file")] {
        if let Some(text) = put_in_its_place {
            std::fs::write(&config.path, text).unwrap();
        }
        let refused = log.append(commit("b", Expected::NoStream)).await;
        assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
        let standing = log.standing().await.unwrap();
        assert!(
            standing.stops_writing().is_some_and(|problem| problem.code == "file_missing"),
            "{standing:?}"
        );
    }
    std::fs::rename(&aside, &config.path).unwrap();
    log.append(commit("b", Expected::NoStream)).await.unwrap();
    assert_eq!(log.standing().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_row_that_is_no_text_is_damage_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::at(folder.path().join("log"));
    let log = SqliteLog::open(config.clone()).unwrap();
    let other = rusqlite::Connection::open(&config.path).unwrap();
    let insert = "INSERT INTO commits
         VALUES (1, 'ticket', CAST(x'ff' AS TEXT), 1, 'B0', 'case', zeroblob(16), x'', zeroblob(32))";
    other.execute(insert, ()).unwrap();
    let mut tail = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, tail.next()).await.unwrap();
    assert!(matches!(answer, Some(Err(LogError::Damaged { .. }))), "{answer:?}");
}

#[tokio::test]
async fn a_subscription_drains_and_ends_when_the_log_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(Config::at(folder.path().join("log"))).unwrap();
    let mut tail = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    log.append(commit("a", Expected::NoStream)).await.unwrap();
    drop(log);
    next(&mut tail).await;
    assert!(tokio::time::timeout(PATIENCE, tail.next()).await.unwrap().is_none());
}
