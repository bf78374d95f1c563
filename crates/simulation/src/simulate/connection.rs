//! One process's connection to the log, on which whatever can go wrong does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use cuiban_command_handler::Clock;
use cuiban_domain::Instant;
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, LogIdentity, LogProblem,
    LogStanding, Position, Stored, StreamId, StreamVersion, Subscription,
};
use cuiban_notifier::Channel;
use tokio_util::sync::CancellationToken;

use super::fault::Fault;
use super::machine_clock::MachineClock;
use super::receiver::Receiver;
use super::scene::Scene;
use super::subscriber::Subscriber;

/// Once in how many appends each of the plain faults strikes.
const APPEND_FAULT_ONE_IN: u32 = 25;
/// Once in how many appends a process dies, before it or after it.
const CRASH_ONE_IN: u32 = 150;
/// Once in how many calls the log goes away.
const AWAY_ONE_IN: u32 = 400;
/// Once in how many calls something else strikes.
const CALL_FAULT_ONE_IN: u32 = 40;

/// A process's way to the log. Clones are the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) scene: Arc<Scene>,
    pub(super) process: String,
    /// The process's life: it ends when this is cancelled.
    pub(super) life: CancellationToken,
    clock: Arc<MachineClock>,
    receiver: Arc<Receiver>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: fastrand::Rng,
    away_until: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(
        scene: Arc<Scene>,
        process: String,
        life: CancellationToken,
        clock: Arc<MachineClock>,
        receiver: Arc<Receiver>,
        chance: fastrand::Rng,
    ) -> Self {
        let state = Mutex::new(State { chance, away_until: None });
        Self { inner: Arc::new(Inner { scene, process, life, clock, receiver, state }) }
    }

    /// On the way to the log and back some time passes; a process that is dead gets no further.
    async fn travel(&self, attempted: &'static str) -> Result<(), LogError> {
        let inner = &self.inner;
        let (delay, goes_away, is_slow) = inner.with_chance(|faults, chance| {
            let delay = Duration::from_millis(chance.u64(1..12));
            let goes_away = chance.u32(..AWAY_ONE_IN) == 0;
            (delay, goes_away, faults.strikes(Fault::AnswerSlow, chance, CALL_FAULT_ONE_IN))
        });
        // A process that asks again and again while it is away does not keep it away.
        if goes_away && !inner.is_away() && inner.scene.faults.are_let(Fault::LogAway) {
            inner.log_goes_away();
        }
        tokio::time::sleep(delay).await;
        if is_slow {
            let wait = inner.with_chance(|_, chance| Duration::from_secs(chance.u64(1..15)));
            inner.tell(Fault::AnswerSlow, attempted);
            tokio::time::sleep(wait).await;
        }
        inner.or_dead().await;
        if inner.is_away() {
            return Err(LogError::Unavailable { attempted, source: "the log is away".into() });
        }
        Ok(())
    }

    /// A question that changes nothing may stay without an answer, too.
    async fn ask(&self, attempted: &'static str) -> Result<(), LogError> {
        self.travel(attempted).await?;
        let inner = &self.inner;
        let failed =
            inner.with_chance(|faults, chance| faults.strikes(Fault::ReadFailed, chance, CALL_FAULT_ONE_IN));
        if failed {
            inner.tell(Fault::ReadFailed, attempted);
            return Err(LogError::Unavailable { attempted, source: "no answer".into() });
        }
        Ok(())
    }
}

impl Inner {
    pub(super) fn with_chance<T>(
        &self,
        draw: impl FnOnce(&super::fault::Faults, &mut fastrand::Rng) -> T,
    ) -> T {
        draw(&self.scene.faults, &mut self.state().chance)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, fault: Fault, what: &str) {
        self.scene.tell(|| format!("{:<9} {fault}: {what}", self.process));
    }

    pub(super) fn is_away(&self) -> bool {
        let now = self.scene.now();
        let away_until = self.state().away_until;
        self.scene.is_log_away()
            || (self.scene.faults.are_on() && away_until.is_some_and(|until| now < until))
    }

    fn log_goes_away(&self) {
        let (for_all, minutes) = self.with_chance(|_, chance| (chance.u8(..4) == 0, chance.u64(1..10)));
        if for_all {
            return self.scene.log_goes_away(minutes);
        }
        self.tell(Fault::LogAway, "for this process");
        let until = self.scene.now() + TimeDelta::minutes(i64::try_from(minutes).unwrap_or_default());
        self.state().away_until = Some(until);
    }

