//! Replaying: every step at its instant, every 催办 at its own, through the real handler and the real watchdog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::{Clock, CommandMeta, HandleError, Handlers, IdSource, ManualClock, SeededIds};
use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, BranchCommand, CompanyCommand, OpenBranch, SetCompanyCalendar, SetPolicy, StaffMember,
};
use cuiban_domain::people::Role;
use cuiban_domain::sla::Policy;
use cuiban_domain::text::Name;
use cuiban_domain::ticket::TicketCommand;
use cuiban_domain::working_time::Calendar;
use cuiban_event_log::{MemoryLog, Position};
use cuiban_watchdog::{DeadlineIndex, Expediting};

use crate::history::{Action, History, Step};
use crate::summary::{Summary, Tally};

/// A replay that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A command was refused: the mapping makes of the file what the trade does not allow.
    #[error("ticket {key} at {at}")]
    Refused {
        /// The ticket's id in the file.
        key: String,
        /// When.
        at: Instant,
        /// Why.
        #[source]
        source: HandleError,
    },
    /// Branches, calendar or policy were refused.
    #[error("set up the branches, the calendar and the policy")]
    SetUp(#[source] HandleError),
    /// A notice that was due could not be issued.
    #[error("the notice that is due at {at} cannot be issued")]
    Stuck {
        /// Its due instant.
        at: Instant,
    },
    /// The log cannot be read.
    #[error("read the log")]
    Log(#[from] cuiban_event_log::LogError),
    /// What the log holds cannot be decoded.
    #[error("read the log")]
    Decode(#[from] cuiban_event_schema::DecodeError),
}

/// A history under way.
pub struct Replay {
    log: MemoryLog,
    clock: Arc<ManualClock>,
    handlers: Arc<Handlers>,
    expediting: Expediting,
    cursor: Position,
    tally: Tally,
    ids: SeededIds,
    actor: Actor,
    tickets: BTreeMap<usize, TicketId>,
}

/// Sends a whole history through the system; `progress` hears how many steps are done.
pub async fn replay(
    history: &History,
    calendar: &Calendar,
    policy: &Policy,
    mut progress: impl FnMut(usize),
) -> Result<Summary, ReplayError> {
    let begins_at = history.steps.first().map_or(history.ends_at, |step| step.at);
    let mut replay = Replay::start(begins_at).await?;
    replay.set_up(history, calendar, policy).await.map_err(ReplayError::SetUp)?;
    for (done, step) in history.steps.iter().enumerate() {
        replay.run_to(step.at).await?;
        replay.step(step).await?;
        progress(done + 1);
    }
    replay.run_to(history.ends_at).await?;
    Ok(replay.tally.summary())
}

impl Replay {
    async fn start(begins_at: Instant) -> Result<Self, ReplayError> {
        let clock = Arc::new(ManualClock::new(begins_at));
        let time = clock.clone();
        let log = MemoryLog::with_time(Arc::new(move || time.now()));
        let actor = actor();
        let ids: Arc<dyn IdSource> = Arc::new(SeededIds::new(1));
        let config = cuiban_command_handler::Config::default();
        let handlers =
            Handlers::start(Arc::new(log.clone()), clock.clone(), ids, actor.clone(), config).await?;
        let handlers = Arc::new(handlers);
        let expediting =
            Expediting::new(handlers.clone(), cuiban_watchdog::Config::default(), DeadlineIndex::default());
        Ok(Self {
            log,
            clock,
            handlers,
            expediting,
            cursor: Position::START,
            tally: Tally::default(),
            ids: SeededIds::new(2),
            actor,
            tickets: BTreeMap::new(),
        })
    }

    async fn set_up(
        &mut self,
        history: &History,
        calendar: &Calendar,
        policy: &Policy,
    ) -> Result<(), HandleError> {
        let set_calendar = CompanyCommand::from(SetCompanyCalendar { calendar: calendar.clone() });
        self.handlers.company(&set_calendar, &self.meta()).await?;
        let set_policy = CompanyCommand::from(SetPolicy { policy: policy.clone() });
        self.handlers.company(&set_policy, &self.meta()).await?;
        for branch in &history.branches {
            for command in branch_commands(branch, &history.technician) {
                let handled = self.handlers.branch(branch, &command, &self.meta()).await?;
                self.handlers.directory().wait_for(handled.position).await;
            }
        }
        Ok(())
    }

    /// Lets the virtual clock run to `until`, issuing each notice at its instant.
    async fn run_to(&mut self, until: Instant) -> Result<(), ReplayError> {
        loop {
            self.absorb()?;
            match self.expediting.index().next_due() {
                Some(due_at) if due_at < until => {
                    self.clock.advance_to(due_at + Duration::from_micros(1));
                    let issued = self.expediting.issue_due(self.clock.now()).await;
                    if issued.failed > 0 {
                        return Err(ReplayError::Stuck { at: due_at });
                    }
                }
                _ => break,
            }
        }
        self.clock.advance_to(until);
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), ReplayError> {
        let ticket = *self.tickets.entry(step.ticket).or_insert_with(|| TicketId(self.ids.new_id(step.at)));
        let meta = CommandMeta { occurred_at: Some(step.at), ..self.meta() };
        let result = match &step.action {
            Action::Register(request) => {
                self.handlers.register(ticket, request.as_ref().clone(), &meta).await
            }
            other => self.handlers.ticket(ticket, &command(other), &meta).await,
        };
        match result {
            Ok(_) => Ok(()),
            Err(source) => Err(ReplayError::Refused { key: step.key.clone(), at: step.at, source }),
        }
    }

    /// Folds what was appended since the last time, as the watchdog does.
    fn absorb(&mut self) -> Result<(), ReplayError> {
        for recorded in self.log.commits_after(self.cursor) {
            let commit = cuiban_event_schema::decode(&recorded.payload)?;
            if let Ok(branch) = BranchId::new(recorded.route.branch.as_str()) {
                self.expediting.absorb(&commit, &branch);
            }
            self.tally.add(&commit);
            self.cursor = recorded.position;
        }
        Ok(())
    }

    fn meta(&self) -> CommandMeta {
        let now = self.clock.now();
        CommandMeta::new(CommandId(self.ids.new_id(now)), self.actor.clone())
    }
}

fn branch_commands(branch: &BranchId, technician: &StaffId) -> [BranchCommand; 2] {
    let named = |text: &str| Name::new(text).unwrap_or_else(|_| unnamed());
    let member = StaffMember {
        id: technician.clone(),
        name: named(technician.as_str()),
        role: Role::Technician,
        skills: Vec::new(),
        areas: Vec::new(),
    };
    let open = OpenBranch { branch: branch.clone(), name: named(branch.as_str()), province: None };
    [open.into(), AdmitStaff { member }.into()]
}

#[expect(clippy::expect_used, reason = "constants that fit")]
fn unnamed() -> Name {
    Name::new("-").expect("one character is a name")
}

#[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
fn actor() -> Actor {
    Actor::new("replay").expect("fits the alphabet")
}

fn command(action: &Action) -> TicketCommand {
    match action.clone() {
        Action::Register(_) => unreachable!("registrations carry their own number"),
        Action::Respond(command) => command.into(),
        Action::Pause(command) => command.into(),
        Action::Resume(command) => command.into(),
        Action::Dispatch(command) => command.into(),
        Action::Arrive(command) => command.into(),
        Action::Fix(command) => command.into(),
        Action::Reopen(command) => command.into(),
        Action::Close(command) => command.into(),
    }
}
