//! Random days by seed: people work tickets through two offices, watchdogs watch, notifiers push, and all of it fails.
//!
//! The services are the real ones, on a runtime whose time is paused and jumps from one thing to the next:
//!
//! - [`Process`](process::Process) is a machine that starts its services, dies and starts again; its
//!   [`Connection`](connection::Connection) to the log and its [`MachineClock`](machine_clock::MachineClock) lie.
//! - [`People`](people::People) send commands until they know what became of them, by a [`script`].
//! - [`Operators`](operators::Operators) restore the log, and step over what nobody can read.
//! - [`Receiver`](receiver::Receiver) takes alerts, or not; a notifier's [`Records`](records::Records) say which.
//! - [`Fault`] lists what goes wrong; [`Seams`] are where the judge's own tests plant bugs.
//! - [`judge`] reads log, receiver and disks when all is quiet, and says what does not hold.
//! - [`shrink`] makes a failing seed shorter.
//!
//! The same seed gives the same trace and the same log, byte for byte.

mod connection;
mod fault;
mod judge;
mod machine_clock;
mod operators;
mod people;
mod process;
mod receiver;
mod records;
mod scene;
mod script;
mod seams;
mod shrink;
mod subscriber;
#[cfg(test)]
mod teeth;
mod world;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use serde::Serialize;

pub use fault::{Fault, Struck, UnknownFault};
use seams::{Seams, Sound};
pub use shrink::shrink;
pub use world::SimulationError;

/// Which days are lived through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which seed.
    pub seed: u64,
    /// Kinds of fault that do not strike.
    pub without: BTreeSet<Fault>,
    /// Only these acts of the script; all, if `None`.
    pub acts: Option<BTreeSet<usize>>,
    /// Whether what happens is kept, a line each.
    pub trace: bool,
}

impl Options {
    /// The whole of a seed.
    pub fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The command that lives through the same days again.
    pub fn command(&self) -> String {
        let mut command = format!("cuiban simulate --from {} --seeds 1", self.seed);
        let list = |items: Vec<String>| items.join(",");
        if !self.without.is_empty() {
            let words = self.without.iter().map(ToString::to_string).collect();
            command += &format!(" --without {}", list(words));
        }
        if let Some(acts) = &self.acts {
            command += &format!(" --acts {}", list(acts.iter().map(ToString::to_string).collect()));
        }
        command + " --trace"
    }
}

/// How one seed went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeedReport {
    /// Which seed.
    pub seed: u64,
    /// How many virtual minutes passed.
    pub virtual_minutes: u64,
    /// How many commands were sent.
    pub commands: usize,
    /// How often each kind of fault struck, in the order of [`Fault::all`]; in JSON by their words.
    #[serde(serialize_with = "fault::by_word")]
    pub faults: Struck,
    /// How many commits the log holds.
    pub commits: usize,
    /// How many notices (催办单) it holds.
    pub notices: usize,
    /// How many messages the receiver got.
    pub alerts: usize,
    /// SHA-256 over all commits, in hex: the same in each run of the seed.
    pub digest: String,
    /// What happened, if it was to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
    /// What did not hold; empty if all did.
    pub violations: Vec<String>,
}

impl SeedReport {
    fn of_a_panic(seed: u64) -> Self {
        Self {
            seed,
            virtual_minutes: 0,
            commands: 0,
            faults: vec![0; Fault::all().count()],
            commits: 0,
            notices: 0,
            alerts: 0,
            digest: String::new(),
            trace: Vec::new(),
            violations: vec!["it panicked".to_owned()],
        }
    }
}

/// Lives through one seed's days, on this thread alone.
pub fn simulate(options: &Options) -> Result<SeedReport, SimulationError> {
    simulate_with(options, Arc::new(Sound))
}

fn simulate_with(options: &Options, seams: Arc<dyn Seams>) -> Result<SeedReport, SimulationError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let lived = AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut world = world::World::open(options, seams).await?;
            world.live(options).await?;
            world.settle().await;
            Ok(world.report().await)
        })
    });
    // What panics has said why; here it becomes a seed that can be lived through again.
    std::panic::catch_unwind(lived).unwrap_or_else(|_| Ok(SeedReport::of_a_panic(options.seed)))
}
