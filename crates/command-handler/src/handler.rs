//! One aggregate's commands: load → decide → append, again when others were faster.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cuiban_domain::ids::BranchId;
use cuiban_domain::step_over::StepOverEvent;
use cuiban_domain::ticket::{Ticket, TicketEvent};
use cuiban_domain::{Aggregate, Context, Event, Happened, Instant, Rejection};
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Position, RecordedCommit, Route, StreamId, Token,
};
use cuiban_event_schema::{Commit, Envelope};
use cuiban_vitals::Vitals;

use crate::cache::Cache;
use crate::loaded::Loaded;
use crate::{ClockGuard, CommandMeta, Config, Directory, HandleError, StepOver};

/// Handles the commands of one kind of aggregate.
pub struct CommandHandler<A> {
    log: Arc<dyn EventLog>,
    clock: Arc<ClockGuard>,
    directory: Directory,
    config: Config,
    cache: Cache<A>,
    vitals: Vitals,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was recorded now.
    Recorded,
    /// It had been recorded before, under the same command id.
    Replayed,
    /// There was nothing to record: its aim holds already.
    Unchanged,
}

impl Outcome {
    /// Its one word, for figures.
    fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Replayed => "replayed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// An obeyed command.
#[derive(Clone, Debug)]
pub struct Handled<A: Aggregate> {
    /// What became of it.
    pub outcome: Outcome,
    /// Where in the log it is; the stream's last commit, if there was nothing to record.
    pub position: Position,
    /// Which revision of the stream it is.
    pub revision: u64,
    /// What was recorded now; empty unless the outcome is [`Outcome::Recorded`].
    pub events: Vec<A::Event>,
    /// The stream's state, as last seen.
    pub state: A,
}

/// How one attempt ended when it did not end the command.
enum Again {
    /// The stream has moved on, or may have: read its tail before deciding anew.
    Reread(Option<cuiban_event_log::BoxError>),
}

impl<A: Aggregate> CommandHandler<A> {
    /// A handler over this log.
    pub fn new(log: Arc<dyn EventLog>, clock: Arc<ClockGuard>, directory: Directory, config: Config) -> Self {
        let cache = Cache::new(config.cached_streams_max);
        Self { log, clock, directory, config, cache, vitals: Vitals::default() }
    }

    /// The same, counting in these vitals.
    pub(crate) fn with_vitals(self, vitals: Vitals) -> Self {
        Self { vitals, ..self }
    }

    /// Counted up each time that the log turned out to be another one.
    pub(crate) fn log_generation(&self) -> u64 {
        self.directory.log_generation()
    }

    /// Obeys a command to the stream `id`, once, however often it is sent.
    pub async fn handle(
        &self,
        id: &str,
        command: &A::Command,
        meta: &CommandMeta,
    ) -> Result<Handled<A>, HandleError> {
        self.handle_related(id, command, meta, None).await
    }

    /// The stream's state as the leader knows it, and its revision; 0 for a stream without commits.
    /// [`HandleError::Unreadable`] while this build cannot read all of it.
    pub async fn state(&self, id: &str) -> Result<(A, u64), HandleError> {
        let stream = stream_id::<A>(id)?;
        let slot = self.cache.slot(id, self.log_generation());
        let mut slot = slot.lock().await;
        let mut loaded = slot.take().unwrap_or_default();
        self.reread(&stream, &mut loaded, Consistency::Leader).await?;
        let answer = readable(&loaded).map(|()| (loaded.state.clone(), loaded.revision));
        *slot = Some(loaded);
        answer
    }

    /// The stream's state as last seen from here, read if it is not at hand; `None` while the log is away.
    ///
    /// It may be out of date: whatever is decided on it is checked when it is appended.
    pub(crate) async fn known(&self, id: &str) -> Option<A> {
        let stream = stream_id::<A>(id).ok()?;
        let slot = self.cache.slot(id, self.log_generation());
        let mut slot = slot.lock().await;
        if slot.is_none() {
            let mut loaded = Loaded::default();
            self.reread(&stream, &mut loaded, Consistency::Any).await.ok()?;
            *slot = Some(loaded);
        }
        slot.as_ref().map(|loaded| loaded.state.clone())
    }

    /// As [`Self::handle`], for a decision that also looks at another ticket.
    pub(crate) async fn handle_related(
        &self,
        id: &str,
        command: &A::Command,
        meta: &CommandMeta,
        related: Option<&Ticket>,
    ) -> Result<Handled<A>, HandleError> {
        let counted = Counted { vitals: &self.vitals, aggregate: A::KIND, outcome: "cut_off" };
        counted.count(self.handle_uncounted(id, command, meta, related).await)
    }

