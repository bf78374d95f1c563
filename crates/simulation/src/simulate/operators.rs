//! What befalls the log itself and the watch over it, and the operators who put it right.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cuiban_command_handler::{CommandMeta, HandleError, StepOver};
use cuiban_domain::ids::{Actor, CommandId};
use cuiban_domain::numbering::Numbering;
use cuiban_domain::organisation::Branch;
use cuiban_domain::schedule::Schedule;
use cuiban_domain::text::Line;
use cuiban_domain::ticket::Ticket;
use cuiban_domain::{Aggregate, Event, Instant};
use cuiban_event_log::{Consistency, EventLog, Position, Stored, StreamId};
use uuid::Uuid;

use super::SimulationError;
use super::fault::Fault;
use super::judge;
use super::process::{Process, Role, Up};
use super::scene::Scene;

/// How many of the last commits a backup lacks at most.
const BACKUP_LACKS_MAX: u64 = 30;
/// For how long the log is away while it is restored, in minutes.
const RESTORING_MINUTES: std::ops::Range<u64> = 1..4;
/// How long it takes before somebody looks at what cannot be read, in minutes.
const LOOKED_AT_AFTER_MINUTES: std::ops::Range<i64> = 1..360;
/// How often the operators look.
const LOOK_EVERY: Duration = Duration::from_secs(1_800);
/// For how long other settings hold before somebody puts them back, in minutes.
const SETTINGS_CHANGED_MINUTES: std::ops::Range<i64> = 1..30;
/// For how long there is no watchdog, in minutes, and how long before its end the offices are asked about it.
const UNWATCHED_MINUTES: std::ops::Range<u64> = 60..240;
const ASKED_BEFORE_END: Duration = Duration::from_secs(60);
/// How long a limit has to be overdue before an office has to say that nobody urges it.
const UNURGED_GRACE: Duration = Duration::from_secs(30);
/// What a number that is stepped over goes on with, above what one seed hands out.
const NUMBERS_APART: u64 = 10_000;

/// All operators of a seed.
pub(crate) struct Operators {
    scene: Arc<Scene>,
    processes: Vec<Arc<Process>>,
    intrusions: Mutex<Vec<Intrusion>>,
}

/// A stream with something in it that nobody can read.
#[derive(Clone, Debug)]
struct Intrusion {
    stream: StreamId,
    looked_at: Instant,
}

impl Operators {
    pub(crate) fn new(scene: Arc<Scene>, processes: Vec<Arc<Process>>) -> Self {
        Self { scene, processes, intrusions: Mutex::default() }
    }

    fn offices(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.processes.iter().filter(|process| process.role == Role::Office)
    }

    /// The log is lost and restored from a backup.
    pub(crate) fn restore_log(&self, chance: &mut fastrand::Rng) {
        let (without_last, minutes) = (chance.u64(1..BACKUP_LACKS_MAX), chance.u64(RESTORING_MINUTES));
        if self.scene.faults.are_let(Fault::LogRestored) {
            self.scene.restore_log(without_last);
            self.scene.log_goes_away(minutes);
        }
    }

    /// Something is found in the log that is no commit, or none that this build reads.
    pub(crate) fn intrude(&self, chance: &mut fastrand::Rng) {
        let after = chrono::TimeDelta::minutes(chance.i64(LOOKED_AT_AFTER_MINUTES));
        let kinds = [Ticket::KIND, Ticket::KIND, Ticket::KIND, Branch::KIND, Numbering::KIND, Schedule::KIND];
        let (kind, how, streams_ago) =
            (kinds[chance.usize(..kinds.len())], chance.u8(..4), chance.usize(..4));
        let nonce = chance.u128(..).to_be_bytes();
        let Some(last) = self.scene.last_commit(|stream| stream.kind.as_str() == kind, streams_ago) else {
            return;
        };
        let fault = if how == 0 { Fault::Foreign } else { Fault::Unreadable };
        if !self.scene.faults.are_let(fault) {
            return;
        }
        let stream = last.stream.clone();
        match how {
            0 if nonce[0].is_multiple_of(2) => self.scene.intrude_foreign("weather.today", nonce.to_vec()),
            0 => self
                .scene
                .intrude_foreign(&format!("{}.{}.of.no.class", stream.kind, stream.id), nonce.to_vec()),
            1 => self.scene.intrude(&last, nonce.to_vec()),
            2 => {
                let cut = last.payload.len() / 2;
                self.scene.intrude(&last, [&last.payload[..cut], &nonce].concat());
            }
            // The field that says of which schema version it is, once more.
            _ => self.scene.intrude(&last, [&last.payload[..], &[0x08, 0x63]].concat()),
        }
        self.intrusions().push(Intrusion { stream, looked_at: self.scene.now() + after });
    }

