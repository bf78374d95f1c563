//! The outbox: every alert that is young enough to be told, folded from the log and kept in a store of its own.
//!
//! [`OutboxFold`] is the fold, [`rows`] its rows, [`Outbox`] what the channels' loops read. How an alert stands on a
//! channel is the record of deliveries' business, and no part of this.

mod fold;
mod rows;

use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use cuiban_projector::{Model, Progress, ReadError};
use tokio::sync::watch;

pub(crate) use fold::OutboxFold;
pub(crate) use rows::{KeptAlert, Lane, Place};
use rows::{KeptPlace, ServedBefore};

/// The folded outbox. Clones share it. Answers only from a whole one.
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

    /// The alert that was recorded here, while it is kept.
    pub(crate) fn at(&self, lane: Lane, place: Place) -> Result<Option<KeptAlert>, ReadError> {
        self.model.query(|rows| rows.get(&place.key(lane)))
    }

    /// The alert that this message tells, while it is kept.
    pub(crate) fn find(&self, message: MessageId) -> Result<Option<KeptAlert>, ReadError> {
        self.model.query(|rows| match rows.get::<KeptPlace>(&KeptPlace::key_of(message))? {
            Some(KeptPlace { lane, place }) => rows.get(&place.key(lane)),
            None => Ok(None),
        })
    }

    /// At most `limit` alerts of a lane that were recorded after a place, in the order of the log.
    pub(crate) fn page(
        &self,
        lane: Lane,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<KeptAlert>, ReadError> {
        let after = after.map(|place| place.key(lane));
        let rows = self.model.query(|rows| rows.scan(&lane.key(), after.as_ref(), limit))?;
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }

    /// When a build that recorded attempts in the log last did so for this channel.
    pub(crate) fn served_before(&self, channel: &ChannelId) -> Result<Option<Instant>, ReadError> {
        let row = self.model.query(|rows| rows.get::<ServedBefore>(&ServedBefore::key_of(channel)))?;
        Ok(row.map(|ServedBefore(at)| at))
    }

    /// How many commits could not be folded and were set aside.
    pub(crate) fn parked(&self) -> usize {
        self.model.parked().map_or(0, |parked| parked.len())
    }
}
