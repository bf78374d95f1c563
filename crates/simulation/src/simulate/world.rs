//! Two offices, two watchdogs, and people who act by chance.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use cuiban_command_handler::{
    Clock, CommandMeta, Config, HandleError, Handled, Handlers, IdSource, ManualClock, SeededIds,
};
use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, BranchId, CommandId, InvalidId, StaffId, TicketId};
use cuiban_domain::organisation::{AdmitStaff, BranchCommand, OpenBranch, SetBranchLimits, StaffMember};
use cuiban_domain::people::{Customer, InvalidPhone, Phone, Role};
use cuiban_domain::sla::{ClockKind, InvalidSpan, Limit, LimitRule, Measure, Span};
use cuiban_domain::text::{InvalidText, Line, Name, Note};
use cuiban_domain::ticket::{
    Area, ArriveAtCustomer, CancelTicket, Channel, CloseTicket, CustomerLevel, DispatchTechnician, FixOnSite,
    PauseReason, PauseTicket, ReclassifyTicket, RegisterTicket, ReopenTicket, RespondToCustomer,
    ResumeTicket, Ticket, TicketCommand, TicketKind, TransferTicket, Urgency,
};
use cuiban_event_log::{LogError, MemoryLog, Position};
use cuiban_event_schema::DecodeError;
use cuiban_watchdog::{DeadlineIndex, Expediting};

use super::SeedReport;
use super::faulty_log::FaultyLog;
use super::judge::{Acknowledged, judge};

/// How many things people do in one seed's days.
const ACTS: usize = 120;
/// How many tickets are worked at a time.
const TICKETS_MAX: usize = 12;
/// How often a person sends a command again before giving up.
const SENDS_MAX: usize = 12;
/// How often the watchdogs are asked again at the end before that counts as a fault of theirs.
const SETTLE_ROUNDS_MAX: usize = 64;
/// Monday, 2 March 2026, 9:00 in Shanghai.
const BEGINS_AT_S: i64 = 1_772_413_200;

