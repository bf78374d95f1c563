//! Ticket numbers (R3): handed out from blocks that are reserved in the log.
//!
//! While a block is reserved, every registration of its series waits; so the next one is larger when the last one did
//! not last, and smaller again when it did: what a stop leaves unused is what is used up in a moment.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use chrono::TimeDelta;
use cuiban_domain::ids::{Actor, CommandId, Number};
use cuiban_domain::numbering::{Numbering, NumberingEvent, ReserveNumbers, Series};
use cuiban_domain::{Instant, Rejection};
use tokio::sync::Mutex;

use crate::{
    Clock, CommandHandler, CommandMeta, Config, HandleError, Handled, IdSource, StepOver, UnreadableCommit,
};

/// Hands out numbers that no other process hands out.
pub struct Numbers {
    handler: CommandHandler<Numbering>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    actor: Actor,
    block_min: u64,
    block_max: u64,
    blocks: Blocks,
    /// The series that had nothing left when this build could not read their streams.
    unreadable: std::sync::Mutex<BTreeMap<Series, UnreadableCommit>>,
}

/// What is reserved of each series in one log, with a lock of its own: one that has to wait holds up no other.
#[derive(Default)]
struct Blocks(std::sync::Mutex<(u64, HashMap<Series, Slot>)>);

/// A series' block; the task that reserves the next one holds the lock.
type Slot = Arc<Mutex<Option<Block>>>;

/// What is reserved of a series and not handed out yet.
struct Block {
    left: Range<u64>,
    /// How many it had.
    count: u64,
    reserved_at: Instant,
}

/// A block that is used up sooner is too small.
const LASTS_MIN: TimeDelta = TimeDelta::seconds(1);

impl Numbers {
    pub(crate) fn new(
        handler: CommandHandler<Numbering>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        actor: Actor,
        config: &Config,
    ) -> Self {
        let block_min = config.number_block.max(1);
        let block_max = config.number_block_max.max(block_min);
        let (blocks, unreadable) = (Blocks::default(), std::sync::Mutex::default());
        Self { handler, clock, ids, actor, block_min, block_max, blocks, unreadable }
    }

    /// The next number of a series; reserves a block when the last one is used up.
    pub async fn next(&self, series: Series) -> Result<Number, HandleError> {
        let block = self.block(series);
        let mut block = block.lock().await;
        let left = block.as_mut().and_then(|block| block.left.next());
        let ordinal = match left {
            Some(ordinal) => ordinal,
            None => {
                let reserved_at = self.clock.now();
                let count = self.next_count(block.as_ref(), reserved_at);
                let reserved = self.reserve(series, count).await;
                self.note(series, &reserved);
                let mut left = reserved?;
                let ordinal = left.next().ok_or(Rejection::NothingToChange)?;
                *block = Some(Block { left, count, reserved_at });
                ordinal
            }
        };
        series.number(ordinal).map_err(|_| Rejection::NothingToChange.into())
    }

    /// The commits for which a series has no number to give: it is refused until they are stepped over or can be read. What
    /// was reserved before is given out meanwhile, and nothing is found.
    pub fn unreadable(&self) -> Vec<UnreadableCommit> {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What a reservation tells of its series; an answer that is missing tells nothing.
    fn note(&self, series: Series, reserved: &Result<Range<u64>, HandleError>) {
        let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        match reserved {
            Ok(_) => drop(unreadable.remove(&series)),
            Err(HandleError::Unreadable(commit)) => drop(unreadable.insert(series, (**commit).clone())),
            Err(_) => {}
        }
    }

    /// Passes over an unreadable commit of a series, and over all numbers before `next`: which ones it reserved is not
    /// known, so none below is handed out again.
    pub(crate) async fn step_over(
        &self,
        series_id: &str,
        step: &StepOver,
        next: u64,
        meta: &CommandMeta,
    ) -> Result<Handled<Numbering>, HandleError> {
        self.handler.step_over(series_id, step, meta, |numbering| numbering.skip_to(next)).await
    }

    /// What is reserved of a series; nothing, if that was in a log that was exchanged since.
    fn block(&self, series: Series) -> Slot {
        let mut blocks = self.blocks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (log_generation, by_series) = &mut *blocks;
        let present = self.handler.log_generation();
        if std::mem::replace(log_generation, present) != present {
            by_series.clear();
        }
        by_series.entry(series).or_default().clone()
    }

    /// How many to reserve after this block.
    fn next_count(&self, last: Option<&Block>, now: Instant) -> u64 {
        let Some(last) = last else { return self.block_min };
        let lasted = now - last.reserved_at >= LASTS_MIN;
        let count = if lasted { last.count / 2 } else { last.count.saturating_mul(2) };
        count.clamp(self.block_min, self.block_max)
    }

    async fn reserve(&self, series: Series, count: u64) -> Result<Range<u64>, HandleError> {
        let command_id = CommandId(self.ids.new_id(self.clock.now()));
        let meta = CommandMeta::new(command_id, self.actor.clone());
        let command = ReserveNumbers { count };
        let handled = self.handler.handle(&series.stream_id(), &command, &meta).await?;
        // Recorded before our answer came: the block is ours, but which one is in the log, not here; skip it.
        match handled.events.first() {
            Some(NumberingEvent::NumbersReserved { first, count }) => Ok(*first..first + count),
            None => Box::pin(self.reserve(series, count)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use cuiban_domain::ticket::TicketKind;
    use cuiban_event_log::MemoryLog;

    use super::*;
    use crate::{ClockGuard, Directory, ManualClock, SeededIds};

    #[tokio::test]
    async fn r3_blocks_grow_while_they_do_not_last_and_no_number_comes_twice() {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let config = Config { number_block: 2, number_block_max: 16, ..Config::default() };
        let log = Arc::new(MemoryLog::default());
        let guard = Arc::new(ClockGuard::new(clock.clone(), log.clone(), &config));
        let handler = CommandHandler::new(log, guard, Directory::empty(), config.clone());
        let actor = Actor::new("test").unwrap();
        let numbers = Numbers::new(handler, clock.clone(), Arc::new(SeededIds::new(1)), actor, &config);
        let series = Series::of(TicketKind::Repair, DateTime::UNIX_EPOCH.date_naive());
        let mut given = std::collections::HashSet::new();
        for _ in 0..100 {
            assert!(given.insert(numbers.next(series).await.unwrap().to_string()));
        }
        let block = numbers.block(series);
        assert_eq!(block.lock().await.as_ref().unwrap().count, 16);
        for _ in 0..100 {
            clock.advance_by(std::time::Duration::from_secs(1));
            assert!(given.insert(numbers.next(series).await.unwrap().to_string()));
        }
        assert_eq!(block.lock().await.as_ref().unwrap().count, 2);
    }
}
