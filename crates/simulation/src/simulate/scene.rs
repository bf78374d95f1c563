//! What all parts of one seed share: time, the log with the true time of each commit, the faults, the trace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use cuiban_deliveries::MemoryDeliveries;
use cuiban_domain::Instant;
use cuiban_event_log::{
    Append, AppendError, Appended, Expected, MemoryLog, Position, RecordedCommit, Stored, StreamId,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::Options;
use super::fault::{Fault, Faults};
use super::seams::Seams;

/// Monday, 2 March 2026, 9:00 in Shanghai.
const BEGINS_AT_S: i64 = 1_772_413_200;

/// One seed's surroundings.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) seed: u64,
    pub(crate) log: MemoryLog,
    pub(crate) deliveries: MemoryDeliveries,
    pub(crate) faults: Faults,
    pub(crate) seams: Arc<dyn Seams>,
    began: Ticks,
    kept: Mutex<Kept>,
}

/// The runtime's own time, which is paused: it is the world's.
pub(crate) type Ticks = tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the simulated world's time has no other door")]
fn ticks() -> Ticks {
    Ticks::now()
}

#[derive(Debug, Default)]
struct Kept {
    /// The true time of each commit, by position.
    stored_at: Vec<Instant>,
    away_until: Option<Instant>,
    /// Until when settings hold that somebody else has made.
    settings_changed_until: Option<Instant>,
    /// Where each connection hears that the log was restored, in the order in which they came: several receivers of one
    /// channel would be woken in an order that nobody knows.
    restored: Vec<watch::Sender<()>>,
    /// What restoring has taken away.
    lost: Vec<RecordedCommit>,
    /// The hashes of what was put into the log by nobody of ours.
    intruded: BTreeSet<[u8; 32]>,
    /// What was seen meanwhile that does not hold.
    violations: Vec<String>,
    /// How fast the clock of the server that leads is.
    leader_ahead: TimeDelta,
    /// What happened, a line each, if it is to be told.
    trace: Option<Vec<String>>,
}

/// The names of a commit's events.
fn events_in(payload: &[u8]) -> String {
    let Ok(commit) = cuiban_event_schema::decode(payload) else { return "unreadable".to_owned() };
    let names = commit.events.iter().map(|event| {
        let text = format!("{event:?}");
        // `Ticket(TicketRegistered { .. })`
        let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner);
        inner.split([' ', ')', '(']).next().unwrap_or_default().to_owned()
    });
    names.collect::<Vec<_>>().join(", ")
}

fn begins_at() -> Instant {
    DateTime::from_timestamp(BEGINS_AT_S, 0).unwrap_or_default()
}

fn true_time(began: Ticks) -> Instant {
    begins_at() + began.elapsed()
}

impl Scene {
    /// Within a runtime whose time is paused.
    pub(crate) fn new(options: &Options, seams: Arc<dyn Seams>) -> Self {
        let began = ticks();
        let log = MemoryLog::with_time(Arc::new(move || true_time(began)));
        let trace = options.trace.then(Vec::new);
        Self {
            seed: options.seed,
            log,
            deliveries: MemoryDeliveries::new(move || true_time(began)),
            faults: Faults::none_yet(options.without.clone()),
            seams,
            began,
            kept: Mutex::new(Kept { trace, ..Kept::default() }),
        }
    }

    /// The true time.
    pub(crate) fn now(&self) -> Instant {
        true_time(self.began)
    }

    /// When the seed has lasted so long.
    pub(crate) async fn wait_until(&self, passed: Duration) {
        tokio::time::sleep_until(self.began + passed).await;
    }

    pub(crate) fn passed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Chance of its own for each purpose: what one part draws does not change what another does.
    pub(crate) fn chance(&self, purpose: &str, number: u64) -> fastrand::Rng {
        let name = [&self.seed.to_be_bytes()[..], &number.to_be_bytes(), purpose.as_bytes()].concat();
        let hash = cuiban_event_schema::hash(&name);
        let mut seed = [0; 8];
        seed.copy_from_slice(&hash[..8]);
        fastrand::Rng::with_seed(u64::from_be_bytes(seed))
    }

