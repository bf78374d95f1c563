//! One handler per aggregate, and the commands that touch two streams.

use std::sync::Arc;
use std::time::Duration;

use cuiban_domain::Aggregate;
use cuiban_domain::alert::Alert;
use cuiban_domain::ids::{Actor, BranchId, CommandId, InvalidId, StaffId, TicketId};
use cuiban_domain::numbering::{Numbering, Series};
use cuiban_domain::organisation::{Branch, Company};
use cuiban_domain::schedule::{Schedule, ScheduleCommand};
use cuiban_domain::ticket::{DispatchTechnician, RegisterTicket, Registration, Stage, Ticket, TicketCommand};
use cuiban_event_log::{EventLog, LogError, Position, StreamId};
use cuiban_vitals::{SILENT_MAX, Vitals};

use crate::clock_guard::GuardedClock;
use crate::{
    Clock, ClockGuard, CommandHandler, CommandMeta, Config, Directory, HandleError, Handled, IdSource,
    Numbers, StepOver,
};

/// The id of the company's only stream.
const COMPANY: &str = "company";

/// The command handlers of one process.
pub struct Handlers {
    tickets: CommandHandler<Ticket>,
    company: CommandHandler<Company>,
    branches: CommandHandler<Branch>,
    schedules: CommandHandler<Schedule>,
    alerts: CommandHandler<Alert>,
    numbers: Numbers,
    directory: Directory,
    guard: Arc<ClockGuard>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    process: Actor,
    answer_max: Duration,
    vitals: Vitals,
}

/// Where a step over an unreadable commit is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteppedOver {
    /// Its place in the log.
    pub position: Position,
    /// The stream's revision with it.
    pub revision: u64,
}

impl<A: Aggregate> From<Handled<A>> for SteppedOver {
    fn from(handled: Handled<A>) -> Self {
        Self { position: handled.position, revision: handled.revision }
    }
}

impl Handlers {
    /// Handlers over this log; returns when the organisation is folded and the log has told its time. `process` is the actor of what the
    /// process does by itself.
    pub async fn start(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        process: Actor,
        config: Config,
    ) -> Result<Self, LogError> {
        Self::start_with_vitals(log, clock, ids, process, config, Vitals::default()).await
    }

    /// As [`Self::start`], for a process whose vitals probes read; each owner of the handlers writes into them.
    pub async fn start_with_vitals(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
        process: Actor,
        config: Config,
        vitals: Vitals,
    ) -> Result<Self, LogError> {
        let retry_delay = Duration::from_millis(config.directory_retry_delay_ms);
        let look_every = Duration::from_millis(config.log_looked_at_every_ms);
        let pulse = vitals.pulse("directory.following", SILENT_MAX);
        let directory = Directory::follow(log.clone(), retry_delay, look_every, pulse).await?;
        let guard = Arc::new(ClockGuard::new(clock, log.clone(), &config));
        // Before the log has told its time once, the process's own clock would be shown, whatever it is set to.
        match guard.now().await {
            Ok(_) | Err(LogError::ClockToBeConfirmed { .. }) => {}
            Err(error) => return Err(error),
        }
        let clock: Arc<dyn Clock> = Arc::new(GuardedClock(guard.clone()));
        type Parts = (Arc<dyn EventLog>, Arc<ClockGuard>, Directory, Config, Vitals);
        let parts = || (log.clone(), guard.clone(), directory.clone(), config.clone(), vitals.clone());
        fn handler<A: cuiban_domain::Aggregate>(
            (log, clock, directory, config, vitals): Parts,
        ) -> CommandHandler<A> {
            CommandHandler::new(log, clock, directory, config).with_vitals(vitals)
        }
        Ok(Self {
            tickets: handler(parts()),
            company: handler(parts()),
            branches: handler(parts()),
            schedules: handler(parts()),
            alerts: handler(parts()),
            numbers: Numbers::new(handler(parts()), clock.clone(), ids.clone(), process.clone(), &config),
            directory,
            guard,
            clock,
            ids,
            process,
            answer_max: Duration::from_millis(config.answer_ms_max),
            vitals,
        })
    }

