//! Following a log that may be exchanged: a subscription that knows on which log it stands.
//!
//! A position means nothing in another log: whoever went on from it would silently miss that log's beginning. So the
//! follower keeps a [`Cursor`], and [`Following`] compares it with the log before it subscribes, every few seconds
//! from then on, and when the subscription fails.
//!
//! ```text
//!  begin(cursor) ─► compare ─► subscribe ─► next_batch … ─► compare ─► next_batch … ─► Replaced
//!                      │                                       └─ the marks move on to the head
//!                      └─ another log: Replaced
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use crate::{Batch, Cursor, EventLog, Filter, LogError, LogIdentity, Position, RecordedCommit, Subscription};

/// The pause before a log that seems to be another is asked again: a leader that has just begun may lag.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A subscription that notices when the log under it is another than the one that it was begun on: replaced, restored,
/// made anew, cut back or diverged, whether that one is shorter or longer.
///
/// What is noticed is not undone: batches that came between the exchange and its discovery may be the other log's.
/// Whoever hears [`LogError::Replaced`] puts aside what it has drawn from this following and begins at the start.
pub struct Following {
    log: Arc<dyn EventLog>,
    identity: LogIdentity,
    /// What was delivered last.
    cursor: Cursor,
    /// What was the log's end when it was last looked at, and after it the ends of batches since.
    marks: Vec<Mark>,
    /// What its follower has learned elsewhere, and no look has compared yet; so many of them are in the one under way.
    witnesses: Vec<Mark>,
    witnessed_up_to: Position,
    witnesses_looked_at: usize,
    subscription: Subscription,
    look: Interval,
    /// A comparison that is under way. It is kept here, so that nothing is lost when whoever waits goes away.
    looking: Option<Look>,
    /// With what the subscription ended; told once it has been looked whether an exchange was the reason.
    ended: Option<LogError>,
}

/// How many marks are kept: beyond that, every second one is let go of. Fewer would let a log that diverged after the
/// last look, and has grown beyond the cursor since, pass more easily; more would make a look costlier.
const MARKS_MAX: usize = 16;

/// What is known to be stored at a position.
#[derive(Clone, Copy, Debug)]
struct Mark {
    position: Position,
    sha256: [u8; 32],
}

type Look = Pin<Box<dyn Future<Output = Result<Looked, LogError>> + Send>>;

/// What a comparison gives that found no difference: which log it is, and where it ends.
struct Looked {
    identity: LogIdentity,
    head: Option<Mark>,
}

/// What somebody has seen of a log, by which it is known again.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    identity: LogIdentity,
    reached: Position,
    marks: Vec<Mark>,
}

impl From<&Cursor> for Seen {
    fn from(cursor: &Cursor) -> Self {
        let mark = cursor.sha256.map(|sha256| Mark { position: cursor.position, sha256 });
        Self { identity: cursor.log, reached: cursor.position, marks: mark.into_iter().collect() }
    }
}

impl Seen {
    /// And what has this hash, at this position.
    #[must_use]
    pub fn and(mut self, position: Position, sha256: [u8; 32]) -> Self {
        self.marks.push(Mark { position, sha256 });
        self
    }
}

impl Following {
    /// Subscribes to what follows the cursor, if this is the log on which it stands: [`LogError::Replaced`] otherwise,
    /// after the log was asked twice. From then on it is looked again every `look_every`.
    ///
    /// A cursor without an identity is taken over if the log reaches it. A log that cannot be reached is an error, but
    /// no other log.
    pub async fn begin(
        log: Arc<dyn EventLog>,
        filter: Filter,
        from: Cursor,
        look_every: Duration,
    ) -> Result<Self, LogError> {
        let seen = Seen::from(&from);
        Self::begin_after(log, filter, from, seen, look_every).await
    }

