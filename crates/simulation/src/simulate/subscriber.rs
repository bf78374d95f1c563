//! One subscription through a connection: late, silent, broken off, or telling things again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cuiban_event_log::{Delivery, EventLog, Filter, LogError, Position, Stored, Subscription};
use tokio::sync::mpsc;

use super::connection::Inner;
use super::fault::Fault;

/// How many commits wait for a reader.
const CHANNEL_COMMITS_MAX: usize = 64;
/// How many commits may be told again.
const REPLAYED_MAX: usize = 6;
/// Once in how many deliveries the subscription falls silent, breaks off, or tells things again.
const FAULT_ONE_IN: u32 = 250;
/// Once in how many deliveries the reader lags.
const SLOW_ONE_IN: u32 = 40;
/// Once in how many subscriptions it begins too early.
const OLDER_ONE_IN: u32 = 5;
/// How often it is looked whether an absent log is back.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

type Deliveries = mpsc::Sender<Result<Delivery, LogError>>;

/// Feeds one reader of one process.
pub(super) struct Subscriber {
    connection: Arc<Inner>,
    source: Subscription,
    deliveries: Deliveries,
    told: VecDeque<Stored>,
}

impl Subscriber {
    pub(super) async fn begin(
        connection: Arc<Inner>,
        filter: Filter,
        after: Position,
    ) -> Result<Subscription, LogError> {
        let older = connection.with_chance(|faults, chance| {
            let by = chance.u64(1..8);
            faults.strikes(Fault::ResumedOlder, chance, OLDER_ONE_IN).then_some(by)
        });
        let after = Position::from_raw(after.raw().saturating_sub(older.unwrap_or_default()));
        let source = connection.scene.log.subscribe(filter, after).await?;
        let (deliveries, received) = mpsc::channel(CHANNEL_COMMITS_MAX);
        let subscriber = Self { connection, source, deliveries, told: VecDeque::new() };
        tokio::spawn(subscriber.run());
        Ok(Subscription::new(received))
    }

    async fn run(mut self) {
        let (deliveries, mut restored) = (self.deliveries.clone(), self.connection.scene.restored());
        tokio::select! {
            biased;
            () = deliveries.closed() => return,
            _ = restored.changed() => {}
            () = self.feed() => return,
        }
        // What it was fed from is gone.
        self.break_off().await;
    }

    async fn feed(&mut self) {
        let mut caught_up = false;
        while let Some(Ok(batch)) = self.source.next_batch(CHANNEL_COMMITS_MAX).await {
            let is_caught_up = batch.caught_up;
            for stored in batch.into_stored() {
                if self.meet_faults().await.is_err() {
                    return;
                }
                let stored = match stored {
                    Stored::Commit(commit) => self.connection.scene.seams.hear(commit).map(Stored::Commit),
                    foreign @ Stored::Foreign(_) => Some(foreign),
                };
                let Some(stored) = stored else { continue };
                if self.told.len() == REPLAYED_MAX {
                    self.told.pop_front();
                }
                self.told.push_back(stored.clone());
                if self.deliveries.send(Ok(stored.into())).await.is_err() {
                    return;
                }
            }
            if is_caught_up && !caught_up {
                caught_up = true;
                if self.deliveries.send(Ok(Delivery::CaughtUp)).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What happens before the next delivery; an error when it is the last thing that happens.
    async fn meet_faults(&mut self) -> Result<(), ()> {
        let connection = self.connection.clone();
        let (silent, broken, replayed, slow) = connection.with_chance(|faults, chance| {
            let (minutes, delay_ms) = (chance.u64(1..10), chance.u64(50..5_000));
            (
                faults.strikes(Fault::Silent, chance, FAULT_ONE_IN).then_some(minutes),
                faults.strikes(Fault::Broken, chance, FAULT_ONE_IN),
                faults.strikes(Fault::Replayed, chance, FAULT_ONE_IN),
                faults.strikes(Fault::Slow, chance, SLOW_ONE_IN).then_some(delay_ms),
            )
        });
        if let Some(minutes) = silent {
            connection.tell(Fault::Silent, &format!("{minutes} minutes"));
            tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        }
        if let Some(delay_ms) = slow {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        while connection.is_away() {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        connection.or_dead().await;
        if replayed {
            connection.tell(Fault::Replayed, &format!("{} commits", self.told.len()));
            for stored in self.told.clone() {
                self.deliveries.send(Ok(stored.into())).await.map_err(drop)?;
            }
        }
        if broken {
            connection.tell(Fault::Broken, "");
            self.break_off().await;
            return Err(());
        }
        Ok(())
    }

    async fn break_off(&self) {
        let source = "the subscription broke off".into();
        let broken = LogError::Unavailable { attempted: "follow the log", source };
        // The reader may have gone meanwhile.
        let _ = self.deliveries.send(Err(broken)).await;
    }
}