    async fn handle_uncounted(
        &self,
        id: &str,
        command: &A::Command,
        meta: &CommandMeta,
        related: Option<&Ticket>,
    ) -> Result<Handled<A>, HandleError> {
        let stream = stream_id::<A>(id)?;
        let slot = self.cache.slot(id, self.log_generation());
        let mut slot = slot.lock().await;
        let mut loaded = match slot.take() {
            Some(loaded) => loaded,
            None => self.first_read(&stream, command).await?,
        };
        let result = self.attempts(&stream, &mut loaded, command, meta, related).await;
        *slot = Some(loaded);
        result
    }

    /// Records that an operator passes over a commit that this build cannot read, so that its stream goes on.
    ///
    /// `further` is recorded with it. What is asked for is checked against what the leader has now.
    pub async fn step_over(
        &self,
        id: &str,
        step: &StepOver,
        meta: &CommandMeta,
        further: impl FnOnce(&A) -> Result<Vec<A::Event>, Rejection>,
    ) -> Result<Handled<A>, HandleError> {
        let stream = stream_id::<A>(id)?;
        let slot = self.cache.slot(id, self.log_generation());
        let mut slot = slot.lock().await;
        let mut loaded = slot.take().unwrap_or_default();
        self.reread(&stream, &mut loaded, Consistency::Leader).await?;
        if let Some(handled) = replayed(&loaded, meta)? {
            *slot = Some(loaded);
            return Ok(handled);
        }
        let unreadable = loaded.unreadable().cloned().ok_or(HandleError::NothingToStepOver)?;
        step.check(&unreadable)?;
        let now = self.clock.now().await?;
        let now = loaded.recorded_at.map_or(now, |recorded_at| now.max(recorded_at));
        let happened = Happened { occurred_at: now, recorded_at: now };
        let further = further(&loaded.state)?;
        let route = Route { branch: unreadable.branch, class: token(A::class(&further).as_str())? };
        let stepped = StepOverEvent::CommitSteppedOver {
            position: unreadable.position.raw(),
            sha256: unreadable.sha256,
            reason: step.reason.clone(),
        };
        let events = std::iter::once(Event::SteppedOver(stepped)).chain(further.into_iter().map(Into::into));
        let events: Vec<_> = events.collect();
        let (append, _) = self.prepare(&stream, &loaded, meta, happened, route, &events)?;
        let (payload, route) = (append.payload.clone(), append.route.clone());
        let appended = self.log.append(append).await.map_err(HandleError::from)?;
        let Appended { position, version } = appended;
        let stored = RecordedCommit { position, stream: stream.clone(), version, route, payload };
        loaded.fold(&stream, stored.into());
        self.note_seen(&loaded);
        let handled = handled(&loaded, Outcome::Recorded, position, loaded.revision, Vec::new());
        *slot = Some(loaded);
        Ok(handled)
    }

    /// A stream that a command creates is taken for empty: the append finds out if it is not.
    async fn first_read(&self, stream: &StreamId, command: &A::Command) -> Result<Loaded<A>, HandleError> {
        let mut loaded = Loaded::default();
        if !A::creates(command) {
            self.reread(stream, &mut loaded, Consistency::Any).await?;
        }
        Ok(loaded)
    }

    async fn attempts(
        &self,
        stream: &StreamId,
        loaded: &mut Loaded<A>,
        command: &A::Command,
        meta: &CommandMeta,
        related: Option<&Ticket>,
    ) -> Result<Handled<A>, HandleError> {
        let mut delay = Duration::from_millis(self.config.retry_delay_ms);
        let mut unknown = None;
        for _ in 0..=self.config.retries_max {
            match self.attempt(stream, loaded, command, meta, related).await {
                Ok(Ok(handled)) => return Ok(handled),
                // An attempt before this one may be stored all the same: nobody can say that nothing was recorded.
                Err(HandleError::Unavailable(source)) if unknown.is_some() => {
                    return Err(HandleError::Unknown(source));
                }
                Err(error) => return Err(error),
                Ok(Err(Again::Reread(cause))) => {
                    if cause.is_some() {
                        unknown = cause;
                        tokio::time::sleep(delay).await;
                        delay *= 2;
                    }
                }
            }
            let mut reread = self.reread(stream, loaded, Consistency::Leader).await;
            if let (Ok(0), None) = (&reread, &unknown) {
                // The stream is not as it was read, and has nothing beyond: another log, or one that was cut.
                *loaded = Loaded::default();
                reread = self.reread(stream, loaded, Consistency::Leader).await;
            }
            match reread {
                Ok(_) => {}
                Err(HandleError::Unavailable(source)) if unknown.is_some() => unknown = Some(source),
                Err(error) => return Err(error),
            }
        }
        // Whether an append without an answer was stored shows in the tail that was read last.
        if let Some(handled) = replayed(loaded, meta)? {
            return Ok(handled);
        }
        Err(match unknown {
            Some(source) => HandleError::Unknown(source),
            None => HandleError::Contended { attempts: self.config.retries_max + 1 },
        })
    }

