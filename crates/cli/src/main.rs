//! The binary `cuiban`: configuration, wiring, subcommands.
//!
//! In come arguments, the environment and `./cuiban.toml`; out goes data on stdout and talk on stderr, and an exit
//! code that scripts can trust (0 ok, 1 failed, 2 usage, 3 unreachable, 4 conflict). Each subcommand is a file of
//! [`command`]; what the roles are made of is wired in [`wiring`].
//!
//! This room has no logic of the trade: it reads, wires, prints.

mod args;
mod beats;
mod command;
mod exit;
mod output;
mod roles;
mod settings;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

/// Commits are made by one thread and let go by another, thousands a second, and read models are many small rows:
/// measured with the system's own allocator, a rebuild takes a third more of the processor and nearly three times the
/// memory (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    exit::code_of(command::run(args))
}
