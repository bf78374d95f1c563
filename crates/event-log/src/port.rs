//! The law: the trait every log keeps, its answers and its errors.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    ClockStep, Filter, LogIdentity, LogStanding, Route, Stored, StreamId, Subscription, TimeStanding,
};

/// A log of commits: appended under an expectation, kept for ever, heard in one order.
///
/// What every adapter promises:
///
/// - **Durable.** `append` answers [`Appended`] only when the commit survives a crash of the process
///   (and, with the deployment's sync setting, of the machine).
/// - **Checked.** A commit is stored only if the stream is as [`Expected`]; of any number of racers with one
///   expectation exactly one wins. The expectation covers the whole stream, whatever the routes.
/// - **Ordered.** Positions grow strictly in the order of storing, over all streams; a commit's
///   position never changes. They may have holes.
/// - **Immutable.** Nothing stored is changed or removed.
/// - **Not a dedupe store.** Storing a commit id again is refused or allowed by the expectation alone. Whoever
///   retries re-reads the stream and looks for its id; an adapter may answer a retry of the same bytes that it
///   recognises with the position of the first storing, never with a second one. Other bytes under a stored id are a
///   conflict: [`Appended`] always means *these* bytes.
/// - **Open to strangers.** What others put into the log's storage without being cuiban is no damage and no end: it is
///   a [`Foreign`](crate::Foreign) message, told in its place to whoever comes by.
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug + 'static {
    /// Stores one commit, if the stream is as expected.
    ///
    /// After [`AppendError::Conflict`] nothing was stored *by this call*; after [`AppendError::Unknown`] it may
    /// have been. In both cases, re-read with [`Consistency::Leader`] and look for the commit id.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// All that is stored of one stream with a version after `after` (from the first, if `None`), in order.
    ///
    /// A foreign message that counts for the stream's version is in its place: the next commit has to expect it.
    /// An unknown stream is empty, not an error. With [`Consistency::Leader`] the answer contains every commit
    /// acknowledged before the call; with [`Consistency::Any`] it may lag behind, but has no hole.
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<Stored>, LogError>;

    /// Every commit that matches, with a position strictly after `after`, each exactly once and in order:
    /// first what is stored, then what comes, for ever.
    ///
    /// The adapter outlives its broker's restarts: a subscription is silent while the broker is away and goes
    /// on without gap or repeat. It ends only with an error that retrying cannot mend, or when it is dropped.
    ///
    /// Foreign messages are delivered in their place: to [`Filter::everything`] all of them, to another filter at least
    /// those whose address agrees with every part that it names. They never end a subscription.
    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError>;

    /// What is stored at exactly this position, as the leader has it; `None` where nothing is.
    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError>;

    /// Which log this is. It stays the same for as long as the log does, whoever asks and however often it is restarted.
    async fn identity(&self) -> Result<LogIdentity, LogError>;

    /// What is wrong with the log at present, beside what its answers say; nothing, for a log that is well.
    async fn standing(&self) -> Result<LogStanding, LogError>;

    /// The position of the last stored message; [`Position::START`] for an empty log.
    async fn head(&self) -> Result<Position, LogError>;

    /// The log's own time, by which everything is decided; near enough to the truth that nothing is early by it.
    ///
    /// It does not go back for as long as the log is open.
    async fn time(&self) -> Result<DateTime<Utc>, LogError>;

    /// What people must know of [`EventLog::time`], as of the last answer; nothing is asked.
    fn time_standing(&self) -> TimeStanding {
        TimeStanding::default()
    }
}

/// One commit to be stored.
#[derive(Clone, Debug)]
pub struct Append {
    /// The history it belongs to.
    pub stream: StreamId,
    /// What the stream must be like for the commit to be stored.
    pub expected: Expected,
    /// Who hears of it.
    pub route: Route,
    /// The commit's identity, equal to its command's id.
    pub commit_id: Uuid,
    /// The encoded commit.
    pub payload: Bytes,
}

/// What the writer believes of the stream. There is no unchecked append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// The stream has no commit yet.
    NoStream,
    /// The stream's last commit has this version.
    At(StreamVersion),
}

/// The version of a stream: opaque, grows with each commit of the stream. People see the revision instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamVersion(u64);

impl StreamVersion {
    /// For adapters: wraps what the log's technology counts by.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// For adapters: the wrapped count.
    pub fn raw(self) -> u64 {
        self.0
    }
}

/// A place in the whole log: opaque, grows with each commit, printed as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position(u64);

impl Position {
    /// Before the first commit.
    pub const START: Self = Self(0);

    /// For adapters and stores: wraps the log's count.
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// For adapters and stores: the wrapped count.
    pub fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not a [`Position`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position in the log")]
pub struct ParsePositionError(String);

impl FromStr for Position {
    type Err = ParsePositionError;
    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        text.parse().map(Self).map_err(|_| ParsePositionError(text.to_owned()))
    }
}

/// How fresh an answer of [`EventLog::read_stream`] must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Any replica will do: an append decided on it is still checked.
    Any,
    /// Contains every commit acknowledged before the call.
    Leader,
}

/// A commit was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the whole log.
    pub position: Position,
    /// The stream's version with it.
    pub version: StreamVersion,
}

/// A commit was not stored, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The stream is not as expected.
    #[error("append to {stream}: the stream is at another version than expected")]
    Conflict {
        /// The stream concerned.
        stream: StreamId,
        /// The stream's version, where the log told it.
        actual: Option<StreamVersion>,
    },
    /// No answer came in time: the commit may or may not be stored.
    #[error("append to {stream}: no answer in time, outcome unknown")]
    Unknown {
        /// The stream concerned.
        stream: StreamId,
        /// What was seen instead of an answer.
        #[source]
        source: BoxError,
    },
    /// The log cannot be reached or refuses all writes now; nothing was stored.
    #[error("append to {stream}: the log is unavailable")]
    Unavailable {
        /// The stream concerned.
        stream: StreamId,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The commit is larger than the log takes; nothing was stored.
    #[error("append to {stream}: {size_bytes} bytes are more than the log takes ({limit_bytes})")]
    TooLarge {
        /// The stream concerned.
        stream: StreamId,
        /// The commit's size.
        size_bytes: usize,
        /// The largest size the log takes.
        limit_bytes: usize,
    },
}

/// A source error of any adapter.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Reading or subscribing failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot be reached now; the same call may succeed later.
    #[error("{attempted}: the log is unavailable")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The log's own time is unknown until a person confirms the clock; nothing can be decided.
    #[error("{attempted}: the clock is to be confirmed: {step}")]
    ClockToBeConfirmed {
        /// What was attempted.
        attempted: &'static str,
        /// What the clock shows.
        step: ClockStep,
    },
    /// What is stored is not what this adapter wrote.
    #[error("{attempted}: the stored log is damaged: {detail}")]
    Damaged {
        /// What was attempted.
        attempted: &'static str,
        /// What is wrong, and where.
        detail: String,
    },
    /// It is another log than the cursor stands on: restored, replaced, made anew, or diverged from it.
    #[error("follow the log: it is not the log that was followed: {detail}")]
    Replaced {
        /// By what it was noticed.
        detail: String,
    },
}
