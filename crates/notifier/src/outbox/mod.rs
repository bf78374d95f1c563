//! The outbox: which alerts some channel has not settled, folded from the log and kept in a store of its own.
//!
//! [`OutboxFold`] is the fold, [`rows`] its rows, [`Outbox`] what the channels' loops read. Nothing is written here
//! but by the fold: what was pushed comes back through the log.

mod fold;
mod rows;

use cuiban_projector::{Key, Model, Progress, ReadError};
use tokio::sync::watch;

pub use fold::GIVEN_UP_KEPT;
pub(crate) use fold::{Addressed, OutboxFold};
pub use rows::GivenUpAlert;
pub(crate) use rows::{Lane, PendingAlert, Place};

/// The folded outbox. Clones share it. Answers only from a whole one: half an outbox would call settled what it has
/// not folded yet.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    model: Model<OutboxFold>,
    progress: watch::Receiver<Progress>,
}

impl Outbox {
    pub(crate) fn new(model: Model<OutboxFold>, progress: watch::Receiver<Progress>) -> Self {
        Self { model, progress }
    }

    /// How far the fold has come, and each change of it.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The alert that was recorded here, while it is pending.
    pub(crate) fn pending(&self, lane: Lane, place: Place) -> Result<Option<PendingAlert>, ReadError> {
        self.model.query(|rows| rows.get(&place.key(lane)))
    }

    /// At most `limit` pending alerts of a lane that were recorded after a place, in the order of the log.
    pub(crate) fn page(
        &self,
        lane: Lane,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<PendingAlert>, ReadError> {
        let after = after.map(|place| place.key(lane));
        let rows = self.model.query(|rows| rows.scan(&lane.key(), after.as_ref(), limit))?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// The alerts that were given up last, the latest first.
    pub(crate) fn given_up(&self) -> Result<Vec<GivenUpAlert>, ReadError> {
        let limit = usize::try_from(GIVEN_UP_KEPT).unwrap_or(usize::MAX);
        let rows = self.model.query(|rows| rows.scan::<GivenUpAlert>(&Key::new(), None, limit))?;
        let mut rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        Ok(rows)
    }

    /// How many commits could not be folded and were set aside.
    pub(crate) fn parked(&self) -> usize {
        self.model.parked().map_or(0, |parked| parked.len())
    }
}