    async fn attempt(
        &self,
        stream: &StreamId,
        loaded: &mut Loaded<A>,
        command: &A::Command,
        meta: &CommandMeta,
        related: Option<&Ticket>,
    ) -> Result<Result<Handled<A>, Again>, HandleError> {
        if let Some(handled) = replayed(loaded, meta)? {
            return Ok(Ok(handled));
        }
        if loaded.unreadable().is_some()
            && self.reread(stream, loaded, Consistency::Leader).await? > 0
            && let Some(handled) = replayed(loaded, meta)?
        {
            return Ok(Ok(handled));
        }
        readable(loaded)?;
        let mut decided = self.decide(loaded, command, meta, related, self.clock.now().await?);
        // A no, or that there is nothing to do, may rest on a cached state that is out of date: the log is asked first.
        let records_something = decided.as_ref().is_ok_and(|(_, events)| !events.is_empty());
        if !records_something && self.reread(stream, loaded, Consistency::Leader).await? > 0 {
            if let Some(handled) = replayed(loaded, meta)? {
                return Ok(Ok(handled));
            }
            readable(loaded)?;
            decided = self.decide(loaded, command, meta, related, self.clock.now().await?);
        }
        let (happened, events) = decided?;
        if events.is_empty() {
            return Ok(Ok(handled(loaded, Outcome::Unchanged, loaded.position, loaded.revision, events)));
        }
        self.append(stream, loaded, meta, happened, events).await
    }

    fn decide(
        &self,
        loaded: &Loaded<A>,
        command: &A::Command,
        meta: &CommandMeta,
        related: Option<&Ticket>,
        now: Instant,
    ) -> Result<(Happened, Vec<A::Event>), HandleError> {
        if let Some(expected) = meta.expected_revision.filter(|expected| *expected != loaded.revision) {
            return Err(HandleError::RevisionMismatch { expected, actual: loaded.revision });
        }
        // Time never goes back within a stream: what was recorded by another machine's clock has happened.
        let now = loaded.recorded_at.map_or(now, |recorded_at| now.max(recorded_at));
        let organisation = self.directory.organisation();
        let occurred_at = meta.occurred_at.unwrap_or(now);
        let context = Context { now, occurred_at, actor: &meta.actor, organisation: &organisation, related };
        let events = loaded.state.decide(command, &context)?;
        Ok((context.happened(), events))
    }

    async fn append(
        &self,
        stream: &StreamId,
        loaded: &mut Loaded<A>,
        meta: &CommandMeta,
        happened: Happened,
        events: Vec<A::Event>,
    ) -> Result<Result<Handled<A>, Again>, HandleError> {
        let route = Route {
            branch: token(loaded.state.branch(&events).as_ref().map_or("_", BranchId::as_str))?,
            class: token(A::class(&events).as_str())?,
        };
        let events: Vec<Event> = events.into_iter().map(Into::into).collect();
        let (append, commit) = self.prepare(stream, loaded, meta, happened, route, &events)?;
        let (payload, route) = (append.payload.clone(), append.route.clone());
        match self.log.append(append).await {
            Ok(Appended { position, version }) => {
                self.note_delays(&commit);
                let stored = RecordedCommit { position, stream: stream.clone(), version, route, payload };
                let events = loaded.apply(commit, &stored.into());
                self.note_seen(loaded);
                Ok(Ok(handled(loaded, Outcome::Recorded, position, loaded.revision, events)))
            }
            Err(AppendError::Conflict { .. }) => {
                if let Some(metrics) = self.vitals.metrics() {
                    metrics.conflict(A::KIND);
                }
                Ok(Err(Again::Reread(None)))
            }
            Err(AppendError::Unknown { source, .. }) => {
                self.directory.doubt();
                Ok(Err(Again::Reread(Some(source))))
            }
            Err(error) => {
                if let AppendError::Unavailable { .. } = error {
                    self.directory.doubt();
                }
                Err(error.into())
            }
        }
    }

    /// How long after their due instants the notices of a commit were recorded.
    fn note_delays(&self, commit: &Commit) {
        let Some(metrics) = self.vitals.metrics() else { return };
        for event in &commit.events {
            if let Event::Ticket(TicketEvent::ExpediteNoticeIssued { due_at, .. }) = event {
                let delay = commit.envelope.happened.recorded_at - *due_at;
                metrics.notice_delay(delay.to_std().unwrap_or_default());
            }
        }
    }

