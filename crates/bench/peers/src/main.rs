//! Registrations through cqrs-es and postgres-es: the same work as `cuiban bench --only command-embedded`.
//!
//! A command registers a ticket and leaves three events (the ticket, and its two clocks with their due instants), as
//! ours does. `peers URL WRITERS COUNT` prints one JSON line with commands a second, without and with a view.

use std::time::Instant;

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::GenericQuery;
use cqrs_es::{Aggregate, DomainEvent, EventEnvelope, Query, View};
use postgres_es::{PostgresCqrs, PostgresViewRepository, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgPoolOptions};
use uuid::Uuid;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What the caller says, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Registration {
    number: String,
    customer: String,
    phone: String,
    product_model: String,
    description: String,
    branch: String,
    area: String,
    registered_at_us: i64,
}

/// A limit that begins to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Started {
    clock: String,
    cycle: u32,
    limit_s: u64,
    started_at_us: i64,
    due_at_us: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum TicketEvent {
    TicketRegistered(Registration),
    ClockStarted(Started),
}

impl DomainEvent for TicketEvent {
    fn event_type(&self) -> String {
        match self {
            Self::TicketRegistered(_) => "TicketRegistered".to_owned(),
            Self::ClockStarted(_) => "ClockStarted".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ticket {
    registration: Option<Registration>,
    clocks: Vec<Started>,
}

#[derive(Debug)]
struct AlreadyRegistered;

impl std::fmt::Display for AlreadyRegistered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the ticket is registered")
    }
}

impl std::error::Error for AlreadyRegistered {}

impl Ticket {
    fn fold(&mut self, event: TicketEvent) {
        match event {
            TicketEvent::TicketRegistered(registration) => self.registration = Some(registration),
            TicketEvent::ClockStarted(started) => self.clocks.push(started),
        }
    }
}

impl Aggregate for Ticket {
    const TYPE: &'static str = "ticket";
    type Command = Registration;
    type Event = TicketEvent;
    type Error = AlreadyRegistered;
    type Services = ();

    async fn handle(
        &mut self,
        registration: Registration,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), AlreadyRegistered> {
        if self.registration.is_some() {
            return Err(AlreadyRegistered);
        }
        let at = registration.registered_at_us;
        sink.write(TicketEvent::TicketRegistered(registration), self).await;
        for (clock, hours) in [("response", 24), ("dispatch", 6)] {
            let limit_s = hours * 3600;
            let due_at_us = at + 1_000_000 * i64::try_from(limit_s).unwrap_or(i64::MAX);
            let started =
                Started { clock: clock.to_owned(), cycle: 1, limit_s, started_at_us: at, due_at_us };
            sink.write(TicketEvent::ClockStarted(started), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: TicketEvent) {
        self.fold(event);
    }
}

/// The ticket as a list shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct TicketView(Ticket);

impl View<Ticket> for TicketView {
    fn update(&mut self, event: &EventEnvelope<Ticket>) {
        self.0.fold(event.payload.clone());
    }
}

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
     sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, event_version text NOT NULL,
     payload json NOT NULL, metadata json NOT NULL, PRIMARY KEY (aggregate_type, aggregate_id, sequence))",
    "CREATE TABLE IF NOT EXISTS ticket_view (view_id text NOT NULL, version bigint CHECK (version >= 0) NOT NULL,
     payload json NOT NULL, PRIMARY KEY (view_id))",
];

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, writers, count] = arguments.as_slice() else { return Err("usage: peers URL WRITERS COUNT".into()) };
    let (writers, count): (u32, u32) = (writers.parse()?, count.parse()?);
    // A connection for each writer, so that none waits for another's.
    let pool = PgPoolOptions::new().max_connections(writers).min_connections(writers).connect(url).await?;
    for table in TABLES {
        sqlx::query(table).execute(&pool).await?;
    }
    let appends = registrations(&pool, Vec::new, writers, count).await?;
    let view = || -> Vec<Box<dyn Query<Ticket>>> {
        let repository = PostgresViewRepository::<TicketView, Ticket>::new("ticket_view", pool.clone());
        vec![Box::new(GenericQuery::new(std::sync::Arc::new(repository)))]
    };
    let with_view = registrations(&pool, view, writers, count).await?;
    println!("{{\"writers\":{writers},\"commands_per_s\":{appends:.1},\"with_view_per_s\":{with_view:.1}}}");
    Ok(())
}

/// So many registrations a second.
async fn registrations(
    pool: &PgPool,
    queries: impl Fn() -> Vec<Box<dyn Query<Ticket>>>,
    writers: u32,
    count: u32,
) -> Result<f64, AnyError> {
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..writers {
        let tickets: PostgresCqrs<Ticket> = postgres_cqrs(pool.clone(), queries(), ());
        tasks.spawn(async move {
            for _ in 0..count / writers {
                let id = Uuid::now_v7().to_string();
                tickets.execute(&id, registration(&id)).await.map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(f64::from(count / writers * writers) / began.elapsed().as_secs_f64())
}

fn registration(id: &str) -> Registration {
    Registration {
        number: format!("R2026-{}", &id[24..]),
        customer: "客户".to_owned(),
        phone: "13800138000".to_owned(),
        product_model: "KFR-35GW".to_owned(),
        description: "不制冷，室外机不转".to_owned(),
        branch: "B0".to_owned(),
        area: "urban".to_owned(),
        registered_at_us: 1_770_000_000_000_000,
    }
}