    /// As [`Following::begin`], for a follower that has seen more of the log than what it follows.
    pub async fn begin_after(
        log: Arc<dyn EventLog>,
        filter: Filter,
        from: Cursor,
        seen: Seen,
        look_every: Duration,
    ) -> Result<Self, LogError> {
        let Looked { identity, head } = compare_twice(log.clone(), seen).await?;
        let sha256 = match from.sha256 {
            None => mark_at(log.as_ref(), from.position).await?.map(|mark| mark.sha256),
            known => known,
        };
        let cursor = Cursor { log: identity, sha256, ..from };
        let subscription = log.subscribe(filter, from.position).await?;
        let mut look = tokio::time::interval(look_every.max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        let marks = head.into_iter().collect();
        Ok(Self {
            log,
            identity,
            cursor,
            marks,
            witnesses: Vec::new(),
            witnessed_up_to: Position::START,
            witnesses_looked_at: 0,
            subscription,
            look,
            looking: None,
            ended: None,
        })
    }

    /// Whether this is the log of which that was seen, as [`Following::begin`] asks: [`LogError::Replaced`] if not.
    pub async fn check(log: Arc<dyn EventLog>, seen: impl Into<Seen>) -> Result<(), LogError> {
        compare_twice(log, seen.into()).await.map(drop)
    }

    /// What was seen of the log up to now, its end at the last look included.
    pub fn seen(&self) -> Seen {
        let marks = [self.marks.as_slice(), &self.witnesses].concat();
        Seen { identity: self.identity, reached: self.cursor.position, marks }
    }

    /// As [`Subscription::next_batch`]; [`LogError::Replaced`] once it shows that this is another log. After an error,
    /// the following has ended. Nothing is lost when the future is dropped.
    pub async fn next_batch(&mut self, limit: usize) -> Option<Result<Batch, LogError>> {
        loop {
            if self.ended.is_some() && self.looking.is_none() {
                self.begin_look();
            }
            tokio::select! {
                // In this order: a subscriber who is always behind looks all the same.
                biased;
                looked = looked(&mut self.looking) => {
                    self.looking = None;
                    match (looked, self.ended.take()) {
                        (Ok(looked), None) => self.move_on(&looked),
                        (Err(replaced @ LogError::Replaced { .. }), _) => return Some(Err(replaced)),
                        (_, Some(ended)) => return Some(Err(ended)),
                        // The subscription waits for the log to come back; so does this.
                        (Err(error), None) => tracing::debug!(
                            error = &error as &dyn std::error::Error,
                            "it cannot be seen which log this is"
                        ),
                    }
                }
                _ = self.look.tick(), if self.looking.is_none() => self.begin_look(),
                batch = self.subscription.next_batch(limit), if self.ended.is_none() => match batch? {
                    Ok(batch) => {
                        self.note(&batch);
                        return Some(Ok(batch));
                    }
                    // A look that is under way may have begun before the end.
                    Err(error) => (self.ended, self.looking) = (Some(error), None),
                },
            }
        }
    }

    /// This is stored at this position, as its follower has learned elsewhere: the next look asks for it, too.
    pub fn witness(&mut self, position: Position, sha256: [u8; 32]) {
        // Also behind the end that was looked at last: since this was learned, the log may have been cut and gone on.
        if position > self.witnessed_up_to && self.witnesses.len() < MARKS_MAX {
            self.witnesses.push(Mark { position, sha256 });
            self.witnessed_up_to = position;
        }
    }

    /// Which log it is, as far as is known by now.
    pub fn log(&self) -> LogIdentity {
        self.identity
    }

    /// What to keep when everything that was delivered is taken.
    pub fn cursor(&self) -> Cursor {
        Cursor { log: self.identity, ..self.cursor }
    }

    /// What to keep when everything up to this commit is taken.
    pub fn cursor_at(&self, commit: &RecordedCommit) -> Cursor {
        Cursor { log: self.identity, position: commit.position, sha256: Some(commit.sha256()) }
    }

    fn note(&mut self, batch: &Batch) {
        let Some((position, sha256)) = batch.last_position().zip(batch.last_sha256()) else { return };
        // Told again, it is behind what is known.
        if position <= self.cursor.position {
            return;
        }
        self.cursor = Cursor { log: self.identity, position, sha256: Some(sha256) };
        if self.marks.last().is_none_or(|last| last.position < position) {
            self.marks.push(Mark { position, sha256 });
        }
        if self.marks.len() > MARKS_MAX {
            let mut nth = 0_usize;
            self.marks.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
        if self.identity.id.is_none() {
            // The log was empty; now its id can be asked for.
            self.look.reset_immediately();
        }
    }

    /// Begins to compare what is known with the log.
    fn begin_look(&mut self) {
        self.witnesses_looked_at = self.witnesses.len();
        self.looking = Some(Box::pin(compare_twice(self.log.clone(), self.seen())));
    }

    /// What stands before the log's end needs no mark any more.
    fn move_on(&mut self, looked: &Looked) {
        self.identity = looked.identity;
        self.witnesses.drain(..self.witnesses_looked_at);
        if let Some(head) = looked.head {
            self.marks.retain(|mark| mark.position > head.position);
            self.marks.insert(0, head);
        }
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (log, cursor) = (&self.log, self.cursor());
        f.debug_struct("Following").field("log", log).field("cursor", &cursor).finish_non_exhaustive()
    }
}

/// Waits for a comparison; for ever, if there is none.
async fn looked(looking: &mut Option<Look>) -> Result<Looked, LogError> {
    match looking {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}

/// Says that the log is another only when it does so twice.
async fn compare_twice(log: Arc<dyn EventLog>, seen: Seen) -> Result<Looked, LogError> {
    match compare(log.as_ref(), &seen).await {
        Err(LogError::Replaced { .. }) => {
            tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            compare(log.as_ref(), &seen).await
        }
        answer => answer,
    }
}

/// Compares what is known with the log. Its end is read first: if the log is exchanged meanwhile, the comparison or the
/// next one finds out.
async fn compare(log: &dyn EventLog, seen: &Seen) -> Result<Looked, LogError> {
    let replaced = |detail| Err(LogError::Replaced { detail });
    let end = log.head().await?;
    let head = mark_at(log, end).await?;
    let found = log.identity().await?;
    if let Some(detail) = seen.identity.exchanged_for(&found) {
        return replaced(detail);
    }
    let reached = seen.marks.iter().fold(seen.reached, |reached, mark| reached.max(mark.position));
    if end < reached {
        return replaced(format!("it ends at {end}, and was known up to {reached}"));
    }
    for Mark { position, sha256 } in &seen.marks {
        let found = if *position == end { head } else { mark_at(log, *position).await? };
        match found {
            Some(found) if found.sha256 == *sha256 => {}
            Some(_) => return replaced(format!("something else is stored at {position}")),
            None => return replaced(format!("nothing is stored at {position} any more")),
        }
    }
    Ok(Looked { identity: seen.identity.and(found), head })
}

async fn mark_at(log: &dyn EventLog, position: Position) -> Result<Option<Mark>, LogError> {
    if position == Position::START {
        return Ok(None);
    }
    Ok(log.stored_at(position).await?.map(|stored| Mark { position, sha256: stored.sha256() }))
}
