//! One process on one machine: it starts its services, dies, and starts again, until the seed ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_command_handler::{Config, Handlers, SeededIds};
use cuiban_domain::ids::Actor;
use cuiban_event_log::{EventLog, Filter};
use cuiban_notifier::{Notifier, Outlet};
use cuiban_projector::{MemoryDisk, MemorySnapshot, Projector, ReadModels, StorePlace, WriteFault};
use cuiban_watchdog::Watchdog;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::fault::{Fault, Faults};
use super::machine_clock::MachineClock;
use super::receiver::Receiver;
use super::records::Records;
use super::scene::Scene;

/// Once in how many batches the disk refuses or the machine dies.
const WRITE_FAULT_ONE_IN: u32 = 200;
/// After how many batches what was written is synced.
const SYNC_EVERY: u32 = 20;
/// How often a process looks whether the log is still the same one. In earnest every three seconds: over virtual days that
/// would be most of what a seed does. Here it looks when its subscriptions break off, which they do when a log is restored.
const LOG_LOOKED_AT_EVERY_MS: u64 = 3_600_000;
/// How many streams an office keeps: fewer than a seed has.
const CACHED_STREAMS_MAX: usize = 8;
/// The pause before a process that could not start is started again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// What a process does besides handling commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Takes commands from people, and keeps the read models.
    Office,
    /// Issues what is due.
    Watchdog,
    /// Pushes alerts.
    Notifier,
}

/// A process that is up.
#[derive(Clone)]
pub(crate) struct Up {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) life: CancellationToken,
    /// An office's.
    pub(crate) models: Option<ReadModels>,
    /// How a watchdog stands.
    watching: Option<watch::Receiver<cuiban_watchdog::Status>>,
}

/// A process and its machine.
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) role: Role,
    number: u64,
    scene: Arc<Scene>,
    receiver: Arc<Receiver>,
    pub(crate) clock: Arc<MachineClock>,
    disk: MemoryDisk,
    up: watch::Sender<Option<Up>>,
    /// Somebody starts it before its time.
    started_early: Notify,
    state: Arc<Mutex<State>>,
}

struct State {
    life: CancellationToken,
    /// How many lives it has had: each has chance of its own.
    lives: u64,
    chance: fastrand::Rng,
    /// How long it stays down when it dies next.
    down_for: Option<Duration>,
    /// Whether it went on in memory when it was last up.
    was_unkept: bool,
    synced: MemorySnapshot,
    writes: u32,
}

/// What runs in a process; dropped, it is cut off.
#[expect(dead_code, reason = "held, so that it runs")]
enum Services {
    Office(Projector),
    Watchdog(Watchdog),
    Notifier(Notifier),
}

/// Why a process did not start.
type StartError = Box<dyn std::error::Error + Send + Sync>;

impl Process {
    pub(crate) fn new(scene: &Arc<Scene>, receiver: &Arc<Receiver>, role: Role, number: u64) -> Arc<Self> {
        let disk = MemoryDisk::default();
        let state = State {
            life: CancellationToken::new(),
            lives: 0,
            chance: scene.chance("disk", number),
            down_for: None,
            was_unkept: false,
            synced: disk.snapshot(),
            writes: 0,
        };
        let process = Self {
            name: format!("{role:?}-{number}").to_lowercase(),
            role,
            number,
            clock: Arc::new(MachineClock::right(scene.clone())),
            scene: scene.clone(),
            receiver: receiver.clone(),
            disk,
            up: watch::Sender::new(None),
            started_early: Notify::new(),
            state: Arc::new(Mutex::new(state)),
        };
        process.let_writes_fail();
        Arc::new(process)
    }

    /// The process as it is up now, and each change of it.
    pub(crate) fn up(&self) -> watch::Receiver<Option<Up>> {
        self.up.subscribe()
    }

    /// It dies at whatever it is doing, and stays down for a while.
    pub(crate) fn kill(&self, down_for: Option<Duration>) {
        let mut state = self.state();
        state.down_for = down_for;
        state.life.cancel();
    }

    /// Where its read models are.
    pub(crate) fn place(&self) -> StorePlace {
        StorePlace::Memory(self.disk.clone(), "store".to_owned())
    }

    /// Whether it went on in memory, as its disk had refused: what is on that stands still.
    pub(crate) fn was_unkept(&self) -> bool {
        self.state().was_unkept
    }

