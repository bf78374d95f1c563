//! cuiban beside a peer: the same commands through cqrs-es and postgres-es on a PostgreSQL of their own.
//!
//! In come the built `cuiban` and how many rounds are wanted; out goes one table (or JSON) with both sides' commands a
//! second at 1, 8 and 32 writers, each side's bare limit, and the ratio. On both sides a command that was answered is on the
//! disk. Round by round the sides take turns, so that a machine whose speed drifts favours neither.
//!
//! ```text
//!  main ─► round ─► work (cqrs-es, bare INSERT) ─► server (PostgreSQL)
//!              └──► ours (cuiban bench: one row, one round)             ─► figure
//! ```
//!
//! It never touches a cluster that it did not make. The peer runs without queries and views: nothing but what it takes
//! to answer a command durably, as our rows do.

mod figure;
mod ours;
mod server;
mod ticket;
mod work;

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use figure::{Figure, Round};
use serde_json::{Value, json};
use server::Server;
use tokio::signal::unix::{SignalKind, signal};
use work::Work;

// As our binary does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITERS: [u32; 3] = [1, 8, 32];
/// Commands a round, as in our rows.
const COMMANDS: u32 = 4_000;
/// What is compared: our row, and the peer's work.
const ROWS: [(&str, Work); 3] =
    [("command-embedded", Work::Calls), ("command-jetstream", Work::Calls), ("life-embedded", Work::Lives)];

/// cuiban beside cqrs-es on PostgreSQL.
#[derive(Parser)]
struct Arguments {
    /// The built binary.
    #[arg(long)]
    cuiban: PathBuf,
    /// Measured rounds of each row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whatever ends it, the server is dropped, and so stopped.
    tokio::select! {
        result = compare(&arguments) => result,
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    }
}

async fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let server = Server::start()?;
    let peer = format!("cqrs-es 0.5.0, postgres-es 0.5.0, {}", server.describe().await?);
    let load_before = load();
    let mut figures = Vec::new();
    let mut machine = Value::Null;
    for (row, work) in ROWS {
        for writers in WRITERS {
            if let Some(figure) = measure(arguments, &server, (row, work), writers, &mut machine).await? {
                eprintln!("  {}", figure.line());
                figures.push(figure);
            }
        }
    }
    let load = [load_before, load()];
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let rounds = arguments.rounds;
        let all =
            json!({ "machine": machine, "peer": peer, "rounds": rounds, "load": load, "figures": figures });
        writeln!(out, "{all:#}")?;
        return Ok(());
    }
    writeln!(out, "{peer} · {} rounds · load {} before, {} after", arguments.rounds, load[0], load[1])?;
    writeln!(out, "{}", figure::heading())?;
    for figure in &figures {
        writeln!(out, "{}", figure.line())?;
    }
    for Figure { row, notes, .. } in &figures {
        writeln!(out, "{row}: {}", notes.join("; "))?;
    }
    Ok(())
}

/// One row, its rounds in turn; none if ours cannot be measured here.
async fn measure(
    arguments: &Arguments,
    server: &Server,
    (row, work): (&str, Work),
    writers: u32,
    machine: &mut Value,
) -> anyhow::Result<Option<Figure>> {
    let row = format!("{row}-{writers}");
    eprintln!("measuring {row}");
    let mut rounds = Vec::new();
    let mut notes = Vec::new();
    for _ in 0..arguments.rounds {
        let Some(ours) = ours::round(&arguments.cuiban, &row).await? else {
            eprintln!("{row}: left out, as there is no nats-server (set NATS_SERVER)");
            return Ok(None);
        };
        let peer = work::round(server, work, writers, COMMANDS).await?;
        rounds.push(Round {
            ours: ours.per_s,
            ours_limit: ours.limit_per_s,
            peer: peer.commands_per_s,
            peer_limit: peer.bare_per_s,
            sync_us: ours.sync_us,
        });
        *machine = ours.machine;
        notes = ours.notes;
        notes.push(format!("the peer's {} bytes a command", peer.bytes_a_command));
    }
    Ok(Some(Figure::of(&row, writers, &rounds, notes)))
}

/// How busy the machine is: processes that want to run, over the last minute.
fn load() -> String {
    let said = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    said.split_whitespace().next().unwrap_or("unknown").to_owned()
}
