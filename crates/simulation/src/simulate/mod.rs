//! Random days by seed: people work tickets through two offices, two watchdogs watch, the log misbehaves.
//!
//! - [`FaultyLog`](faulty_log::FaultyLog) loses answers and commits, says conflicts that are none, and goes away.
//! - [`World`](world::World) draws what people do, when a watchdog sleeps or begins anew, when an office restarts.
//! - [`judge`](judge::judge) reads the log when all is quiet and says what does not hold.
//!
//! The same seed gives the same log, byte for byte.

mod faulty_log;
mod judge;
mod world;

use serde::Serialize;

pub use world::SimulationError;

/// How one seed went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedReport {
    /// Which seed.
    pub seed: u64,
    /// How many virtual minutes passed.
    pub virtual_minutes: u64,
    /// How many commands were sent.
    pub commands: usize,
    /// How many faults the log showed.
    pub faults: usize,
    /// How many commits the log holds.
    pub commits: usize,
    /// How many notices (催办单) it holds.
    pub notices: usize,
    /// SHA-256 over all commits, in hex: the same in each run of the seed.
    pub digest: String,
    /// What did not hold; empty if all did.
    pub violations: Vec<String>,
}

/// Lives through one seed's days.
pub async fn simulate(seed: u64) -> Result<SeedReport, SimulationError> {
    let mut world = world::World::open(seed).await?;
    world.live().await?;
    world.settle().await?;
    Ok(world.report())
}
