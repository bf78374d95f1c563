//! The log itself: the port's calls, each handed to the writer or to a reader.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, LogIdentity, LogStanding,
    Position, Stored, StreamId, StreamVersion, Subscription, TimeSource, TimeStanding,
};
use tokio::sync::{mpsc, watch};

use crate::clock::LogTime;
use crate::feeder::Feeder;
use crate::file::Opened;
use crate::reader::{self, PageQuery, Readers};
use crate::writer::Writer;
use crate::{Config, OpenError};

/// A log in one SQLite file. Clones are handles to the same log; with the last one the writer finishes what
/// was handed to it and the file is closed (dropping waits for that).
///
/// Several handles, in one process or in many, may have the same file open, writing too: the file's own
/// locks and its unique key keep every promise of the port between them.
#[derive(Clone)]
pub struct SqliteLog {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    opened: Opened,
    time: LogTime,
    /// Before the readers, so that the writer's connection is closed first.
    writer: Option<Writer>,
    readers: Arc<Readers>,
    signal: watch::Sender<()>,
}

impl SqliteLog {
    /// Opens the file for reading and writing, and creates it when there is none. Blocks shortly.
    pub fn open(config: Config) -> Result<Self, OpenError> {
        let time = LogTime::system(&config.path);
        Self::open_at(config, time, true)
    }

    /// As [`SqliteLog::open`], with another wall clock behind [`EventLog::time`]: a scaled one, for a demonstration.
    pub fn open_with_time(config: Config, wall: TimeSource) -> Result<Self, OpenError> {
        let time = LogTime::with_wall(wall, &config.path);
        Self::open_at(config, time, true)
    }

    /// Opens an existing file for tools that only read, also while another process writes. Every append
    /// is answered [`AppendError::Unavailable`].
    pub fn open_read_only(config: Config) -> Result<Self, OpenError> {
        let time = LogTime::system(&config.path);
        Self::open_at(config, time, false)
    }

    fn open_at(config: Config, time: LogTime, writable: bool) -> Result<Self, OpenError> {
        let signal = watch::Sender::new(());
        let writer = if writable { Some(Writer::start(&config, signal.clone())?) } else { None };
        let readers = Arc::new(Readers::open(&config)?);
        let opened = Opened::of(&config.path);
        Ok(Self { shared: Arc::new(Shared { config, opened, time, writer, readers, signal }) })
    }

    /// Has the wall clock compared with the time at which the last commit was recorded: whoever decides by this log says it
    /// before. Where the clock is more than thirty days ahead, [`EventLog::time`] is an error until it is put right or
    /// [confirmed](crate::confirm_clock).
    pub fn begins_after(&self, last_commit: DateTime<Utc>) {
        self.shared.time.begins_after(last_commit);
    }

    /// The limits that this log was opened with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (size_bytes, limit_bytes) = (append.payload.len(), self.shared.config.commit_bytes_max);
        if size_bytes > limit_bytes {
            return Err(AppendError::TooLarge { stream: append.stream, size_bytes, limit_bytes });
        }
        match &self.shared.writer {
            Some(writer) => writer.append(append).await,
            None => {
                let source = "the file was opened for reading only".into();
                Err(AppendError::Unavailable { stream: append.stream, source })
            }
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        _: Consistency,
    ) -> Result<Vec<Stored>, LogError> {
        // A commit is acknowledged after its COMMIT, and from then on every connection sees it.
        let stream = stream.clone();
        let read = move |connection: &_| reader::stream(connection, &stream, after);
        self.shared.readers.run("read a stream", read).await
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        let config = &self.shared.config;
        let (deliveries, received) = mpsc::channel(config.page_commits_max.max(1) as usize);
        let feeder = Feeder {
            readers: self.shared.readers.clone(),
            query: Arc::new(PageQuery::new(&filter, config)),
            signal: self.shared.signal.subscribe(),
            poll: config.poll(),
            deliveries,
        };
        tokio::spawn(feeder.run(after));
        Ok(Subscription::new(received))
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        let read = move |connection: &_| reader::at(connection, position);
        self.shared.readers.run("read what is stored at a position", read).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        let id = self.shared.readers.run("ask which log it is", reader::id).await?;
        Ok(LogIdentity { id, made_at: None })
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        let gone = self.shared.opened.gone(&self.shared.config.path);
        let full = self.shared.writer.as_ref().and_then(Writer::problem);
        Ok(gone.into_iter().chain(full).collect())
    }

    async fn head(&self) -> Result<Position, LogError> {
        self.shared.readers.run("ask for the head", reader::head).await
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.shared.time.now()
    }

    fn time_standing(&self) -> TimeStanding {
        TimeStanding { to_be_confirmed: self.shared.time.to_be_confirmed(), ..TimeStanding::default() }
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let writable = self.shared.writer.is_some();
        let path = &self.shared.config.path;
        f.debug_struct("SqliteLog").field("path", path).field("writable", &writable).finish_non_exhaustive()
    }
}
