//! One row of the table: ours, the limit, and the ratio, each with its spread over the rounds.

use std::time::{Duration, Instant};

use serde::Serialize;

/// A workload that could not be run.
#[derive(Debug, thiserror::Error)]
#[error("measure {what}")]
pub struct BenchError {
    what: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl From<std::io::Error> for BenchError {
    fn from(source: std::io::Error) -> Self {
        Self { what: "anything", source: source.into() }
    }
}

/// Names what was measured when it fails.
pub(crate) fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    what: &'static str,
) -> impl Fn(E) -> BenchError {
    move |error| BenchError { what, source: error.into() }
}

/// Smallest, middle and largest of the rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The slowest round.
    pub min: f64,
    /// The one to quote.
    pub median: f64,
    /// The fastest round.
    pub max: f64,
}

impl Spread {
    /// Of at least one round.
    pub(crate) fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(rounds.len() / 2), max: at(rounds.len().saturating_sub(1)) }
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
    /// The machine's own limit, measured in the same rounds; none where there is none to measure.
    pub limit: Option<Spread>,
    /// What the limit is.
    pub limit_is: &'static str,
    /// Ours divided by the limit, round by round.
    pub ratio: Option<Spread>,
}

impl Figure {
    /// A row with a limit, from pairs of (ours, limit).
    pub(crate) fn beside(
        what: String,
        unit: &'static str,
        limit_is: &'static str,
        rounds: &[(f64, f64)],
    ) -> Self {
        let of = |pick: fn(&(f64, f64)) -> f64| Spread::of(rounds.iter().map(pick).collect());
        Self {
            what,
            unit,
            ours: of(|round| round.0),
            limit: Some(of(|round| round.1)),
            limit_is,
            ratio: Some(of(|round| round.0 / round.1)),
        }
    }
}

/// How long something took.
#[expect(clippy::disallowed_methods, reason = "measuring is what this room is for")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

/// How long something took that is waited for.
#[expect(clippy::disallowed_methods, reason = "measuring is what this room is for")]
pub(crate) async fn timed_async<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = Instant::now();
    let result = work.await;
    (began.elapsed(), result)
}

/// How many a second.
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
