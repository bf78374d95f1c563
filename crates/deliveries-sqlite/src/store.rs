//! The port's side: questions go to the one thread, followers page through what is newer.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use async_trait::async_trait;
use cuiban_deliveries::{Deliveries, DeliveriesError, Follow, Key, PutError, Record, Stored, Version};
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::file::{self, OpenError};
use crate::worker::{Asked, Worker};

/// How many records a follower reads at a time.
const PAGE_RECORDS: usize = 500;

/// The limits of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long a record is kept.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { keep_days: 35 }
    }
}

/// The record of deliveries in a file that this process alone has open. Clones share it.
#[derive(Clone)]
pub struct SqliteDeliveries {
    path: PathBuf,
    now: std::sync::Arc<dyn Fn() -> Instant + Send + Sync>,
    asked: Sender<Asked>,
    last: watch::Receiver<Version>,
}

impl std::fmt::Debug for SqliteDeliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteDeliveries").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteDeliveries {
    /// Opens the file, or makes it. `now` is the store's clock.
    pub fn open(
        path: &Path,
        config: &Config,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let connection = file::open(path)?;
        let (asked, questions) = channel();
        let (told, last) = watch::channel(Version::START);
        let now: std::sync::Arc<dyn Fn() -> Instant + Send + Sync> = std::sync::Arc::new(now);
        let clock = now.clone();
        let retention = Duration::from_secs(u64::from(config.keep_days) * 86_400);
        let worker = Worker { connection, now: Box::new(move || clock()), retention, last: told };
        std::thread::Builder::new()
            .name("deliveries".to_owned())
            .spawn(move || worker.run(&questions))
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), now, asked, last })
    }

    async fn ask<T>(
        &self,
        attempted: &'static str,
        question: impl FnOnce(oneshot::Sender<Result<T, cuiban_deliveries::BoxError>>) -> Asked,
    ) -> Result<T, DeliveriesError> {
        let (answer, answered) = oneshot::channel();
        let failed = |source| DeliveriesError { attempted, source };
        self.asked.send(question(answer)).map_err(|_| failed("the file's thread has ended".into()))?;
        answered.await.map_err(|_| failed("the file's thread has ended".into()))?.map_err(failed)
    }

    async fn page(
        &self,
        channel: Option<&ChannelId>,
        after: Version,
    ) -> Result<Vec<Stored>, DeliveriesError> {
        let channel = channel.cloned();
        self.ask("read", |answer| Asked::Page { channel, after, limit: PAGE_RECORDS, answer }).await
    }
}

#[async_trait]
impl Deliveries for SqliteDeliveries {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError> {
        self.ask("read", |answer| Asked::Get(key.clone(), answer)).await
    }

    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError> {
        let (answer, answered) = oneshot::channel();
        let ended = || PutError::Unavailable("the file's thread has ended".into());
        let put = Asked::Put { record: record.clone(), expected, answer };
        self.asked.send(put).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError> {
        let (sender, follow) = Follow::new();
        let (store, channel, mut last) = (self.clone(), channel.cloned(), self.last.clone());
        tokio::spawn(async move {
            let mut after = after;
            loop {
                last.borrow_and_update();
                let page = match store.page(channel.as_ref(), after).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "deliveries cannot be followed"
                        );
                        return;
                    }
                };
                let is_last = page.len() < PAGE_RECORDS;
                for stored in page {
                    after = stored.version;
                    if sender.send(stored).await.is_err() {
                        return;
                    }
                }
                if is_last {
                    tokio::select! {
                        () = sender.closed() => return,
                        changed = last.changed() => if changed.is_err() { return },
                    }
                }
            }
        });
        Ok(follow)
    }

    async fn time(&self) -> Result<Instant, DeliveriesError> {
        Ok((self.now)())
    }
}
