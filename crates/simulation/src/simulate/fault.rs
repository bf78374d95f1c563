//! What can go wrong: the kinds of fault, how often each strikes, and how often it has struck.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serializer;

/// A kind of fault, by the place where it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "described once, in `KINDS`")]
pub enum Fault {
    AnswerLost,
    CommitLost,
    AppendDelayed,
    FalseConflict,
    Refused,
    LogAway,
    ReadFailed,
    AnswerSlow,
    CrashBeforeAppend,
    CrashAfterAppend,
    Silent,
    Broken,
    Replayed,
    ResumedOlder,
    Slow,
    WriteRefused,
    DiesBeforeWrite,
    DiesAfterWrite,
    PowerLost,
    Rotten,
    RowsOlderThanCursor,
    Crash,
    AllRestart,
    LongDown,
    ClockForward,
    ClockBack,
    Drift,
    LeaderFast,
    LogRestored,
    Unreadable,
    Foreign,
    SettingsChanged,
    NoWatchdog,
    ReceiverAway,
    ReceiverSlow,
    ReceiverUnheard,
    RecordsAway,
    RecordUnanswered,
    RecordsBroken,
}

/// Each kind with its word and with what happens.
const KINDS: [(Fault, &str, &str); 39] = [
    (Fault::AnswerLost, "answer-lost", "the commit is stored and its acknowledgement is lost"),
    (Fault::CommitLost, "commit-lost", "the commit is lost on its way, and nobody says so"),
    (Fault::AppendDelayed, "append-delayed", "the commit arrives after the time limit"),
    (Fault::FalseConflict, "false-conflict", "a conflict is said that is none (JetStream's 10164)"),
    (Fault::Refused, "refused", "the log refuses an append"),
    (Fault::LogAway, "log-away", "the log is away for minutes, for one process or for all"),
    (Fault::ReadFailed, "read-failed", "a question to the log stays without an answer"),
    (Fault::AnswerSlow, "answer-slow", "an answer takes longer than it is waited for"),
    (Fault::CrashBeforeAppend, "crash-before-append", "a process dies just before its append"),
    (Fault::CrashAfterAppend, "crash-after-append", "a process dies just after its append, unanswered"),
    (Fault::Silent, "silent", "a subscription says nothing for minutes"),
    (Fault::Broken, "broken", "a subscription breaks off"),
    (Fault::Replayed, "replayed", "a subscription delivers some commits again"),
    (Fault::ResumedOlder, "resumed-older", "a subscription begins before where it was asked to"),
    (Fault::Slow, "slow", "a reader lags seconds behind"),
    (Fault::WriteRefused, "write-refused", "the disk refuses a batch"),
    (Fault::DiesBeforeWrite, "dies-before-write", "the machine dies before a batch is written"),
    (Fault::DiesAfterWrite, "dies-after-write", "the machine dies when a batch is written"),
    (Fault::PowerLost, "power-lost", "what was not synced is gone"),
    (Fault::Rotten, "rotten", "a row of a read model is flipped, cut or zeroed"),
    (Fault::RowsOlderThanCursor, "rows-older", "rows are older than their cursor says"),
    (Fault::Crash, "crash", "a process dies at any await point"),
    (Fault::AllRestart, "all-restart", "everything dies at once"),
    (Fault::LongDown, "long-down", "a process is down across many deadlines"),
    (Fault::ClockForward, "clock-forward", "a machine's clock is set forward"),
    (Fault::ClockBack, "clock-back", "a machine's clock is set back"),
    (Fault::Drift, "drift", "a machine's clock runs fast or slow"),
    (Fault::LeaderFast, "leader-fast", "the log is led by a server whose clock is fast"),
    (Fault::LogRestored, "log-restored", "the log is restored from a backup, and its last commits are gone"),
    (Fault::Unreadable, "unreadable", "a commit that nobody can read is found in a stream, for hours"),
    (Fault::Foreign, "foreign", "a message that is none of ours is found in the log"),
    (Fault::SettingsChanged, "settings-changed", "somebody changes the log's settings, and commits are lost"),
    (
        Fault::NoWatchdog,
        "no-watchdog",
        "there is no watchdog for an hour or more, and somebody has to say so",
    ),
    (Fault::ReceiverAway, "receiver-away", "the alerts' receiver is away"),
    (Fault::ReceiverSlow, "receiver-slow", "the alerts' receiver takes longer than it is waited for"),
    (Fault::ReceiverUnheard, "receiver-unheard", "the receiver has the alert and its answer is lost"),
    (Fault::RecordsAway, "records-away", "the record of deliveries is away for minutes, for one notifier"),
    (Fault::RecordUnanswered, "record-unanswered", "a delivery is recorded, and the answer is lost"),
    (Fault::RecordsBroken, "records-broken", "following the record of deliveries ends, and begins anew"),
];

impl Fault {
    /// Every kind, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(fault, ..)| *fault)
    }

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// What happens.
    pub fn describe(self) -> &'static str {
        KINDS[self as usize].2
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no kind of fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no kind of fault: one of {}", KINDS.map(|(_, word, _)| word).join(", "))]
pub struct UnknownFault {
    word: String,
}

impl FromStr for Fault {
    type Err = UnknownFault;
    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let found = KINDS.iter().find(|(_, word, _)| *word == text);
        found.map(|(fault, ..)| *fault).ok_or_else(|| UnknownFault { word: text.to_owned() })
    }
}

/// How often each kind struck, in the order of [`Fault::all`].
pub type Struck = Vec<u64>;

/// The kinds by their words, for reports.
pub(crate) fn by_word<S: Serializer>(struck: &Struck, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Fault::all().map(Fault::as_str).zip(struck))
}

/// Whether faults strike now, and how often they have.
#[derive(Debug)]
pub(crate) struct Faults {
    strike: AtomicBool,
    without: BTreeSet<Fault>,
    struck: [AtomicU64; KINDS.len()],
}

impl Faults {
    /// None strike yet, and these never do.
    pub(crate) fn none_yet(without: BTreeSet<Fault>) -> Self {
        Self { strike: AtomicBool::new(false), without, struck: [const { AtomicU64::new(0) }; KINDS.len()] }
    }

    pub(crate) fn begin(&self) {
        self.strike.store(true, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.strike.store(false, Ordering::Relaxed);
    }

    pub(crate) fn are_on(&self) -> bool {
        self.strike.load(Ordering::Relaxed)
    }

    /// Whether this kind strikes here, once in so many times. What is drawn does not depend on what is left out.
    pub(crate) fn strikes(&self, fault: Fault, chance: &mut fastrand::Rng, one_in: u32) -> bool {
        chance.u32(..one_in) == 0 && self.are_let(fault)
    }

    /// Whether this kind never strikes.
    pub(crate) fn are_without(&self, fault: Fault) -> bool {
        self.without.contains(&fault)
    }

    /// Counts a fault that somebody else drew; `false` if it is left out.
    pub(crate) fn are_let(&self, fault: Fault) -> bool {
        let strikes = self.are_on() && !self.without.contains(&fault);
        if strikes {
            self.struck[fault as usize].fetch_add(1, Ordering::Relaxed);
        }
        strikes
    }

    pub(crate) fn struck(&self) -> Struck {
        self.struck.iter().map(|times| times.load(Ordering::Relaxed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word_at_its_own_place() {
        for (index, fault) in Fault::all().enumerate() {
            assert_eq!(fault as usize, index);
            assert_eq!(fault.as_str().parse(), Ok(fault));
        }
        assert!("rain".parse::<Fault>().unwrap_err().to_string().contains("answer-lost"));
    }
}
