//! What is timed on the peer's side: the same commands as ours, and bare INSERTs of as many bytes as its limit.

#![expect(
    clippy::disallowed_methods,
    reason = "measures, and stands for a peer's callers: our `Clock` is not there"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::server::Server;
use crate::ticket::{Command, Customer, Micros, Registration, Ticket};

/// How many tickets each writer makes before the clock runs.
const WARMING_TICKETS: u32 = 4;
/// How many different customers call.
const CUSTOMERS: u128 = 1_000_000;
/// The table of postgres-es, as it comes with it.
const EVENTS: [&str; 2] = [
    "DROP TABLE IF EXISTS events",
    "CREATE TABLE events (
        aggregate_type text                         NOT NULL,
        aggregate_id   text                         NOT NULL,
        sequence       bigint CHECK (sequence >= 0) NOT NULL,
        event_type     text                         NOT NULL,
        event_version  text                         NOT NULL,
        payload        json                         NOT NULL,
        metadata       json                         NOT NULL,
        PRIMARY KEY (aggregate_type, aggregate_id, sequence)
    )",
];

/// What the writers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Calls, each a new ticket: one command, four events.
    Calls,
    /// Whole lives, each writer with one ticket at a time: six commands, twelve events.
    Lives,
}

impl Work {
    fn commands_a_ticket(self) -> u32 {
        if self == Self::Calls { 1 } else { 6 }
    }

    fn events_a_ticket(self) -> u32 {
        if self == Self::Calls { 4 } else { 12 }
    }
}

/// How a round went.
pub(crate) struct Pace {
    /// Commands a second through cqrs-es.
    pub(crate) commands_per_s: f64,
    /// INSERTs a second of as many bytes as a command leaves, each a transaction of its own.
    pub(crate) bare_per_s: f64,
    /// What a command leaves in the columns that carry content.
    pub(crate) bytes_a_command: i64,
}

/// One round: about so many commands by so many writers, each waiting for its answer, with a connection for each.
pub(crate) async fn round(server: &Server, work: Work, writers: u32, commands: u32) -> anyhow::Result<Pace> {
    let pool = server.connect(writers).await?;
    new_table(&pool).await?;
    let cqrs: Arc<PostgresCqrs<Ticket>> = Arc::new(postgres_cqrs(pool.clone(), Vec::new(), ()));
    let through = move || {
        let cqrs = cqrs.clone();
        async move { one_ticket(&cqrs, work).await }
    };
    // Untimed: what a connection does once, such as preparing its statements.
    let warming = writers * WARMING_TICKETS;
    side_by_side(writers, warming, through.clone()).await?;
    let tickets = commands / work.commands_a_ticket();
    let commands = tickets * work.commands_a_ticket();
    let took = side_by_side(writers, tickets, through).await?;
    let (events, bytes) = contents(&pool).await?;
    let expected = i64::from((tickets + warming) * work.events_a_ticket());
    ensure!(events == expected, "the peer stored {events} events instead of {expected}");
    let bytes_a_command = bytes / i64::from((tickets + warming) * work.commands_a_ticket());
    new_table(&pool).await?;
    let payload = "7".repeat(usize::try_from(bytes_a_command)?);
    let bare_pool = pool.clone();
    let bare_took = side_by_side(writers, commands, move || {
        let (pool, payload) = (bare_pool.clone(), payload.clone());
        async move { bare_insert(&pool, &payload).await }
    })
    .await?;
    pool.close().await;
    let per_second = |took: Duration| f64::from(commands) / took.as_secs_f64();
    Ok(Pace { commands_per_s: per_second(took), bare_per_s: per_second(bare_took), bytes_a_command })
}

async fn new_table(pool: &PgPool) -> anyhow::Result<()> {
    for statement in EVENTS {
        sqlx::query(statement).execute(pool).await.context("make the table")?;
    }
    Ok(())
}

/// How many events there are, and how many bytes in what they say.
async fn contents(pool: &PgPool) -> anyhow::Result<(i64, i64)> {
    let sum = "SELECT count(*), sum(octet_length(payload::text) + octet_length(metadata::text))::bigint FROM events";
    Ok(sqlx::query_as(sum).fetch_one(pool).await?)
}

/// Does `work` so many times, shared among so many writers, each of whom waits for one before the next.
async fn side_by_side<W, F>(writers: u32, count: u32, work: W) -> anyhow::Result<Duration>
where
    W: Fn() -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for writer in 0..writers {
        let work = work.clone();
        tasks.spawn(async move {
            for _ in (writer..count).step_by(writers as usize) {
                work().await?;
            }
            Ok::<(), anyhow::Error>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}

/// A new ticket: its call, or all of its life.
async fn one_ticket(cqrs: &PostgresCqrs<Ticket>, work: Work) -> anyhow::Result<()> {
    let id = Uuid::now_v7();
    let at = now()?;
    let ticket = id.to_string();
    execute(cqrs, &ticket, Command::Register(Box::new(registration(id, at)))).await?;
    if work == Work::Calls {
        return Ok(());
    }
    for command in [
        Command::Respond { channel: "phone".to_owned(), at },
        Command::Dispatch { technician: "T0".to_owned() },
        Command::Arrive { at },
        Command::FixOnSite { remedy: "更换零件，试机正常".to_owned() },
        Command::Close,
    ] {
        execute(cqrs, &ticket, command).await?;
    }
    Ok(())
}

/// With what our envelope says, too: who, which command, which piece of business, when.
async fn execute(cqrs: &PostgresCqrs<Ticket>, ticket: &str, command: Command) -> anyhow::Result<()> {
    let (commit, at) = (Uuid::now_v7().to_string(), now()?.to_string());
    let metadata = HashMap::from(
        [
            ("actor", "bench".to_owned()),
            ("commit_id", commit.clone()),
            ("correlation_id", commit),
            ("occurred_at", at.clone()),
            ("recorded_at", at),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(cqrs.execute_with_metadata(ticket, command, metadata).await?)
}

async fn bare_insert(pool: &PgPool, payload: &str) -> anyhow::Result<()> {
    let insert = "INSERT INTO events VALUES ('ticket', $1, 1, 'Bare', '1', to_json($2::text), '{}')";
    sqlx::query(insert).bind(Uuid::now_v7().to_string()).bind(payload).execute(pool).await?;
    Ok(())
}

/// The same call as ours: a repair in town, by one of a million customers.
fn registration(id: Uuid, reported_at: Micros) -> Registration {
    let customer = id.as_u128() % CUSTOMERS;
    Registration {
        ticket: id.to_string(),
        number: format!("BX-202611-{:05}", customer % 100_000),
        kind: "repair".to_owned(),
        customer: Customer { name: "客户".to_owned(), phone: format!("138{customer:08}") },
        customer_level: "standard".to_owned(),
        channel: "phone".to_owned(),
        product_model: "KFR-35GW".to_owned(),
        description: "不制冷，室外机不转".to_owned(),
        reported_at,
        branch: "B0".to_owned(),
        area: "urban".to_owned(),
        urgency: "normal".to_owned(),
        needs_visit: true,
        service_basis: "paid".to_owned(),
    }
}

fn now() -> anyhow::Result<Micros> {
    Ok(Micros::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}
