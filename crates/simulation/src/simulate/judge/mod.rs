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

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cuiban_domain::Instant;
use cuiban_event_log::{RecordedCommit, Stored};

use super::people::Acknowledged;
use super::process::Process;
use super::receiver::Arrived;

/// What the judge is shown.
pub(crate) struct Evidence<'a> {
    /// The whole log.
    pub(crate) stored: &'a [Stored],
    /// The true time of each message in it.
    pub(crate) stored_at: &'a [Instant],
    /// What it held before it was restored.
    pub(crate) lost: &'a [RecordedCommit],
    /// The hashes of what nobody of ours has put into it.
    pub(crate) intruded: &'a BTreeSet<[u8; 32]>,
    /// What people were told is done.
    pub(crate) acknowledged: &'a [Acknowledged],
    /// What the receiver got.
    pub(crate) arrived: &'a [Arrived],
    /// When the receiver was away though nothing else went wrong.
    pub(crate) receiver_away: Option<(Instant, Instant)>,
    /// What is recorded of it.
    pub(crate) deliveries: &'a [cuiban_deliveries::Stored],
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
    violations.extend(alerts::compare(evidence, &history.alerts, &history::alerts_of(evidence.lost)));
    violations.extend(rows::compare(evidence));
    Verdict { notices: history.notices, violations }
}

/// How many clocks are due and were not urged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Known to be for longer than a while by now, and not only by a moment.
    pub(crate) for_long: usize,
    pub(crate) at_all: usize,
}

/// What a log has that nobody has urged.
pub(crate) fn due(stored: &[Stored], now: Instant, grace: Duration) -> Due {
    let tickets = history::tickets_of(stored);
    let before = |at| tickets.iter().map(|ticket| ticket.due_before(at)).sum();
    Due { for_long: before(now - 2 * grace), at_all: before(now) }
}
