//! A system to be measured: a log, its handlers, one branch with a technician, and invented tickets.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cuiban_command_handler::{CommandMeta, Config, Handlers, RandomIds, SystemClock};
use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{AdmitStaff, BranchCommand, OpenBranch, SetPolicy, StaffMember};
use cuiban_domain::people::{Customer, Phone, Role};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Policy, Span};
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{
    Area, ArriveAtCustomer, Channel, CloseTicket, CustomerLevel, DispatchTechnician, FixOnSite,
    RegisterTicket, RespondToCustomer, TicketCommand, TicketKind, Urgency,
};
use cuiban_domain::working_time::Measure;
use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_event_log_sqlite::SqliteLog;

use crate::figure::AnyError;

/// How long an urgent ticket may wait for its answer, by the wall clock.
const URGENT: Duration = Duration::from_secs(3600);
/// How many commands are under way at once while a log is filled.
pub(crate) const FILLING_WRITERS: usize = 128;
/// How many different customers call.
const CUSTOMERS: u128 = 1_000_000;
/// How many tickets are open at a time in a log of whole lives.
const OPEN_AT_A_TIME: usize = 10_000;

/// How many commands take a ticket from its call to its end.
pub(crate) const COMMANDS_A_LIFE: usize = 6;

/// Log, handlers and a branch.
#[derive(Clone)]
pub(crate) struct Office {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) handlers: Arc<Handlers>,
    request: RegisterTicket,
    branch: BranchId,
    technician: StaffId,
    actor: Actor,
}

impl Office {
    /// On the embedded log in this folder.
    pub(crate) async fn embedded(folder: &Path) -> Result<Self, AnyError> {
        let config = cuiban_event_log_sqlite::Config::at(folder.join("log.sqlite"));
        Self::on(Arc::new(SqliteLog::open(config)?)).await
    }

