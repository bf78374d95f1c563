//! Workloads, limits and ratios: what the system does a second, beside what the machine allows in the same run.
//!
//! Each row measures the real road (durable, decoded, folded) and the bare limit beside it, round by round in turn, so
//! that a machine whose speed drifts does not favour either. Medians are to be quoted, and ratios.
//!
//! This room is nobody's dependency but the binary's.

mod embedded;
mod figure;
mod folding;
mod working_time;

pub use figure::{BenchError, Figure, Spread};

/// Every row of the table, in turn; `progress` hears what is measured next.
pub fn run(rounds: u32, mut progress: impl FnMut(&str)) -> Result<Vec<Figure>, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for writers in [1, 8, 64] {
        progress("durable command, embedded log");
        figures.push(runtime.block_on(embedded::durable_commands(rounds, writers))?);
    }
    progress("fold, one read model");
    figures.push(runtime.block_on(folding::one_model(rounds))?);
    progress("due-instant arithmetic");
    figures.push(working_time::due_instants(rounds)?);
    Ok(figures)
}