    /// Nothing of it runs any more, or writes.
    pub(crate) fn cut_off(&self) {
        self.state().life.cancel();
        if let Some(Up { watching: Some(watching), .. }) = self.up.send_replace(None) {
            self.state().was_unkept = watching.borrow().unkept.is_some();
        }
        self.disk.crash();
    }

    /// The machine is switched off for good: what is on its disk can be looked at.
    pub(crate) fn end(&self) {
        self.cut_off();
        self.disk.set_faults(None);
    }

    /// Lives, dies and lives again, for ever.
    pub(crate) async fn live(self: Arc<Self>) {
        loop {
            let life = CancellationToken::new();
            let life_number = {
                let mut state = self.state();
                state.life = life.clone();
                state.lives += 1;
                state.lives
            };
            tokio::select! {
                biased;
                () = life.cancelled() => {}
                () = self.serve(&life, life_number) => {}
            }
            self.cut_off();
            self.suffer();
            let down_for = {
                let mut state = self.state();
                let soon = Duration::from_millis(state.chance.u64(50..20_000));
                // Nobody leaves it down for hours when all is to be well.
                state.down_for.take().filter(|_| self.scene.faults.are_on()).unwrap_or(soon)
            };
            self.scene.tell(|| format!("{:<9} is down for {}s", self.name, down_for.as_secs_f64()));
            tokio::select! {
                biased;
                () = self.started_early.notified() => {}
                () = tokio::time::sleep(down_for) => {}
            }
        }
    }

    /// Where it is down, it is started now.
    pub(crate) fn start_if_down(&self) {
        self.started_early.notify_waiters();
    }