    /// A dead process does nothing more, for ever.
    pub(super) async fn or_dead(&self) {
        if self.life.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    /// What becomes of an append, if anything does.
    fn append_fault(&self) -> Option<Fault> {
        const PLAIN: [Fault; 5] = [
            Fault::AnswerLost,
            Fault::CommitLost,
            Fault::AppendDelayed,
            Fault::FalseConflict,
            Fault::Refused,
        ];
        const DEADLY: [Fault; 2] = [Fault::CrashBeforeAppend, Fault::CrashAfterAppend];
        self.with_chance(|faults, chance| {
            let mut struck = None;
            for (kinds, one_in) in [(&PLAIN[..], APPEND_FAULT_ONE_IN), (&DEADLY, CRASH_ONE_IN)] {
                for fault in kinds {
                    // Each is drawn, whatever was struck before: a kind that is left out changes no other draw.
                    let drawn = chance.u32(..one_in) == 0;
                    if drawn && struck.is_none() && faults.are_let(*fault) {
                        struck = Some(*fault);
                    }
                }
            }
            struck
        })
    }

    fn die(&self) {
        self.life.cancel();
    }

    /// What is appended under somebody else's settings may be lost, so nothing of it is acknowledged.
    fn store(&self, append: Append) -> Result<Appended, AppendError> {
        let stream = append.stream.clone();
        let seams = &self.scene.seams;
        let is_kept = !self.scene.are_settings_changed() || self.with_chance(|_, chance| chance.bool());
        let stored = match seams.stores() && is_kept {
            true => self.scene.store(append)?,
            false => Appended { position: Position::from_raw(1), version: StreamVersion::from_raw(1) },
        };
        match self.scene.are_settings_changed() && seams.refuses_under_other_settings() {
            true => Err(AppendError::Unknown { stream, source: "the log's settings are not ours".into() }),
            false => Ok(stored),
        }
    }

    /// The commit is on its way, and arrives when nobody waits for it any more.
    fn store_later(&self, append: Append) {
        let delay = self.with_chance(|_, chance| Duration::from_millis(chance.u64(100..60_000)));
        let scene = self.scene.clone();
        tokio::spawn(async move {
            let mut restored = scene.restored();
            tokio::select! {
                biased;
                // It was on its way to a log that is no more.
                _ = restored.changed() => {}
                // One that comes too late finds the stream at another version.
                () = tokio::time::sleep(delay) => drop(scene.store(append)),
            }
        });
    }
}

#[async_trait]
impl EventLog for Connection {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let (inner, stream) = (&self.inner, append.stream.clone());
        if let Err(LogError::Unavailable { source, .. }) = self.travel("append").await {
            return Err(AppendError::Unavailable { stream, source });
        }
        if let Some(message) = inner.scene.seams.push_first(&append) {
            // Whatever the receiver says.
            let _ = inner.receiver.push(&message).await;
        }
        let unknown =
            |what: &str| AppendError::Unknown { stream: append.stream.clone(), source: what.into() };
        let Some(fault) = inner.append_fault() else { return inner.store(append) };
        inner.tell(fault, &stream.to_string());
        match fault {
            Fault::AnswerLost => {
                inner.store(append.clone())?;
                Err(unknown("the answer is lost"))
            }
            Fault::CommitLost => Err(unknown("the commit is lost")),
            Fault::AppendDelayed => {
                inner.store_later(append.clone());
                Err(unknown("no answer in time"))
            }
            Fault::FalseConflict => Err(AppendError::Conflict { stream, actual: None }),
            Fault::CrashBeforeAppend => {
                inner.die();
                std::future::pending().await
            }
            Fault::CrashAfterAppend => {
                // Stored or in conflict, nobody hears of it.
                let _ = inner.store(append);
                inner.die();
                std::future::pending().await
            }
            _ => Err(AppendError::Unavailable { stream, source: "the log takes nothing now".into() }),
        }
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<Stored>, LogError> {
        self.ask("read a stream").await?;
        let inner = &self.inner;
        let stored = inner.scene.log.read_stream(stream, after, consistency).await?;
        let through_seams = |stored| match stored {
            Stored::Commit(commit) => {
                inner.scene.seams.read(vec![commit]).into_iter().map(Stored::Commit).collect()
            }
            foreign @ Stored::Foreign(_) => vec![foreign],
        };
        Ok(stored.into_iter().flat_map(through_seams).collect())
    }

    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        self.travel("subscribe").await?;
        Subscriber::begin(self.inner.clone(), filter, after).await
    }

    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        self.ask("read what is stored at a position").await?;
        let scene = &self.inner.scene;
        if let (false, Some(lost)) = (scene.seams.shows_that_it_was_restored(), scene.lost_at(position)) {
            return Ok(Some(lost.into()));
        }
        scene.log.stored_at(position).await
    }

    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.ask("ask which log it is").await?;
        self.inner.scene.log.identity().await
    }

    async fn standing(&self) -> Result<LogStanding, LogError> {
        self.ask("ask how the log stands").await?;
        let changed = self.inner.scene.are_settings_changed().then(|| LogProblem {
            code: "settings_changed",
            detail: "somebody else's".to_owned(),
            stops_writing: true,
        });
        Ok(changed.into_iter().collect())
    }

    async fn head(&self) -> Result<Position, LogError> {
        self.ask("ask where the log ends").await?;
        self.inner.scene.log.head().await
    }

    async fn time(&self) -> Result<DateTime<Utc>, LogError> {
        self.ask("ask the log's own time").await?;
        let scene = &self.inner.scene;
        let (leader, others) = scene.servers_times();
        Ok(scene.seams.log_time(leader, &others, self.inner.clock.now()))
    }
}
