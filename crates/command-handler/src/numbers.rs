//! Ticket numbers (R3): handed out from blocks that are reserved in the log.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use cuiban_domain::Rejection;
use cuiban_domain::ids::{Actor, CommandId, Number};
use cuiban_domain::numbering::{Numbering, NumberingEvent, ReserveNumbers, Series};
use tokio::sync::Mutex;

use crate::{Clock, CommandHandler, CommandMeta, HandleError, IdSource};

/// Hands out numbers that no other process hands out.
pub struct Numbers {
    handler: CommandHandler<Numbering>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    actor: Actor,
    block: u64,
    left: Mutex<HashMap<Series, Range<u64>>>,
}

impl Numbers {
    pub(crate) fn new(
        handler: CommandHandler<Numbering>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        actor: Actor,
        block: u64,
    ) -> Self {
        Self { handler, clock, ids, actor, block: block.max(1), left: Mutex::default() }
    }

    /// The next number of a series; reserves a block when the last one is used up.
    pub async fn next(&self, series: Series) -> Result<Number, HandleError> {
        let mut left = self.left.lock().await;
        let range = left.entry(series).or_insert(0..0);
        if range.is_empty() {
            *range = self.reserve(series).await?;
        }
        let ordinal = range.start;
        range.start += 1;
        series.number(ordinal).map_err(|_| Rejection::NothingToChange.into())
    }

    async fn reserve(&self, series: Series) -> Result<Range<u64>, HandleError> {
        let command_id = CommandId(self.ids.new_id(self.clock.now()));
        let meta = CommandMeta::new(command_id, self.actor.clone());
        let command = ReserveNumbers { count: self.block };
        let handled = self.handler.handle(&series.stream_id(), &command, &meta).await?;
        // Recorded before our answer came: the block is ours, but which one is in the log, not here; skip it.
        match handled.events.first() {
            Some(NumberingEvent::NumbersReserved { first, count }) => Ok(*first..first + count),
            None => Box::pin(self.reserve(series)).await,
        }
    }
}