    /// Adds a line to the trace.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        let at = self.passed();
        if let Some(trace) = &mut self.kept().trace {
            trace.push(format!("{:>12.3}s  {}", at.as_secs_f64(), line()));
        }
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.kept().trace.clone().unwrap_or_default()
    }

    /// Stores a commit. The only way into the log.
    pub(crate) fn store(&self, append: Append) -> Result<Appended, AppendError> {
        let mut append = self.seams.append(append);
        if !self.seams.checks_version() {
            append.expected =
                self.log.stream_version(&append.stream).map_or(Expected::NoStream, Expected::At);
        }
        let (stream, payload) = (append.stream.clone(), append.payload.clone());
        let appended = self.log.append_now(append)?;
        let now = self.now();
        self.kept().stored_at.push(now);
        self.tell(|| format!("log       {} {stream} {}", appended.position, events_in(&payload)));
        Ok(appended)
    }

    /// When each message was really stored, in the log's order.
    pub(crate) fn stored_at(&self) -> Vec<Instant> {
        self.kept().stored_at.clone()
    }

    /// Somebody puts bytes into a stream behind everybody's back, under the address of its last commit.
    pub(crate) fn intrude(&self, last: &RecordedCommit, payload: Vec<u8>) {
        let append = Append {
            stream: last.stream.clone(),
            expected: self.log.stream_version(&last.stream).map_or(Expected::NoStream, Expected::At),
            route: last.route.clone(),
            commit_id: Uuid::nil(),
            payload: payload.into(),
        };
        let hash = cuiban_event_schema::hash(&append.payload);
        if let Ok(appended) = self.log.append_now(append) {
            self.note_intrusion(appended.position, &last.stream.to_string(), hash);
        }
    }

    /// The same under an address that is none of ours.
    pub(crate) fn intrude_foreign(&self, address: &str, payload: Vec<u8>) {
        let hash = cuiban_event_schema::hash(&payload);
        let position = self.log.put_foreign(address, payload);
        self.note_intrusion(position, address, hash);
    }

    fn note_intrusion(&self, position: Position, place: &str, hash: [u8; 32]) {
        let now = self.now();
        let mut kept = self.kept();
        kept.stored_at.push(now);
        kept.intruded.insert(hash);
        drop(kept);
        self.tell(|| format!("log       {position} {place} by nobody of ours"));
    }

    /// What nobody of ours has put into a stream, by hash.
    pub(crate) fn intruded(&self) -> BTreeSet<[u8; 32]> {
        self.kept().intruded.clone()
    }

    /// An operator puts the log back to what it was some messages ago, which breaks every subscription off.
    pub(crate) fn restore_log(&self, without_last: u64) {
        let head = self.log.stored_after(Position::START).len() as u64;
        let last = Position::from_raw(head.saturating_sub(without_last).max(self.log_begins()));
        self.tell(|| format!("log       is restored up to {last}, without {}", head - last.raw()));
        let gone = self.log.commits_after(last);
        self.log.cut_after(last);
        let mut kept = self.kept();
        kept.stored_at.truncate(usize::try_from(last.raw()).unwrap_or(usize::MAX));
        kept.lost.extend(gone);
        kept.restored.retain(|restored| restored.send(()).is_ok());
    }

    /// How far every backup goes: the branches are open.
    fn log_begins(&self) -> u64 {
        let is_ticket = |stored: &Stored| matches!(stored, Stored::Commit(commit) if commit.stream.kind.as_str() == "ticket");
        let stored = self.log.stored_after(Position::START);
        stored.iter().position(is_ticket).unwrap_or(stored.len()) as u64
    }

    /// Tells of each time that the log is restored.
    pub(crate) fn restored(&self) -> watch::Receiver<()> {
        let (told, restored) = watch::channel(());
        self.kept().restored.push(told);
        restored
    }

    /// What restoring has taken away, in order.
    pub(crate) fn lost(&self) -> Vec<RecordedCommit> {
        self.kept().lost.clone()
    }

    /// What was at a position before the log was restored.
    pub(crate) fn lost_at(&self, position: Position) -> Option<RecordedCommit> {
        self.kept().lost.iter().rfind(|commit| commit.position == position).cloned()
    }

    /// The last commit of the stream that was written to so many streams ago.
    pub(crate) fn last_commit(
        &self,
        of: impl Fn(&StreamId) -> bool,
        streams_ago: usize,
    ) -> Option<RecordedCommit> {
        let mut seen = Vec::<RecordedCommit>::new();
        for commit in
            self.log.commits_after(Position::START).into_iter().rev().filter(|commit| of(&commit.stream))
        {
            if seen.iter().all(|other| other.stream != commit.stream) {
                seen.push(commit);
            }
            if seen.len() > streams_ago {
                break;
            }
        }
        seen.pop()
    }

    /// Somebody else's settings hold for the log.
    pub(crate) fn change_settings(&self, minutes: i64) {
        self.tell(|| format!("{:<9} for {minutes} minutes", Fault::SettingsChanged));
        self.kept().settings_changed_until = Some(self.now() + TimeDelta::minutes(minutes));
    }

    pub(crate) fn are_settings_changed(&self) -> bool {
        let now = self.now();
        self.faults.are_on() && self.kept().settings_changed_until.is_some_and(|until| now < until)
    }

    /// Something that was seen does not hold.
    pub(crate) fn complain(&self, violation: String) {
        self.tell(|| format!("violation {violation}"));
        self.kept().violations.push(violation);
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.kept().violations.clone()
    }

    /// The log goes away for everybody.
    pub(crate) fn log_goes_away(&self, minutes: u64) {
        let until = self.now() + TimeDelta::minutes(i64::try_from(minutes).unwrap_or_default());
        self.tell(|| format!("{:<9} for everybody, {minutes} minutes", Fault::LogAway));
        self.kept().away_until = Some(until);
    }

    /// Another server leads, whose clock is this fast.
    pub(crate) fn fast_server_leads(&self, ahead: TimeDelta) {
        self.tell(|| format!("{:<9} by {} minutes", Fault::LeaderFast, ahead.num_minutes()));
        self.kept().leader_ahead = ahead;
    }

    /// What the log's servers show: the one that leads, and two others, which are right.
    pub(crate) fn servers_times(&self) -> (Instant, [Instant; 2]) {
        let now = self.now();
        (now + self.kept().leader_ahead, [now; 2])
    }

    pub(crate) fn is_log_away(&self) -> bool {
        let now = self.now();
        self.faults.are_on() && self.kept().away_until.is_some_and(|until| now < until)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