/// A simulation that could not be run; violations are not errors.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The setting was refused.
    #[error("set the scene")]
    Scene(#[from] HandleError),
    /// A constant of the script is wrong.
    #[error("write the script: {0}")]
    Script(String),
    /// The log could not be read.
    #[error("read the log")]
    Log(#[from] LogError),
    /// The log holds what cannot be decoded.
    #[error("read the log")]
    Decode(#[from] DecodeError),
}

macro_rules! script_errors {
    ($($error:ty),+) => { $(impl From<$error> for SimulationError {
        fn from(error: $error) -> Self { Self::Script(error.to_string()) }
    })+ };
}
script_errors!(InvalidId, InvalidText, InvalidPhone, InvalidSpan);

/// One watchdog: its open clocks, how far it has read, and until when it is down.
struct Watcher {
    expediting: Expediting,
    cursor: Position,
    down_until: Option<Instant>,
}

/// Everything that lives in one seed.
pub(crate) struct World {
    seed: u64,
    chance: fastrand::Rng,
    log: MemoryLog,
    faulty: Arc<FaultyLog>,
    clock: Arc<ManualClock>,
    offices: Vec<Arc<Handlers>>,
    watchers: Vec<Watcher>,
    ids: SeededIds,
    tickets: Vec<TicketId>,
    acknowledged: Vec<Acknowledged>,
    commands: usize,
    stuck: bool,
    restarts: u64,
}

impl World {
    pub(crate) async fn open(seed: u64) -> Result<Self, SimulationError> {
        let begins_at = DateTime::from_timestamp(BEGINS_AT_S, 0).unwrap_or_default();
        let clock = Arc::new(ManualClock::new(begins_at));
        let time = clock.clone();
        let log = MemoryLog::with_time(Arc::new(move || time.now()));
        let faulty = Arc::new(FaultyLog::new(log.clone(), seed ^ 0xfa17));
        let mut world = Self {
            seed,
            chance: fastrand::Rng::with_seed(seed),
            log,
            faulty,
            clock,
            offices: Vec::new(),
            watchers: Vec::new(),
            ids: SeededIds::new(seed),
            tickets: Vec::new(),
            acknowledged: Vec::new(),
            commands: 0,
            stuck: false,
            restarts: 0,
        };
        for _ in 0..2 {
            let office = world.start_office().await?;
            world.offices.push(office);
            let watcher = world.start_watcher();
            world.watchers.push(watcher);
        }
        world.set_scene().await?;
        Ok(world)
    }

    /// A process's handlers, with nothing in their caches.
    async fn start_office(&mut self) -> Result<Arc<Handlers>, SimulationError> {
        self.restarts += 1;
        let ids = Arc::new(SeededIds::new(self.seed.wrapping_mul(1_000_003).wrapping_add(self.restarts)));
        let config = Config { retry_delay_ms: 0, ..Config::default() };
        let handlers =
            Handlers::start(self.faulty.clone(), self.clock.clone(), ids, Actor::new("office")?, config);
        Ok(Arc::new(handlers.await?))
    }

    /// A watchdog that has read nothing yet.
    fn start_watcher(&self) -> Watcher {
        let office = self.offices[self.watchers.len() % self.offices.len()].clone();
        let expediting =
            Expediting::new(office, cuiban_watchdog::Config::default(), DeadlineIndex::default());
        Watcher { expediting, cursor: Position::START, down_until: None }
    }

    async fn set_scene(&mut self) -> Result<(), SimulationError> {
        for (branch, technician) in [("B0", "T0"), ("B1", "T1")] {
            let (id, name) = (BranchId::new(branch)?, Name::new(branch)?);
            let member = StaffMember {
                id: StaffId::new(technician)?,
                name: Name::new(technician)?,
                role: Role::Technician,
                skills: Vec::new(),
                areas: Vec::new(),
            };
            let open = OpenBranch { branch: id.clone(), name, province: None };
            self.organise(&id, &open.into()).await?;
            self.organise(&id, &AdmitStaff { member }.into()).await?;
        }
        Ok(())
    }

    async fn organise(&mut self, branch: &BranchId, command: &BranchCommand) -> Result<(), SimulationError> {
        let meta = self.meta()?;
        for _ in 0..SENDS_MAX {
            if let Ok(handled) = self.offices[0].branch(branch, command, &meta).await {
                for office in &self.offices {
                    office.directory().wait_for(handled.position).await;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn meta(&self) -> Result<CommandMeta, SimulationError> {
        Ok(CommandMeta::new(CommandId(self.ids.new_id(self.clock.now())), Actor::new("person")?))
    }

    /// People act, hours pass, watchdogs sleep and wake.
    pub(crate) async fn live(&mut self) -> Result<(), SimulationError> {
        for _ in 0..ACTS {
            let pause = Duration::from_secs(60 * self.chance.u64(0..240));
            self.run_to(self.clock.now() + pause).await?;
            match self.chance.u8(..20) {
                0 => {
                    let which = self.chance.usize(..self.watchers.len());
                    let down_for = Duration::from_secs(3600 * self.chance.u64(1..48));
                    let now = self.clock.now();
                    self.watchers[which] =
                        Watcher { down_until: Some(now + down_for), ..self.start_watcher() };
                }
                1 => {
                    let which = self.chance.usize(..self.offices.len());
                    self.offices[which] = self.start_office().await?;
                }
                2 => self.change_limits().await?,
                3..8 => self.call().await?,
                _ => self.act().await?,
            }
        }
        Ok(())
    }

    /// Time passes until `until`; watchdogs that are up do what is due, each at its instant.
    async fn run_to(&mut self, until: Instant) -> Result<(), SimulationError> {
        loop {
            let now = self.clock.now();
            let mut wakes_at = None;
            for watcher in
                self.watchers.iter_mut().filter(|watcher| watcher.down_until.is_none_or(|down| down <= now))
            {
                watcher.absorb(&self.log)?;
                watcher.expediting.issue_due(now).await;
                watcher.expediting.move_some().await;
                watcher.absorb(&self.log)?;
                let due =
                    watcher.expediting.index().next_due().map(|due_at| due_at + Duration::from_micros(1));
                wakes_at = [wakes_at, due.map(|due| due.max(now + Duration::from_millis(1)))]
                    .into_iter()
                    .flatten()
                    .min();
            }
            match wakes_at {
                Some(at) if at <= until => self.clock.advance_to(at),
                _ => break,
            }
        }
        self.clock.advance_to(until);
        Ok(())
    }

    /// Faults stop, everybody is up: what is due is issued, or never will be.
    pub(crate) async fn settle(&mut self) -> Result<(), SimulationError> {
        self.faulty.heal();
        // Late entries are left to settle for some seconds before they are urged.
        self.clock.advance_by(Duration::from_secs(60));
        for _ in 0..SETTLE_ROUNDS_MAX {
            let now = self.clock.now();
            let mut left = 0;
            for watcher in &mut self.watchers {
                watcher.absorb(&self.log)?;
                watcher.expediting.issue_due(now).await;
                left += watcher.expediting.move_some().await;
                watcher.absorb(&self.log)?;
                left += watcher.expediting.index().overdue(now, 1).len();
            }
            if left == 0 {
                return Ok(());
            }
        }
        self.stuck = true;
        Ok(())
    }

    pub(crate) fn report(&self) -> SeedReport {
        let log = self.log.commits_after(Position::START);
        let mut verdict = judge(&log, &self.acknowledged, self.clock.now());
        if self.stuck {
            verdict
                .violations
                .push("a watchdog waits for something though all faults have stopped".to_owned());
        }
        let digest = log.iter().fold([0; 32], |digest: cuiban_event_schema::CommitHash, commit| {
            cuiban_event_schema::hash(&[&digest[..], &commit.payload].concat())
        });
        let begins_at = DateTime::from_timestamp(BEGINS_AT_S, 0).unwrap_or_default();
        SeedReport {
            seed: self.seed,
            virtual_minutes: u64::try_from((self.clock.now() - begins_at).num_minutes()).unwrap_or_default(),
            commands: self.commands,
            faults: self.faulty.faults(),
            commits: log.len(),
            notices: verdict.notices,
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            violations: verdict.violations,
        }
    }

    async fn change_limits(&mut self) -> Result<(), SimulationError> {
        let hours = self.chance.u64(1..12);
        let rule = LimitRule {
            clock: ClockKind::Dispatch,
            limit: Limit { span: Span::new(Duration::from_secs(3600 * hours))?, measure: Measure::Working },
            kind: None,
            urgency: None,
            customer_level: None,
            area: None,
        };
        self.organise(&BranchId::new("B0")?, &SetBranchLimits { limits: vec![rule] }.into()).await
    }

    async fn call(&mut self) -> Result<(), SimulationError> {
        let ticket = TicketId(self.ids.new_id(self.clock.now()));
        let request = RegisterTicket {
            kind: TicketKind::ALL[self.chance.usize(..3)],
            customer: Customer {
                name: Name::new("客户")?, phone: Phone::new("13800138000")?, address: None
            },
            customer_level: CustomerLevel::Standard,
            channel: Channel::Phone,
            product_model: Name::new("KFR-35GW")?,
            serial_number: None,
            description: Note::new("不制冷")?,
            happened_at: None,
            branch: BranchId::new(if self.chance.bool() { "B0" } else { "B1" })?,
            area: Some(if self.chance.bool() { Area::Urban } else { Area::Suburban }),
            district: None,
            urgency: Urgency::ALL[self.chance.usize(..3)],
            needs_visit: self.chance.bool(),
            warranty_until: None,
            contract_until: None,
        };
        let meta = self.late(self.meta()?);
        let mut known = false;
        for _ in 0..SENDS_MAX {
            self.commands += 1;
            let office = self.offices[self.chance.usize(..self.offices.len())].clone();
            match office.register(ticket, request.clone(), &meta).await {
                Ok(handled) => {
                    self.acknowledge(ticket, &meta, &handled);
                    known = true;
                    break;
                }
                Err(HandleError::Rejected(_)) => break,
                Err(_) => {}
            }
        }
        if known {
            self.tickets.push(ticket);
            if self.tickets.len() > TICKETS_MAX {
                self.tickets.remove(0);
            }
        }
        Ok(())
    }

    /// One entry in four comes late: by up to five hours (R2).
    fn late(&mut self, meta: CommandMeta) -> CommandMeta {
        let late_by = if self.chance.u8(..4) == 0 { self.chance.u64(0..300) } else { 0 };
        CommandMeta { occurred_at: Some(self.clock.now() - Duration::from_secs(60 * late_by)), ..meta }
    }

    async fn act(&mut self) -> Result<(), SimulationError> {
        if self.tickets.is_empty() {
            return Ok(());
        }
        let ticket = self.tickets[self.chance.usize(..self.tickets.len())];
        let command = self.command()?;
        let meta = self.late(self.meta()?);
        for _ in 0..SENDS_MAX {
            self.commands += 1;
            let office = self.offices[self.chance.usize(..self.offices.len())].clone();
            match office.ticket(ticket, &command, &meta).await {
                Ok(handled) => {
                    self.acknowledge(ticket, &meta, &handled);
                    return Ok(());
                }
                Err(HandleError::Rejected(_)) => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, ticket: TicketId, meta: &CommandMeta, handled: &Handled<Ticket>) {
        if handled.outcome != cuiban_command_handler::Outcome::Unchanged {
            let (command, revision) = (meta.command_id, handled.revision);
            self.acknowledged.push(Acknowledged { ticket, command, revision });
        }
    }

    fn command(&mut self) -> Result<TicketCommand, SimulationError> {
        let reason = || Line::new("缘由");
        let technician = |branch: bool| StaffId::new(if branch { "T0" } else { "T1" });
        Ok(match self.chance.u8(..16) {
            0..3 => {
                RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }.into()
            }
            3..6 => DispatchTechnician { technician: technician(self.chance.bool())?, visit: None }.into(),
            6..8 => ArriveAtCustomer {}.into(),
            8 => FixOnSite { remedy: Note::new("修好")?, customer_signed: self.chance.bool() }.into(),
            9 => PauseTicket { reason: PauseReason::CustomerAbsent, note: None }.into(),
            10 => ResumeTicket {}.into(),
            11 => ReclassifyTicket {
                kind: Some(TicketKind::ALL[self.chance.usize(..3)]),
                urgency: None,
                area: Some(if self.chance.bool() { Area::Urban } else { Area::Suburban }),
                needs_visit: Some(self.chance.bool()),
                reason: reason()?,
            }
            .into(),
            12 => TransferTicket {
                to: BranchId::new(if self.chance.bool() { "B0" } else { "B1" })?,
                area: None,
                district: None,
                reason: reason()?,
            }
            .into(),
            13 => CancelTicket { reason: reason()? }.into(),
            14 => CloseTicket { note: None }.into(),
            _ => ReopenTicket { reason: reason()? }.into(),
        })
    }
}

impl Watcher {
    fn absorb(&mut self, log: &MemoryLog) -> Result<(), DecodeError> {
        for recorded in log.commits_after(self.cursor) {
            let commit = cuiban_event_schema::decode(&recorded.payload)?;
            if let Ok(branch) = BranchId::new(recorded.route.branch.as_str()) {
                self.expediting.absorb(&commit, &branch);
            }
            self.cursor = recorded.position;
        }
        Ok(())
    }
}
