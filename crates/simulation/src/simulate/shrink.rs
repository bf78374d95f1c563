//! Making a failing seed shorter: kinds of fault are left out, then acts, as long as it still fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::script::ACTS;
use super::seams::{Seams, Sound};
use super::{Fault, Options, SimulationError, simulate_with};

/// How many runs are spent on it at most.
const RUNS_MAX: usize = 400;

/// The shortest way found to make a seed fail, and in how many runs. The seed has to fail as it is.
pub fn shrink(options: &Options) -> Result<(Options, usize), SimulationError> {
    shrink_with(options, &|| Arc::new(Sound))
}

pub(super) fn shrink_with(
    options: &Options,
    plant: &dyn Fn() -> Arc<dyn Seams>,
) -> Result<(Options, usize), SimulationError> {
    let mut shrinking = Shrinking { best: Options { trace: false, ..options.clone() }, runs: 0, plant };
    shrinking.leave_out_faults()?;
    shrinking.leave_out_acts()?;
    Ok((Options { trace: true, ..shrinking.best }, shrinking.runs))
}

struct Shrinking<'a> {
    best: Options,
    runs: usize,
    plant: &'a dyn Fn() -> Arc<dyn Seams>,
}

impl Shrinking<'_> {
    /// Keeps what is tried if it still fails.
    fn fails_still(&mut self, tried: Options) -> Result<bool, SimulationError> {
        if self.runs >= RUNS_MAX {
            return Ok(false);
        }
        self.runs += 1;
        let fails = !simulate_with(&tried, (self.plant)())?.violations.is_empty();
        if fails {
            self.best = tried;
        }
        Ok(fails)
    }

    fn leave_out_faults(&mut self) -> Result<(), SimulationError> {
        let all: BTreeSet<Fault> = Fault::all().collect();
        if self.fails_still(Options { without: all.clone(), ..self.best.clone() })? {
            return Ok(());
        }
        for fault in all {
            let mut tried = self.best.clone();
            if tried.without.insert(fault) {
                self.fails_still(tried)?;
            }
        }
        Ok(())
    }

    /// Leaves out ever smaller parts of the script.
    fn leave_out_acts(&mut self) -> Result<(), SimulationError> {
        let mut part = ACTS / 2;
        while part > 0 {
            let kept: Vec<usize> = match &self.best.acts {
                Some(acts) => acts.iter().copied().collect(),
                None => (0..ACTS).collect(),
            };
            let mut shorter = false;
            for left_out in kept.chunks(part) {
                let acts = self.best.acts.clone().unwrap_or_else(|| (0..ACTS).collect());
                let acts = acts.into_iter().filter(|act| !left_out.contains(act)).collect();
                shorter |= self.fails_still(Options { acts: Some(acts), ..self.best.clone() })?;
            }
            if !shorter || part > 1 {
                part /= 2;
            }
        }
        Ok(())
    }
}
