//! One notifier's way to the record of deliveries, which may be away, leave puts unanswered, or break off.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use cuiban_deliveries::{Deliveries, DeliveriesError, Follow, Key, PutError, Record, Stored, Version};
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::scene::Scene;

/// Once in how many calls the record goes away.
const AWAY_ONE_IN: u32 = 400;
/// Once in how many puts the answer is lost.
const UNANSWERED_ONE_IN: u32 = 40;
/// Once in how many records that are heard the following ends.
const BROKEN_ONE_IN: u32 = 100;

/// A process's way to the record. Clones are the same way.
#[derive(Clone)]
pub(crate) struct Records(Arc<Inner>);

struct Inner {
    scene: Arc<Scene>,
    process: String,
    life: CancellationToken,
    state: Mutex<State>,
}

struct State {
    chance: fastrand::Rng,
    away_until: Option<Instant>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Records").field(&self.0.process).finish()
    }
}

impl Records {
    pub(crate) fn new(
        scene: Arc<Scene>,
        process: String,
        life: CancellationToken,
        chance: fastrand::Rng,
    ) -> Self {
        let state = Mutex::new(State { chance, away_until: None });
        Self(Arc::new(Inner { scene, process, life, state }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_away(&self) -> bool {
        let now = self.0.scene.now();
        self.0.scene.faults.are_on() && self.state().away_until.is_some_and(|until| now < until)
    }

    fn strikes(&self, fault: Fault, one_in: u32) -> bool {
        let strikes = self.0.scene.faults.strikes(fault, &mut self.state().chance, one_in);
        if strikes {
            self.0.scene.tell(|| format!("{:<9} {fault}", self.0.process));
        }
        strikes
    }

    /// On the way some time passes; a process that is dead gets no further.
    async fn travel(&self) -> Result<(), &'static str> {
        let (delay_ms, minutes) = {
            let chance = &mut self.state().chance;
            (chance.u64(1..8), chance.i64(1..10))
        };
        let goes_away = self.state().chance.u32(..AWAY_ONE_IN) == 0;
        // A process that asks again and again while it is away does not keep it away.
        if goes_away && !self.is_away() && self.0.scene.faults.are_let(Fault::RecordsAway) {
            self.0.scene.tell(|| format!("{:<9} {}", self.0.process, Fault::RecordsAway));
            self.state().away_until = Some(self.0.scene.now() + TimeDelta::minutes(minutes));
        }
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        if self.0.life.is_cancelled() {
            std::future::pending::<()>().await;
        }
        if self.is_away() { Err("the record of deliveries is away") } else { Ok(()) }
    }

    async fn ask(&self, attempted: &'static str) -> Result<(), DeliveriesError> {
        self.travel().await.map_err(|source| DeliveriesError { attempted, source: source.into() })
    }
}

#[async_trait]
impl Deliveries for Records {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError> {
        self.ask("look something up").await?;
        self.0.scene.deliveries.get(key).await
    }

    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError> {
        self.travel().await.map_err(|source| PutError::Unavailable(source.into()))?;
        let deliveries = &self.0.scene.deliveries;
        let expected = match self.0.scene.seams.checks_record_version() {
            true => expected,
            false => deliveries.get(&record.key()).await.ok().flatten().map(|stored| stored.version),
        };
        let version = deliveries.put(record, expected).await?;
        match self.strikes(Fault::RecordUnanswered, UNANSWERED_ONE_IN) {
            true => Err(PutError::Unknown("the answer is lost".into())),
            false => Ok(version),
        }
    }

    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError> {
        self.ask("follow").await?;
        let mut source = self.0.scene.deliveries.follow(channel, after).await?;
        let (sender, follow) = Follow::new();
        let records = self.clone();
        tokio::spawn(async move {
            loop {
                let stored = tokio::select! {
                    biased;
                    () = sender.closed() => return,
                    stored = source.next() => stored,
                };
                let Some(stored) = stored else { return };
                if records.strikes(Fault::RecordsBroken, BROKEN_ONE_IN) || sender.send(stored).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(follow)
    }

    async fn time(&self) -> Result<Instant, DeliveriesError> {
        self.ask("ask for its time").await?;
        self.0.scene.deliveries.time().await
    }
}