    /// The commit to append, and what every reader of the log will see of it.
    ///
    /// What is cached and answered is the latter, instants to the microsecond; and nothing is written that could not
    /// be read.
    fn prepare(
        &self,
        stream: &StreamId,
        loaded: &Loaded<A>,
        meta: &CommandMeta,
        happened: Happened,
        route: Route,
        events: &[Event],
    ) -> Result<(Append, Commit), HandleError> {
        let envelope = envelope(stream, loaded.revision + 1, loaded.last_hash, meta, happened);
        let encoded = cuiban_event_schema::encode(&envelope, events);
        let payload = Bytes::from(encoded.map_err(HandleError::NotWritten)?);
        let commit = cuiban_event_schema::decode(&payload).map_err(HandleError::NotReadBack)?;
        let (stream, expected, commit_id) = (stream.clone(), loaded.expected(), meta.command_id.0);
        Ok((Append { stream, expected, route, commit_id, payload }, commit))
    }

    /// Folds what the stream has beyond what is known; answers how many commits that were.
    async fn reread(
        &self,
        stream: &StreamId,
        loaded: &mut Loaded<A>,
        consistency: Consistency,
    ) -> Result<usize, HandleError> {
        let mut tail = self.log.read_stream(stream, loaded.version, consistency).await?;
        if tail.first().is_some_and(|next| !loaded.is_followed_by(next)) {
            *loaded = Loaded::default();
            tail = self.log.read_stream(stream, None, consistency).await?;
        }
        let read = tail.len();
        tail.into_iter().for_each(|stored| loaded.fold(stream, stored));
        self.note_seen(loaded);
        Ok(read)
    }

    /// What is kept of a stream stands on this commit, in this log and no other.
    fn note_seen(&self, loaded: &Loaded<A>) {
        if let Some(hash) = loaded.last_hash {
            self.directory.note_seen(loaded.position, hash);
        }
    }
}

/// Counts how a command ended; one whose caller did not wait for its end as cut off.
struct Counted<'a> {
    vitals: &'a Vitals,
    aggregate: &'static str,
    outcome: &'static str,
}

impl Counted<'_> {
    fn count<A: Aggregate>(
        mut self,
        handled: Result<Handled<A>, HandleError>,
    ) -> Result<Handled<A>, HandleError> {
        self.outcome = match &handled {
            Ok(handled) => handled.outcome.as_str(),
            Err(error) => error.as_str(),
        };
        handled
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.vitals.metrics() {
            metrics.command(self.aggregate, self.outcome);
        }
    }
}

/// The answer to a command that is in the stream already.
fn replayed<A: Aggregate>(loaded: &Loaded<A>, meta: &CommandMeta) -> Result<Option<Handled<A>>, HandleError> {
    let Some(recorded) = loaded.recorded(meta.command_id) else { return Ok(None) };
    if recorded.request_fingerprint != meta.request_fingerprint {
        return Err(HandleError::KeyReused);
    }
    Ok(Some(handled(loaded, Outcome::Replayed, recorded.position, recorded.revision, Vec::new())))
}

fn handled<A: Aggregate>(
    loaded: &Loaded<A>,
    outcome: Outcome,
    position: Position,
    revision: u64,
    events: Vec<A::Event>,
) -> Handled<A> {
    Handled { outcome, position, revision, events, state: loaded.state.clone() }
}

/// Deciding on half a history is refused.
fn readable<A: Aggregate>(loaded: &Loaded<A>) -> Result<(), HandleError> {
    loaded.unreadable().map_or(Ok(()), |unreadable| Err(HandleError::Unreadable(unreadable.clone().into())))
}

fn stream_id<A: Aggregate>(id: &str) -> Result<StreamId, HandleError> {
    Ok(StreamId { kind: token(A::KIND)?, id: token(id)? })
}

fn token(text: &str) -> Result<Token, HandleError> {
    Token::new(text).map_err(HandleError::Address)
}

fn envelope(
    stream: &StreamId,
    revision: u64,
    previous_hash: Option<cuiban_event_schema::CommitHash>,
    meta: &CommandMeta,
    happened: Happened,
) -> Envelope {
    Envelope {
        commit_id: meta.command_id,
        stream_kind: stream.kind.to_string(),
        stream_id: stream.id.to_string(),
        revision,
        actor: meta.actor.clone(),
        correlation_id: meta.correlation_id,
        causation_id: meta.causation_id,
        happened,
        previous_hash,
        request_fingerprint: meta.request_fingerprint,
    }
}
