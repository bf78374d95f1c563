//! A subscription's feeder: page after page into the subscriber's channel, then waiting for more.

use std::sync::Arc;
use std::time::Duration;

use cuiban_event_log::{Delivery, LogError, Position};
use tokio::sync::{mpsc, watch};

use crate::reader::{Page, PageQuery, Readers};

/// Feeds one subscriber until it is gone, the log is closed, or the file is damaged.
pub(crate) struct Feeder {
    pub(crate) readers: Arc<Readers>,
    pub(crate) query: Arc<PageQuery>,
    pub(crate) signal: watch::Receiver<()>,
    pub(crate) poll: Duration,
    pub(crate) deliveries: mpsc::Sender<Result<Delivery, LogError>>,
}

impl Feeder {
    pub(crate) async fn run(mut self, mut cursor: Position) {
        let (mut log_is_closed, mut caught_up) = (false, false);
        loop {
            // Marked as seen before reading, so that what is stored meanwhile wakes us again.
            self.signal.mark_unchanged();
            match self.page(cursor).await {
                Ok(page) => {
                    cursor = page.scanned_to;
                    let at_end = page.at_end;
                    if !self.send(page).await || (at_end && log_is_closed) {
                        return;
                    }
                    if !at_end {
                        continue;
                    }
                    if !caught_up {
                        caught_up = true;
                        if self.deliveries.send(Ok(Delivery::CaughtUp)).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error @ LogError::Damaged { .. }) => {
                    // Whether the subscriber is still there to hear it makes no difference: this is the end.
                    drop(self.deliveries.send(Err(error)).await);
                    return;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a subscription waits for the log"
                    );
                    if log_is_closed {
                        return;
                    }
                }
            }
            tokio::select! {
                () = self.deliveries.closed() => return,
                changed = self.signal.changed(), if !log_is_closed => log_is_closed = changed.is_err(),
                () = tokio::time::sleep(self.poll) => {}
            }
        }
    }

    async fn page(&self, cursor: Position) -> Result<Page, LogError> {
        let query = self.query.clone();
        self.readers.run("follow the log", move |connection| query.page(connection, cursor)).await
    }

    /// Whether the subscriber is still there.
    async fn send(&self, page: Page) -> bool {
        for stored in page.stored {
            if self.deliveries.send(Ok(stored.into())).await.is_err() {
                return false;
            }
        }
        !self.deliveries.is_closed()
    }
}