    /// On a log; opens the branch there if that was not done before.
    pub(crate) async fn on(log: Arc<dyn EventLog>) -> Result<Self, AnyError> {
        let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(RandomIds));
        let actor = Actor::new("bench")?;
        let handlers =
            Arc::new(Handlers::start(log.clone(), clock, ids, actor.clone(), Config::default()).await?);
        let (branch, technician) = (BranchId::new("B0")?, StaffId::new("T0")?);
        let office = Self { log, handlers, request: request(&branch)?, branch, technician, actor };
        if office.handlers.directory().organisation().branch(&office.branch).is_err() {
            office.open().await?;
        }
        Ok(office)
    }

    async fn open(&self) -> Result<(), AnyError> {
        let limit = Limit { span: Span::new(URGENT)?, measure: Measure::Wall };
        let mut policy = Policy::default();
        policy.limits.push(LimitRule {
            clock: ClockKind::Response,
            limit,
            kind: None,
            urgency: Some(Urgency::Urgent),
            customer_level: None,
            area: None,
        });
        self.handlers.company(&SetPolicy { policy }.into(), &self.meta()).await?;
        let name = Name::new("城东服务中心")?;
        let open = OpenBranch { branch: self.branch.clone(), name, province: None };
        let member = StaffMember {
            id: self.technician.clone(),
            name: Name::new("技术员")?,
            role: Role::Technician,
            skills: Vec::new(),
            areas: Vec::new(),
        };
        for command in [BranchCommand::from(open), AdmitStaff { member }.into()] {
            let handled = self.handlers.branch(&self.branch, &command, &self.meta()).await?;
            self.handlers.directory().wait_for(handled.position).await;
        }
        Ok(())
    }

    fn meta(&self) -> CommandMeta {
        CommandMeta::new(CommandId(self.handlers.new_id()), self.actor.clone())
    }

    /// A call of one of a million customers.
    pub(crate) fn call(&self) -> Result<RegisterTicket, AnyError> {
        self.call_about(TicketId(self.handlers.new_id()))
    }

    /// The call that a ticket is opened for.
    fn call_about(&self, ticket: TicketId) -> Result<RegisterTicket, AnyError> {
        let customer = ticket.0.as_u128() % CUSTOMERS;
        let phone = Phone::new(format!("138{customer:08}"))?;
        let customer = Customer { phone, ..self.request.customer.clone() };
        Ok(RegisterTicket { customer, ..self.request.clone() })
    }

    /// One call: a repair in town.
    pub(crate) async fn register(&self) -> Result<TicketId, AnyError> {
        let ticket = TicketId(self.handlers.new_id());
        self.handlers.register(ticket, self.call_about(ticket)?, &self.meta()).await?;
        Ok(ticket)
    }

    /// One urgent call, made so long ago that its answer is due at this instant.
    pub(crate) async fn register_due(&self, due_at: Instant) -> Result<TicketId, AnyError> {
        let ticket = TicketId(self.handlers.new_id());
        let request = RegisterTicket { urgency: Urgency::Urgent, ..self.call_about(ticket)? };
        let meta = CommandMeta { occurred_at: Some(due_at - URGENT), ..self.meta() };
        self.handlers.register(ticket, request, &meta).await?;
        Ok(ticket)
    }

    /// What follows a call: answered, sent out, there, mended, closed.
    pub(crate) fn life(&self) -> Result<[TicketCommand; COMMANDS_A_LIFE - 1], AnyError> {
        let technician = self.technician.clone();
        let remedy = Note::new("更换零件，试机正常")?;
        Ok([
            RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }.into(),
            DispatchTechnician { technician, visit: None }.into(),
            ArriveAtCustomer {}.into(),
            FixOnSite { remedy, customer_signed: false }.into(),
            CloseTicket { note: None }.into(),
        ])
    }

    /// So many registrations by so many writers.
    pub(crate) async fn registrations(&self, writers: usize, count: usize) -> Result<(), AnyError> {
        let office = self.clone();
        side_by_side(writers, count, move |_| {
            let office = office.clone();
            async move { office.register().await.map(drop) }
        })
        .await
    }

    /// So many whole lives by so many writers, each of whom has one ticket at a time.
    pub(crate) async fn lives_in_turn(&self, writers: usize, count: usize) -> Result<(), AnyError> {
        let (office, life) = (self.clone(), self.life()?);
        side_by_side(writers, count, move |_| {
            let (office, life) = (office.clone(), life.clone());
            async move {
                let ticket = office.register().await?;
                for command in &life {
                    office.handlers.ticket(ticket, command, &office.meta()).await?;
                }
                Ok(())
            }
        })
        .await
    }

    /// So many whole lives. Thousands of tickets are open at a time, as at a real branch: between two steps of one
    /// come those of all others.
    pub(crate) async fn lives(&self, count: usize) -> Result<(), AnyError> {
        for first in (0..count).step_by(OPEN_AT_A_TIME) {
            let called = Arc::new(Mutex::new(Vec::new()));
            let (office, tickets) = (self.clone(), called.clone());
            side_by_side(FILLING_WRITERS, OPEN_AT_A_TIME.min(count - first), move |_| {
                let (office, tickets) = (office.clone(), tickets.clone());
                async move {
                    let ticket = office.register().await?;
                    tickets.lock().unwrap_or_else(PoisonError::into_inner).push(ticket);
                    Ok(())
                }
            })
            .await?;
            let tickets: Arc<[TicketId]> =
                std::mem::take(&mut *called.lock().unwrap_or_else(PoisonError::into_inner)).into();
            for command in self.life()? {
                self.each(tickets.clone(), command).await?;
            }
        }
        Ok(())
    }

    /// The same command to each of these tickets.
    async fn each(&self, tickets: Arc<[TicketId]>, command: TicketCommand) -> Result<(), AnyError> {
        let office = self.clone();
        side_by_side(FILLING_WRITERS, tickets.len(), move |n| {
            let (office, ticket, command) = (office.clone(), tickets[n], command.clone());
            async move {
                office.handlers.ticket(ticket, &command, &office.meta()).await?;
                Ok(())
            }
        })
        .await
    }

    /// So many urgent calls, the answer to each due when `due_at` says.
    pub(crate) async fn due_calls(
        &self,
        count: usize,
        due_at: impl Fn(usize) -> Instant + Clone + Send + 'static,
    ) -> Result<(), AnyError> {
        let office = self.clone();
        side_by_side(FILLING_WRITERS, count, move |n| {
            let (office, due_at) = (office.clone(), due_at(n));
            async move { office.register_due(due_at).await.map(drop) }
        })
        .await
    }
}

/// Does `work` so many times, shared among so many writers, each of whom waits for one before the next.
pub(crate) async fn side_by_side<W, F>(writers: usize, count: usize, work: W) -> Result<(), AnyError>
where
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), AnyError>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let work = work.clone();
        tasks.spawn(async move {
            for n in (writer..count).step_by(writers) {
                Box::pin(work(n)).await?;
            }
            Ok::<(), AnyError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// How much there is in a log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contents {
    pub(crate) commits: usize,
    pub(crate) events: usize,
    pub(crate) payload_bytes: usize,
}

/// Reads a whole log to see how much there is.
pub(crate) async fn contents(log: &dyn EventLog) -> Result<Contents, AnyError> {
    let mut contents = Contents::default();
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await?;
    while let Some(batch) = subscription.next_batch(1024).await {
        let batch = batch?;
        for recorded in &batch.commits {
            contents.commits += 1;
            contents.events += cuiban_event_schema::decode(&recorded.payload)?.events.len();
            contents.payload_bytes += recorded.payload.len();
        }
        if batch.caught_up {
            break;
        }
    }
    Ok(contents)
}

fn request(branch: &BranchId) -> Result<RegisterTicket, AnyError> {
    Ok(RegisterTicket {
        kind: TicketKind::Repair,
        customer: Customer { name: Name::new("客户")?, phone: Phone::new("13800138000")?, address: None },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: Name::new("KFR-35GW")?,
        serial_number: None,
        description: Note::new("不制冷，室外机不转")?,
        happened_at: None,
        branch: branch.clone(),
        area: Some(Area::Urban),
        district: None,
        urgency: Urgency::Normal,
        needs_visit: true,
        warranty_until: None,
        contract_until: None,
    })
}