    /// Starts the services and lets them run.
    async fn serve(&self, life: &CancellationToken, life_number: u64) {
        for attempt in 0.. {
            match self.start(life, life_number * 1_000 + attempt).await {
                Ok((handlers, services)) => {
                    self.scene.tell(|| format!("{:<9} is up", self.name));
                    let models = match &services {
                        Services::Office(projector) => Some(projector.models()),
                        _ => None,
                    };
                    let watching = match &services {
                        Services::Watchdog(watchdog) => Some(watchdog.status()),
                        _ => None,
                    };
                    self.up.send_replace(Some(Up { handlers, life: life.clone(), models, watching }));
                    return std::future::pending().await;
                }
                Err(error) => {
                    self.scene.tell(|| format!("{:<9} does not start: {error}", self.name));
                    tokio::time::sleep(START_AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn start(
        &self,
        life: &CancellationToken,
        start: u64,
    ) -> Result<(Arc<Handlers>, Services), StartError> {
        let scene = &self.scene;
        let number = self.number * 1_000_000 + start;
        let (clock, receiver) = (self.clock.clone(), self.receiver.clone());
        let chance = scene.chance("connection", number);
        let connection =
            Connection::new(scene.clone(), self.name.clone(), life.clone(), clock, receiver, chance);
        let log: Arc<dyn EventLog> = Arc::new(connection);
        let ids = Arc::new(SeededIds::new(scene.chance("ids", number).u64(..)));
        let clock_ahead_max_ms = scene.seams.clock_ahead_max_ms();
        let log_looked_at_every_ms = LOG_LOOKED_AT_EVERY_MS;
        let config = Config {
            clock_ahead_max_ms,
            log_looked_at_every_ms,
            cached_streams_max: CACHED_STREAMS_MAX,
            ..Config::default()
        };
        let actor = Actor::new(self.name.clone())?;
        let handlers = Handlers::start(log.clone(), self.clock.clone(), ids, actor, config).await?;
        let handlers = Arc::new(handlers);
        let services = match self.role {
            Role::Office => {
                let config = projector_config();
                Services::Office(Projector::start(log, self.place(), Filter::everything(), config).await?)
            }
            Role::Watchdog => {
                let config = cuiban_watchdog::Config {
                    log_looked_at_every_ms: LOG_LOOKED_AT_EVERY_MS,
                    ..Default::default()
                };
                Services::Watchdog(Watchdog::start(handlers.clone(), log, self.place(), config))
            }
            Role::Notifier => {
                let config = cuiban_notifier::Config {
                    log_looked_at_every_ms: LOG_LOOKED_AT_EVERY_MS,
                    ..Default::default()
                };
                let (channel, delivery) = (self.receiver.clone(), scene.seams.delivery());
                let outlets = vec![Outlet { channel, delivery }];
                let chance = scene.chance("records", number);
                let deliveries = Records::new(scene.clone(), self.name.clone(), life.clone(), chance);
                let deliveries = Arc::new(deliveries);
                Services::Notifier(
                    Notifier::start(handlers.clone(), log, deliveries, self.place(), outlets, config).await?,
                )
            }
        };
        Ok((handlers, services))
    }

    /// What a death does to the disk.
    fn suffer(&self) {
        let (faults, mut state) = (&self.scene.faults, self.state());
        let chance = &mut state.chance;
        let power_lost = faults.strikes(Fault::PowerLost, chance, 3);
        let rows_older = faults.strikes(Fault::RowsOlderThanCursor, chance, 8) && !power_lost;
        let rotten = faults.strikes(Fault::Rotten, chance, 6);
        let (which, how) = (chance.usize(..), chance.u8(..));
        let tell = |fault| self.scene.tell(|| format!("{:<9} {fault}", self.name));
        if power_lost {
            tell(Fault::PowerLost);
            self.disk.forget_since(&state.synced);
        }
        if rows_older {
            tell(Fault::RowsOlderThanCursor);
            self.disk.forget_rows_since(&state.synced);
        }
        if rotten && self.disk.damage(which, how) {
            tell(Fault::Rotten);
        }
        state.synced = self.disk.snapshot();
    }

    /// Each batch is written, refused, or the last thing that the machine does.
    fn let_writes_fail(&self) {
        let (scene, state, disk) = (self.scene.clone(), Arc::downgrade(&self.state), self.disk.clone());
        let name = self.name.clone();
        let dies_after = scene.seams.dies_after_write();
        self.disk.set_faults(Some(Arc::new(move || {
            let state = state.upgrade()?;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.writes += 1;
            if state.writes.is_multiple_of(SYNC_EVERY) {
                state.synced = disk.snapshot();
            }
            let (fault, write_fault) = drawn(&scene.faults, &mut state.chance, dies_after)?;
            scene.tell(|| format!("{name:<9} {fault}"));
            if fault != Fault::WriteRefused {
                state.life.cancel();
            }
            Some(write_fault)
        })));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody sets the machine's clock: right again, or wrong by up to three hours, or it drifts.
    pub(crate) fn set_clock(&self, chance: &mut fastrand::Rng) {
        let (forward, back) = (chance.i64(1..180), chance.i64(1..180));
        let drift_ppm = chance.i32(-20_000..20_000);
        let choices = [
            (Fault::ClockForward, TimeDelta::minutes(forward), 0),
            (Fault::ClockBack, TimeDelta::minutes(-back), 0),
            (Fault::Drift, TimeDelta::zero(), drift_ppm),
        ];
        let (fault, off_by, drift_ppm) = choices[chance.usize(..choices.len())];
        if self.scene.faults.are_let(fault) {
            self.scene.tell(|| format!("{:<9} {fault}: {off_by}, {drift_ppm} ppm", self.name));
            self.clock.set_off_by(off_by, drift_ppm);
        }
    }
}

/// Small batches: larger ones are folded by several threads, in an order that nobody knows.
fn projector_config() -> cuiban_projector::Config {
    cuiban_projector::Config {
        batch_commits_max: 64,
        log_looked_at_every_ms: LOG_LOOKED_AT_EVERY_MS,
        ..cuiban_projector::Config::default()
    }
}

/// What becomes of one batch.
fn drawn(faults: &Faults, chance: &mut fastrand::Rng, dies_after: WriteFault) -> Option<(Fault, WriteFault)> {
    let kinds = [
        (Fault::WriteRefused, WriteFault::Refused),
        (Fault::DiesBeforeWrite, WriteFault::DiesBefore),
        (Fault::DiesAfterWrite, dies_after),
    ];
    let drawn = kinds.map(|(fault, write)| (chance.u32(..WRITE_FAULT_ONE_IN) == 0, fault, write));
    let (_, fault, write) = drawn.into_iter().find(|(is_drawn, ..)| *is_drawn)?;
    faults.are_let(fault).then_some((fault, write))
}
