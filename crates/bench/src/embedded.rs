//! A durable command on the embedded log, beside bare group commits of the same bytes into the same kind of file.

use std::path::Path;
use std::sync::Arc;

use cuiban_command_handler::{CommandMeta, Config, HandleError, Handlers, RandomIds, SystemClock};
use cuiban_domain::ids::{Actor, BranchId, CommandId, TicketId};
use cuiban_domain::organisation::{BranchCommand, OpenBranch};
use cuiban_domain::people::{Customer, Phone};
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{Area, Channel, CustomerLevel, RegisterTicket, TicketKind, Urgency};
use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_event_log_sqlite::SqliteLog;

use crate::figure::{failed, per_second, timed, timed_async};
use crate::{BenchError, Figure};

const WHAT: &str = "a durable command on the embedded log";
const COMMANDS_A_ROUND: usize = 4_000;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Registrations a second by so many writers, each waiting for its answer.
pub(crate) async fn durable_commands(rounds: u32, writers: usize) -> Result<Figure, BenchError> {
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        let dir = tempfile::tempdir()?;
        let (log, handlers) = system(dir.path()).await.map_err(failed(WHAT))?;
        let (took, result) = timed_async(register(handlers, writers, COMMANDS_A_ROUND)).await;
        result.map_err(failed(WHAT))?;
        let payload_bytes = mean_payload(log.as_ref()).await.map_err(failed(WHAT))?;
        let bare =
            bare_group_commits(&dir.path().join("bare.sqlite"), payload_bytes, writers, COMMANDS_A_ROUND);
        pairs.push((per_second(COMMANDS_A_ROUND, took), bare.map_err(failed(WHAT))?));
    }
    let what = format!("durable command, embedded log, {writers} writers");
    Ok(Figure::beside(what, "commands/s", "bare SQLite group commits of the same bytes", &pairs))
}

/// A log in `dir` with one open branch, and its handlers.
pub(crate) async fn system(dir: &Path) -> Result<(Arc<dyn EventLog>, Arc<Handlers>), AnyError> {
    let log: Arc<dyn EventLog> =
        Arc::new(SqliteLog::open(cuiban_event_log_sqlite::Config::at(dir.join("log.sqlite")))?);
    let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(RandomIds));
    let handlers = Handlers::start(log.clone(), clock, ids, Actor::new("bench")?, Config::default()).await?;
    let branch = BranchId::new("B0")?;
    let open =
        BranchCommand::from(OpenBranch { branch: branch.clone(), name: Name::new("B0")?, province: None });
    let meta = CommandMeta::new(CommandId(handlers.new_id()), Actor::new("bench")?);
    let handled = handlers.branch(&branch, &open, &meta).await?;
    handlers.directory().wait_for(handled.position).await;
    Ok((log, Arc::new(handlers)))
}

/// `count` registrations by `writers` tasks.
pub(crate) async fn register(handlers: Arc<Handlers>, writers: usize, count: usize) -> Result<(), AnyError> {
    let request = request()?;
    let actor = Actor::new("bench")?;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let share = count / writers + usize::from(writer < count % writers);
        let (handlers, request, actor) = (handlers.clone(), request.clone(), actor.clone());
        tasks.spawn(async move {
            for _ in 0..share {
                let meta = CommandMeta::new(CommandId(handlers.new_id()), actor.clone());
                handlers.register(TicketId(handlers.new_id()), request.clone(), &meta).await?;
            }
            Ok::<(), HandleError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn request() -> Result<RegisterTicket, AnyError> {
    Ok(RegisterTicket {
        kind: TicketKind::Repair,
        customer: Customer { name: Name::new("客户")?, phone: Phone::new("13800138000")?, address: None },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: Name::new("KFR-35GW")?,
        serial_number: None,
        description: Note::new("不制冷，室外机不转")?,
        happened_at: None,
        branch: BranchId::new("B0")?,
        area: Some(Area::Urban),
        district: None,
        urgency: Urgency::Normal,
        needs_visit: false,
        warranty_until: None,
        contract_until: None,
    })
}

async fn mean_payload(log: &dyn EventLog) -> Result<usize, AnyError> {
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await?;
    let (mut bytes, mut commits) = (0, 0);
    while let Some(batch) = subscription.next_batch(1024).await {
        let batch = batch?;
        commits += batch.commits.len();
        bytes += batch.commits.iter().map(|commit| commit.payload.len()).sum::<usize>();
        if batch.caught_up {
            break;
        }
    }
    Ok(bytes / commits.max(1))
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
