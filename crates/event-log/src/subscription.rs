//! The receiving end of a subscription: one message at a time, or as many as are there.

use tokio::sync::mpsc;

use crate::{Foreign, LogError, Position, RecordedCommit, Stored};

/// What a feeding task puts into a subscriber's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The next commit.
    Commit(RecordedCommit),
    /// The next message, which is none of ours.
    Foreign(Foreign),
    /// Everything that matches and was stored when the subscription began has been delivered. Sent once.
    CaughtUp,
}

impl From<Stored> for Delivery {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Commit(commit) => Self::Commit(commit),
            Stored::Foreign(foreign) => Self::Foreign(foreign),
        }
    }
}

/// The receiving end of [`EventLog::subscribe`](crate::EventLog::subscribe).
#[derive(Debug)]
pub struct Subscription {
    deliveries: mpsc::Receiver<Result<Delivery, LogError>>,
    caught_up: bool,
}

/// What was there without waiting for more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The commits, in order.
    pub commits: Vec<RecordedCommit>,
    /// The messages among them that are none of ours, in order.
    pub foreign: Vec<Foreign>,
    /// Whether the subscriber has seen everything that was stored when the subscription began.
    pub caught_up: bool,
}

impl Batch {
    /// The last position in it; `None` for a batch that says no more than that it is caught up.
    pub fn last_position(&self) -> Option<Position> {
        let commit = self.commits.last().map(|commit| commit.position);
        commit.max(self.foreign.last().map(|foreign| foreign.position))
    }

    /// All that is in it, in the order of the log.
    pub fn into_stored(self) -> impl Iterator<Item = Stored> {
        let mut commits = self.commits.into_iter().peekable();
        let mut foreign = self.foreign.into_iter().peekable();
        std::iter::from_fn(move || match (commits.peek(), foreign.peek()) {
            (Some(commit), Some(stranger)) if stranger.position < commit.position => {
                foreign.next().map(Stored::from)
            }
            (Some(_), _) => commits.next().map(Stored::from),
            (None, _) => foreign.next().map(Stored::from),
        })
    }

    /// How many messages are in it.
    pub fn len(&self) -> usize {
        self.commits.len() + self.foreign.len()
    }

    /// Whether it says no more than that it is caught up.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of the message at [`Batch::last_position`].
    pub(crate) fn last_sha256(&self) -> Option<[u8; 32]> {
        let last = self.last_position()?;
        let commit = self.commits.last().filter(|commit| commit.position == last);
        let foreign = self.foreign.last().filter(|foreign| foreign.position == last);
        let payload = commit.map(|commit| &commit.payload).or(foreign.map(|foreign| &foreign.payload))?;
        Some(crate::stored::sha256(payload))
    }
}

impl Subscription {
    /// For adapters: wraps the channel that a feeding task fills.
    pub fn new(deliveries: mpsc::Receiver<Result<Delivery, LogError>>) -> Self {
        Self { deliveries, caught_up: false }
    }

    /// The next message, waited for; `None` when the log was closed for good.
    pub async fn next(&mut self) -> Option<Result<Stored, LogError>> {
        loop {
            match self.deliveries.recv().await? {
                Ok(Delivery::Commit(commit)) => return Some(Ok(commit.into())),
                Ok(Delivery::Foreign(foreign)) => return Some(Ok(foreign.into())),
                Ok(Delivery::CaughtUp) => self.caught_up = true,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// At most `limit` messages, commits and foreign ones together, as many as are there without waiting for the
    /// rest; `None` when the log was closed for good. Waits until there is one or the subscription has just caught
    /// up.
    pub async fn next_batch(&mut self, limit: usize) -> Option<Result<Batch, LogError>> {
        let mut deliveries = Vec::new();
        if self.deliveries.recv_many(&mut deliveries, limit).await == 0 {
            return None;
        }
        let mut batch = Batch { commits: Vec::with_capacity(deliveries.len()), ..Batch::default() };
        for delivery in deliveries {
            match delivery {
                Ok(Delivery::Commit(commit)) => batch.commits.push(commit),
                Ok(Delivery::Foreign(foreign)) => batch.foreign.push(foreign),
                Ok(Delivery::CaughtUp) => self.caught_up = true,
                Err(error) => return Some(Err(error)),
            }
        }
        batch.caught_up = self.caught_up;
        Some(Ok(batch))
    }
}
