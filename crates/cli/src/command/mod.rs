//! The subcommands, a file each.

mod alerts;
mod bench;
mod clock;
mod deadline;
mod doctor;
mod import;
mod log;
mod models;
mod replay;
mod roles_heard;
mod serve;
mod simulate;
mod step_over;
mod ticket;
mod up;
mod verify;

use std::io::IsTerminal;

use clap::CommandFactory;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command};
use crate::exit::{OrFailure, Outcome};
use crate::settings::Settings;

/// Runs the command that was asked for.
pub(crate) fn run(args: Args) -> Outcome {
    let filter = EnvFilter::try_new(&args.log).or_usage()?;
    // What services log about simulated failures is no news; `--trace` tells of them.
    if !matches!(args.command, Command::Simulate(_)) {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            // Of a line that cannot be written nothing can be written either, and that it cannot ends no work.
            .log_internal_errors(false)
            .init();
    }
    let settings = Settings::read(args.config.as_deref())?;
    match args.command {
        Command::Up(up) => up::run(up, settings),
        Command::Serve(serve) => serve::run(serve, settings),
        Command::Deadline(deadline) => deadline::run(&deadline),
        Command::Replay(replay) => replay::run(&replay),
        Command::Import(import) => import::run(&import),
        Command::Ticket(ticket) => ticket::run(ticket),
        Command::Alerts(alerts) => alerts::run(alerts),
        Command::Log(log) => log::run(log, settings),
        Command::Models(models) => models::run(models, settings),
        Command::Clock(clock) => clock::run(clock, &settings),
        Command::Doctor(doctor) => doctor::run(&doctor, &settings),
        Command::Bench(bench) => bench::run(&bench),
        Command::Simulate(simulate) => simulate::run(&simulate),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "cuiban", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// A runtime for the commands that talk to a log or a server.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
