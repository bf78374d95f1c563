//! The log itself: the port's calls, each handed to the broker.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, Position, RecordedCommit,
    StreamId, StreamVersion, Subscription,
};
use tokio::sync::mpsc;

use crate::api::Broker;
use crate::connect::{ConnectError, connect};
use crate::feeder::Feeder;
use crate::settings::{SettingsReport, report};
use crate::{Config, append, read};

/// A log in one JetStream stream. Clones are handles to the same connection.
#[derive(Clone)]
pub struct JetStreamLog {
    broker: Broker,
    /// The latest time told: the stream's leader may change to a server whose clock is behind.
    told: Arc<Mutex<DateTime<Utc>>>,
}

impl JetStreamLog {
    /// Connects, and makes the stream when there is none. Waits for a server up to the configured time.
    pub async fn connect(config: Config) -> Result<Self, ConnectError> {
        Ok(Self {
            broker: Box::pin(connect(config)).await?,
            told: Arc::new(Mutex::new(DateTime::UNIX_EPOCH)),
        })
    }

    /// What the log was connected with.
    pub fn config(&self) -> &Config {
        &self.broker.config
    }

    /// The connection, for others in the process who talk to the same servers.
    pub fn client(&self) -> async_nats::Client {
        self.broker.client.clone()
    }

    /// How server and stream are set up, beside how they should be.
    pub async fn settings_report(&self) -> Result<SettingsReport, LogError> {
        report(&self.broker).await.map_err(|error| error.attempting("ask for the stream's settings"))
    }
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append::append(&self.broker, append).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<RecordedCommit>, LogError> {
        read::stream(&self.broker, stream, after, consistency).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let history_end = self.head().await?.raw();
        let (deliveries, received) = mpsc::channel(self.broker.config.subscription_commits_max.max(1));
        let feeder = Feeder::new(self.broker.clone(), filter, deliveries, after.raw(), history_end);
        tokio::spawn(feeder.run());
        Ok(Subscription::new(received))
    }

    async fn head(&self) -> Result<Position, LogError> {
        let info = self.broker.stream_info().await.map_err(|error| error.attempting("ask for the head"))?;
        Ok(Position::from_raw(info.state.last_seq))
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        let info =
            self.broker.stream_info().await.map_err(|error| error.attempting("ask for the log's time"))?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = told.max(info.ts);
        Ok(*told)
    }
}

impl fmt::Debug for JetStreamLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { servers, stream, .. } = &self.broker.config;
        f.debug_struct("JetStreamLog")
            .field("servers", servers)
            .field("stream", stream)
            .finish_non_exhaustive()
    }
}