    /// Somebody changes the log's settings, and it takes a while until they are put back.
    pub(crate) fn change_settings(&self, chance: &mut fastrand::Rng) {
        let minutes = chance.i64(SETTINGS_CHANGED_MINUTES);
        if self.scene.faults.are_let(Fault::SettingsChanged) {
            self.scene.change_settings(minutes);
        }
    }

    /// All watchdogs are away; before they come back, offices are asked what nobody has urged.
    pub(crate) fn leave_unwatched(self: &Arc<Self>, chance: &mut fastrand::Rng) {
        let down_for = Duration::from_secs(60 * chance.u64(UNWATCHED_MINUTES));
        if !self.scene.faults.are_let(Fault::NoWatchdog) {
            return;
        }
        let watchdogs = self.processes.iter().filter(|process| process.role == Role::Watchdog);
        watchdogs.for_each(|watchdog| watchdog.kill(Some(down_for)));
        let operators = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(down_for - ASKED_BEFORE_END).await;
            operators.ask_offices();
        });
    }

    /// An office that knows the whole log says that nobody urges what is due, and never says so of what is not.
    fn ask_offices(&self) {
        let (now, stored) = (self.scene.now(), self.scene.log.stored_after(Position::START));
        let due = judge::due(&stored, now, UNURGED_GRACE);
        for office in self.offices() {
            let Some(models) = office.up().borrow().as_ref().and_then(|up| up.models.clone()) else {
                continue;
            };
            if models.position().raw() != stored.len() as u64 {
                continue;
            }
            let Ok(unurged) = models.unurged(now, UNURGED_GRACE) else { continue };
            let said = self.scene.seams.unurged_said(unurged.clocks + unurged.unreadable);
            self.scene.tell(|| format!("{:<9} says that nobody urges {said}", office.name));
            if said < due.for_long {
                let due = due.for_long;
                self.scene
                    .complain(format!("{due} are due, and {} says that nobody urges {said}", office.name));
            }
            if said > due.at_all {
                let due = due.at_all;
                self.scene
                    .complain(format!("{} says that nobody urges {said}, and {due} are due", office.name));
            }
        }
    }

    /// The operators look again and again at what cannot be read, and step over it.
    pub(crate) async fn mend(self: Arc<Self>) -> Result<(), SimulationError> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.scene.now();
            let intrusions = self.intrusions().clone();
            let are_quiet = !self.scene.faults.are_on();
            for intrusion in intrusions.iter().filter(|intrusion| are_quiet || intrusion.looked_at <= now) {
                self.step_over(&intrusion.stream).await?;
            }
        }
    }

    /// Steps over the first commit of a stream that nobody can read, if there is one.
    async fn step_over(&self, stream: &StreamId) -> Result<(), SimulationError> {
        let Ok(stored) = self.scene.log.read_stream(stream, None, Consistency::Leader).await else {
            return Ok(());
        };
        let Some((unreadable, steps)) = first_unreadable(&stored) else { return Ok(()) };
        let (position, sha256) = (unreadable.position(), unreadable.sha256());
        let step = StepOver { position, sha256, reason: Line::new("看过了")?, even_newer: true };
        let id = CommandId(Uuid::new_v5(
            &Uuid::NAMESPACE_OID,
            &[&sha256[..], &position.raw().to_be_bytes()].concat(),
        ));
        let meta = CommandMeta::new(id, Actor::new("operator")?);
        for office in self.offices() {
            let Some(Up { handlers, life, .. }) = office.up().borrow().clone() else { continue };
            let next = NUMBERS_APART * (1 + steps);
            let stepping = handlers.step_over(stream, &step, Some(next), &meta);
            let stepped = tokio::select! {
                biased;
                () = life.cancelled() => continue,
                stepped = stepping => stepped,
            };
            self.scene.tell(|| {
                format!("operator  steps over {position} of {stream}: {:?}", stepped.as_ref().err())
            });
            match stepped {
                Ok(_) | Err(HandleError::NothingToStepOver) => break,
                // Later, or at the other office.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn intrusions(&self) -> MutexGuard<'_, Vec<Intrusion>> {
        self.intrusions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first message of a stream that is no commit that anybody reads, and was not stepped over; and how many were.
fn first_unreadable(stored: &[Stored]) -> Option<(&Stored, u64)> {
    let decoded: Vec<_> = stored
        .iter()
        .map(|stored| match stored {
            Stored::Commit(commit) => cuiban_event_schema::decode(&commit.payload).ok(),
            Stored::Foreign(_) => None,
        })
        .collect();
    let steps: Vec<_> =
        decoded.iter().flatten().flat_map(|commit| &commit.events).filter_map(Event::steps_over).collect();
    let is_open = |(stored, decoded): &(&Stored, &Option<_>)| {
        decoded.is_none() && !steps.contains(&(stored.position().raw(), stored.sha256()))
    };
    let (unreadable, _) = stored.iter().zip(&decoded).find(is_open)?;
    Some((unreadable, steps.len() as u64))
}
