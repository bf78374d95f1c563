//! The in-memory log with faults in front of it, drawn by seed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, MemoryLog, Position,
    RecordedCommit, StreamId, StreamVersion, Subscription,
};

/// What can happen to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Stored, and the answer is lost.
    AnswerLost,
    /// Neither stored nor answered.
    CommitLost,
    /// Not stored, and said to be a conflict (JetStream's 10164).
    FalseConflict,
    /// Refused: the log is away.
    Away,
}

/// A log whose writers cannot rely on answers.
#[derive(Debug)]
pub(crate) struct FaultyLog {
    log: MemoryLog,
    draw: Mutex<Draw>,
}

#[derive(Debug)]
struct Draw {
    chance: fastrand::Rng,
    faults: usize,
    faultless: bool,
}

impl FaultyLog {
    pub(crate) fn new(log: MemoryLog, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        Self { log, draw: Mutex::new(Draw { chance, faults: 0, faultless: false }) }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.draw().faultless = true;
    }

    /// How often something went wrong.
    pub(crate) fn faults(&self) -> usize {
        self.draw().faults
    }

    fn draw(&self) -> MutexGuard<'_, Draw> {
        self.draw.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut draw = self.draw();
        if draw.faultless || draw.chance.u8(..10) < 7 {
            return None;
        }
        draw.faults += 1;
        let faults = [Fault::AnswerLost, Fault::CommitLost, Fault::FalseConflict, Fault::Away];
        Some(faults[draw.chance.usize(..faults.len())])
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let stream = append.stream.clone();
        match self.next_fault() {
            None => self.log.append(append).await,
            Some(Fault::AnswerLost) => {
                self.log.append(append).await?;
                Err(AppendError::Unknown { stream, source: "the answer is lost".into() })
            }
            Some(Fault::CommitLost) => {
                Err(AppendError::Unknown { stream, source: "the commit is lost".into() })
            }
            Some(Fault::FalseConflict) => Err(AppendError::Conflict { stream, actual: None }),
            Some(Fault::Away) => Err(AppendError::Unavailable { stream, source: "the log is away".into() }),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<RecordedCommit>, LogError> {
        self.log.read_stream(stream, after, consistency).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        self.log.subscribe(filter, after).await
    }

    async fn head(&self) -> Result<Position, LogError> {
        self.log.head().await
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.log.time().await
    }
}
