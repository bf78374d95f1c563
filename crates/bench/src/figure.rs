//! One row of the table: ours, the limit beside it, what is to be reached, and what was learned on the way.

use std::fmt;

use serde::Serialize;

/// Any technical failure of a workload.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// A workload that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("measure {what}")]
pub struct BenchError {
    what: String,
    #[source]
    source: AnyError,
}

/// Names what was measured when it fails.
pub(crate) fn failed<E: Into<AnyError>>(what: impl Into<String>) -> impl FnOnce(E) -> BenchError {
    move |error| BenchError { what: what.into(), source: error.into() }
}

/// Smallest, middle and largest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The one to quote.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one round.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut rounds: Vec<f64> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(rounds.len() / 2), max: at(rounds.len().saturating_sub(1)) }
    }
}

/// What the machine allows, measured in the same rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// What was measured for it.
    pub is: &'static str,
    /// How much it is.
    pub spread: Spread,
    /// Ours divided by it, round by round.
    pub ratio: Spread,
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least this part of the limit.
    Ratio(f64),
    /// At least so much.
    AtLeast(f64),
    /// At most so much.
    AtMost(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => write!(f, "≥ {ratio} ×"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In which unit.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// The machine's own limit; none where there is none to measure.
    pub limit: Option<Limit>,
    /// What is to be reached.
    pub goal: Option<Goal>,
    /// Whether the median reaches it.
    pub reached: Option<bool>,
    /// The most memory that the process held meanwhile, in MiB; what was held before included.
    pub peak_memory_mib: Option<u64>,
    /// What has to be known beside the figure.
    pub notes: Vec<String>,
}

impl Figure {
    /// A row without a limit.
    pub(crate) fn new(
        what: impl Into<String>,
        unit: &'static str,
        rounds: impl IntoIterator<Item = f64>,
    ) -> Self {
        Self {
            what: what.into(),
            unit,
            ours: Spread::of(rounds),
            limit: None,
            goal: None,
            reached: None,
            peak_memory_mib: None,
            notes: Vec::new(),
        }
    }

    /// A row with a limit, from pairs of (ours, limit).
    pub(crate) fn beside(
        what: impl Into<String>,
        unit: &'static str,
        is: &'static str,
        rounds: &[(f64, f64)],
    ) -> Self {
        let spread = Spread::of(rounds.iter().map(|(_, limit)| *limit));
        let ratio = Spread::of(rounds.iter().map(|(ours, limit)| ours / limit));
        let limit = Some(Limit { is, spread, ratio });
        Self { limit, ..Self::new(what, unit, rounds.iter().map(|(ours, _)| *ours)) }
    }

    /// What it has to reach.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        let reached = match (goal, &self.limit) {
            (Goal::Ratio(ratio), Some(limit)) => limit.ratio.median >= ratio,
            (Goal::Ratio(_), None) => false,
            (Goal::AtLeast(least), _) => self.ours.median >= least,
            (Goal::AtMost(most), _) => self.ours.median <= most,
        };
        Self { goal: Some(goal), reached: Some(reached), ..self }
    }

    /// Something to be known beside it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}
