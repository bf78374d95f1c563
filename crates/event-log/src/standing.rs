//! How the log itself stands: what is wrong with its keeping, whether or not anybody has run into it.

use serde::Serialize;

/// What is wrong with the log at present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStanding {
    /// Each thing; none, if the log is well.
    pub problems: Vec<LogProblem>,
}

/// One thing that is wrong with the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogProblem {
    /// Which kind, stable: `settings_changed`, `log_full`, `replica_missing`, `not_syncing`, `file_missing`.
    pub code: &'static str,
    /// What was seen.
    pub detail: String,
    /// Whether nothing is stored for as long as it lasts.
    pub stops_writing: bool,
}

impl LogStanding {
    /// The first problem for which nothing is stored.
    pub fn stops_writing(&self) -> Option<&LogProblem> {
        self.problems.iter().find(|problem| problem.stops_writing)
    }
}

impl FromIterator<LogProblem> for LogStanding {
    fn from_iter<I: IntoIterator<Item = LogProblem>>(problems: I) -> Self {
        Self { problems: problems.into_iter().collect() }
    }
}