    /// Company and branches as decisions see them.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The numbers that this process gives out.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// What this process says of itself.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The clock of this process, as the guard judges it; it asks the log nothing.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The time by which decisions are made: the log's own, or the process's clock where the two agree.
    pub fn clock_guard(&self) -> &ClockGuard {
        &self.guard
    }

    /// A new id, sorted by time.
    pub fn new_id(&self) -> uuid::Uuid {
        self.ids.new_id(self.clock().now())
    }

    /// Commands to the company.
    pub async fn company(
        &self,
        command: &cuiban_domain::organisation::CompanyCommand,
        meta: &CommandMeta,
    ) -> Result<Handled<Company>, HandleError> {
        self.in_time(self.company.handle(COMPANY, command, meta)).await
    }

    /// Commands to a branch.
    pub async fn branch(
        &self,
        branch: &BranchId,
        command: &cuiban_domain::organisation::BranchCommand,
        meta: &CommandMeta,
    ) -> Result<Handled<Branch>, HandleError> {
        self.in_time(self.branches.handle(branch.as_str(), command, meta)).await
    }

    /// Records an attempt to push an alert.
    pub async fn alert(
        &self,
        alert: &str,
        command: &cuiban_domain::alert::RecordAttempt,
        meta: &CommandMeta,
    ) -> Result<Handled<Alert>, HandleError> {
        self.in_time(self.alerts.handle(alert, command, meta)).await
    }

    /// How an alert stands on its channels.
    pub async fn alert_state(&self, alert: &str) -> Result<Alert, HandleError> {
        Ok(self.in_time(self.alerts.state(alert)).await?.0)
    }

    /// Registers a ticket under an id of the caller's, with the next number of its series (R3).
    pub async fn register(
        &self,
        ticket: TicketId,
        request: RegisterTicket,
        meta: &CommandMeta,
    ) -> Result<Handled<Ticket>, HandleError> {
        self.in_time(async {
            let called_at = match meta.occurred_at {
                Some(occurred_at) => occurred_at,
                None => self.guard.now().await?,
            };
            let called_on = {
                let organisation = self.directory.organisation();
                organisation.branch(&request.branch)?.calendar.local_date(called_at)
            };
            let number = self.numbers.next(Series::of(request.kind, called_on)).await?;
            let command = Registration { ticket, number, request }.into();
            self.tickets.handle(&ticket.to_string(), &command, meta).await
        })
        .await
    }

    /// Any other command to a ticket; the notices of limits that were broken before it are recorded first.
    pub async fn ticket(
        &self,
        ticket: TicketId,
        command: &TicketCommand,
        meta: &CommandMeta,
    ) -> Result<Handled<Ticket>, HandleError> {
        self.in_time(async {
            let related = match command.related() {
                Some(other) if other != ticket => Some(self.tickets.state(&other.to_string()).await?.0),
                _ => None,
            };
            let reserved = match command {
                TicketCommand::DispatchTechnician(dispatch) => {
                    self.reserve_visit(ticket, dispatch, meta).await?
                }
                _ => None,
            };
            let handled = self.handle_after_notices(ticket, command, meta, related.as_ref()).await;
            if let (Some((technician, branch)), Err(HandleError::Rejected(_))) = (reserved, &handled) {
                let (state, _) = self.tickets.state(&ticket.to_string()).await?;
                if state.technician.as_ref() != Some(&technician) {
                    self.release_visit(ticket, &technician, branch, &meta.following("release-visit")).await?;
                }
            }
            handled
        })
        .await
    }

    /// A ticket as the leader has it. [`HandleError::Unreadable`] while this build cannot read all of its stream.
    pub async fn ticket_now(&self, ticket: TicketId) -> Result<Ticket, HandleError> {
        Ok(self.in_time(self.tickets.state(&ticket.to_string())).await?.0)
    }

    pub(crate) fn tickets(&self) -> &CommandHandler<Ticket> {
        &self.tickets
    }

    /// The actor of what this process does by itself.
    pub(crate) fn process(&self) -> &Actor {
        &self.process
    }

