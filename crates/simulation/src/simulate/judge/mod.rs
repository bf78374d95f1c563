//! What must hold when all is quiet, judged from the log, the receiver and the disks alone.
//!
//! - [`history`] reads the log: acknowledged commands, chains, notices, and each due instant, which [`rules`] and
//!   [`working_time`] compute again in the slow and obvious way.
//! - [`clocks`] follows one ticket.
//! - [`alerts`] compares what arrived with what the log says.
//! - [`rows`] compares read models with a fold from zero.

mod alerts;
mod clocks;
mod history;
mod rows;
mod rules;
mod working_time;

use std::sync::Arc;

use cuiban_deliveries::Stored;
use cuiban_domain::Instant;
use cuiban_event_log::RecordedCommit;

use super::people::Acknowledged;
use super::process::Process;
use super::receiver::Arrived;

/// What the judge is shown.
pub(crate) struct Evidence<'a> {
    /// The whole log.
    pub(crate) commits: &'a [RecordedCommit],
    /// The true time of each commit.
    pub(crate) stored_at: &'a [Instant],
    /// What people were told is done.
    pub(crate) acknowledged: &'a [Acknowledged],
    /// What the receiver got.
    pub(crate) arrived: &'a [Arrived],
    /// What is recorded of it.
    pub(crate) deliveries: &'a [Stored],
    /// The machines, switched off.
    pub(crate) processes: &'a [Arc<Process>],
    /// Since when nothing has gone wrong, but that clocks are off.
    pub(crate) quiet_since: Instant,
    /// The true time of the judgement.
    pub(crate) judged_at: Instant,
}

/// The verdict over one seed.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) notices: usize,
    pub(crate) violations: Vec<String>,
}

pub(crate) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let history = history::read(evidence);
    let mut violations = history.violations;
    violations.extend(alerts::compare(evidence, &history.alerts));
    violations.extend(rows::compare(evidence));
    Verdict { notices: history.notices, violations }
}
