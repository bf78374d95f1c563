//! The log itself: the port's calls, each handed to the broker.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, LogId, LogIdentity, LogStanding,
    Position, Stored, StreamId, StreamVersion, Subscription, TimeStanding,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::Broker;
use crate::connect::{Access, ConnectError, connect};
use crate::feeder::Feeder;
use crate::fitness::keep_looking;
use crate::leader_time::{LeaderTime, ticks};
use crate::settings::{SettingsReport, report};
use crate::{Config, append, read};

/// A log in one JetStream stream. Clones are handles to the same connection.
#[derive(Clone)]
pub struct JetStreamLog {
    broker: Broker,
    leader_time: LeaderTime,
    /// The log's id, and of which first message it is: nothing that is stored changes.
    first: Arc<Mutex<Option<(FirstPlace, LogId)>>>,
    /// Looks at the stream's settings until the last handle is gone.
    _looking: Arc<JoinSet<()>>,
}

/// Where a log begins.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FirstPlace {
    made_at: DateTime<Utc>,
    sequence: u64,
}

impl JetStreamLog {
    /// Connects, and makes the stream when there is none. Waits for a server up to the configured time.
    pub async fn connect(config: Config) -> Result<Self, ConnectError> {
        Self::connect_for(config, Access::Write).await
    }

    /// Connects to a log that there is; nothing is made and no setting is looked at, and what cannot be written to can be
    /// read. For tools.
    pub async fn connect_for_reading(config: Config) -> Result<Self, ConnectError> {
        Self::connect_for(config, Access::Read).await
    }

    async fn connect_for(config: Config, access: Access) -> Result<Self, ConnectError> {
        let broker = Box::pin(connect(config, access)).await?;
        let mut looking = JoinSet::new();
        looking.spawn(keep_looking(broker.clone()));
        Ok(Self {
            broker,
            _looking: Arc::new(looking),
            leader_time: LeaderTime::default(),
            first: Arc::default(),
        })
    }

    fn known_id(&self, place: FirstPlace) -> Option<LogId> {
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.filter(|(known, _)| *known == place).map(|(_, id)| id)
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
    ) -> Result<Vec<Stored>, LogError> {
        read::stream(&self.broker, stream, after, consistency).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let history_end = self.head().await?.raw();
        let (deliveries, received) = mpsc::channel(self.broker.config.subscription_commits_max.max(1));
        let feeder = Feeder::new(self.broker.clone(), filter, deliveries, after.raw(), history_end);
        tokio::spawn(feeder.run());
        Ok(Subscription::new(received))
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        read::stored_at(&self.broker, position.raw()).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let info = read::leaders_info(&self.broker, "ask which log it is").await?;
        let place = FirstPlace { made_at: info.created, sequence: info.state.first_seq };
        let id = match self.known_id(place) {
            Some(id) => Some(id),
            None if info.state.messages == 0 => None,
            None => {
                let first = read::stored_at(&self.broker, place.sequence).await?;
                let id = first.map(|first| LogId(first.sha256()));
                *self.first.lock().unwrap_or_else(PoisonError::into_inner) = id.map(|id| (place, id));
                id
            }
        };
        Ok(LogIdentity { id, made_at: Some(info.created) })
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        let info = read::leaders_info(&self.broker, "ask how the log stands").await?;
        Ok(self.broker.fitness.standing(&info))
    }

    async fn head(&self) -> Result<Position, LogError> {
        let info = read::leaders_info(&self.broker, "ask for the head").await?;
        Ok(Position::from_raw(info.state.last_seq))
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        let asked = ticks();
        let info =
            self.broker.stream_info().await.map_err(|error| error.attempting("ask for the log's time"))?;
        self.leader_time.judge(&self.broker, &info, asked).await
    }

    fn time_standing(&self) -> TimeStanding {
        self.leader_time.standing()
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