    /// A ticket as last seen from here, read if it is not at hand; `None` while the log is away.
    pub async fn known_ticket(&self, ticket: TicketId) -> Option<Ticket> {
        self.tickets.known(&ticket.to_string()).await
    }

    /// Passes over a commit that this build cannot read, so that its stream goes on behind it.
    ///
    /// In a numbering stream `next_number` is the first number to be handed out then: above every number known, as
    /// nobody knows which ones the commit reserved.
    pub async fn step_over(
        &self,
        stream: &StreamId,
        step: &StepOver,
        next_number: Option<u64>,
        meta: &CommandMeta,
    ) -> Result<SteppedOver, HandleError> {
        let id = stream.id.as_str();
        self.in_time(async {
            match stream.kind.as_str() {
                Ticket::KIND => {
                    self.tickets.step_over(id, step, meta, |_| Ok(Vec::new())).await.map(Into::into)
                }
                Company::KIND => {
                    self.company.step_over(id, step, meta, |_| Ok(Vec::new())).await.map(Into::into)
                }
                Branch::KIND => {
                    self.branches.step_over(id, step, meta, |_| Ok(Vec::new())).await.map(Into::into)
                }
                Schedule::KIND => {
                    self.schedules.step_over(id, step, meta, |_| Ok(Vec::new())).await.map(Into::into)
                }
                Alert::KIND => {
                    self.alerts.step_over(id, step, meta, |_| Ok(Vec::new())).await.map(Into::into)
                }
                Numbering::KIND => {
                    let next = next_number.ok_or(HandleError::NextNumberMissing)?;
                    self.numbers.step_over(id, step, next, meta).await.map(Into::into)
                }
                _ => Err(HandleError::NothingToStepOver),
            }
        })
        .await
    }

    /// Frees the time that a technician's schedule keeps for a ticket.
    pub async fn release_visit(
        &self,
        ticket: TicketId,
        technician: &StaffId,
        branch: BranchId,
        meta: &CommandMeta,
    ) -> Result<Handled<Schedule>, HandleError> {
        let command = ScheduleCommand::ReleaseVisit { ticket, branch };
        self.in_time(self.schedules.handle(technician.as_str(), &command, meta)).await
    }

    /// Keeps the visit's time free in the technician's schedule, so that no two visits overlap (R11). Held by the
    /// schedule's own stream: of two dispatchers who want the same hour, one is told of the other.
    async fn reserve_visit(
        &self,
        ticket: TicketId,
        dispatch: &DispatchTechnician,
        meta: &CommandMeta,
    ) -> Result<Option<(StaffId, BranchId)>, HandleError> {
        let Some(visit) = dispatch.visit else { return Ok(None) };
        let (state, _) = self.tickets.state(&ticket.to_string()).await?;
        let (Some(branch), Stage::Waiting) = (state.branch().cloned(), state.stage) else { return Ok(None) };
        let organisation = self.directory.organisation();
        organisation.branch(&branch)?.technician(&dispatch.technician)?;
        let command = ScheduleCommand::ReserveVisit { ticket, branch: branch.clone(), visit };
        let meta = meta.following("reserve-visit");
        self.schedules.handle(dispatch.technician.as_str(), &command, &meta).await?;
        Ok(Some((dispatch.technician.clone(), branch)))
    }

    /// Whatever waits for the log meanwhile, for its answer, its numbers or the stream's own order, waits no longer than
    /// this. A command that is dropped in the middle leaves the log checked and the cache empty.
    async fn in_time<T>(
        &self,
        handling: impl Future<Output = Result<T, HandleError>>,
    ) -> Result<T, HandleError> {
        let handling = Box::pin(async {
            self.directory.make_sure().await?;
            handling.await
        });
        let handled = tokio::time::timeout(self.answer_max, handling).await;
        handled.unwrap_or_else(|late| Err(HandleError::Unknown(late.into())))
    }

    /// The meta of something that the process does by itself, once per `id`.
    pub fn own_meta(&self, id: CommandId, process: &str) -> Result<CommandMeta, InvalidId> {
        Ok(CommandMeta::new(id, Actor::new(process)?))
    }
}
