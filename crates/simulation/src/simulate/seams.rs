//! Where a defect could sit: the sound system does nothing here, and the tests of the judge plant bugs.

use std::fmt;

use cuiban_domain::Instant;
use cuiban_event_log::{AgreedTime, Append, RecordedCommit};
use cuiban_notifier::{DeliveryConfig, Message};
use cuiban_projector::WriteFault;

/// What the surroundings of the services ask before they act.
pub(crate) trait Seams: fmt::Debug + Send + Sync {
    /// What is appended.
    fn append(&self, append: Append) -> Append {
        append
    }

    /// Whether the stream's version is looked at.
    fn checks_version(&self) -> bool {
        true
    }

    /// Whether an append is stored before it is acknowledged.
    fn stores(&self) -> bool {
        true
    }

    /// What is pushed to the receiver before this is appended, though it is a notifier's work afterwards.
    fn push_first(&self, _: &Append) -> Option<Message> {
        None
    }

    /// What a command handler reads of a stream.
    fn read(&self, commits: Vec<RecordedCommit>) -> Vec<RecordedCommit> {
        commits
    }

    /// What a process hears of the log; `None` for what it misses.
    fn hear(&self, commit: RecordedCommit) -> Option<RecordedCommit> {
        Some(commit)
    }

    /// What a process is told of the log's own time, by the clocks of the log's servers; its own clock has no say in that.
    fn log_time(&self, leader: Instant, others: &[Instant], _own_clock: Instant) -> Instant {
        AgreedTime::of(leader, others).time
    }

    /// How far a process's clock may run ahead of the log's own time, in milliseconds.
    fn clock_ahead_max_ms(&self) -> Option<u64> {
        Some(1_000)
    }

    /// Whether an append is refused while somebody else's settings hold for the log.
    fn refuses_under_other_settings(&self) -> bool {
        true
    }

    /// Whether a process that asks finds out that the log was restored.
    fn shows_that_it_was_restored(&self) -> bool {
        true
    }

    /// How many clocks nobody has urged, as an office found it, becomes what it says.
    fn unurged_said(&self, found: usize) -> usize {
        found
    }

    /// Whether a delivery is recorded only over what its writer has seen.
    fn checks_record_version(&self) -> bool {
        true
    }

    /// How alerts are pushed: asking whether a receiver is back takes most of what a seed does, so it is asked as rarely as
    /// is allowed.
    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig { delay_max_ms: 60_000, ..DeliveryConfig::default() }
    }

    /// What becomes of a batch when the machine dies just after it.
    fn dies_after_write(&self) -> WriteFault {
        WriteFault::DiesAfter
    }
}

/// Nothing is planted.
#[derive(Debug)]
pub(crate) struct Sound;

impl Seams for Sound {}
