//! Operators, dispatchers, technicians, supervisors: they send a command again until they know what became of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cuiban_command_handler::{CommandMeta, HandleError, Handled, Handlers, Outcome};
use cuiban_domain::Aggregate;
use cuiban_domain::ids::{Actor, BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, BranchCommand, BranchHours, District, LeaveStaff, ListDistricts, OpenBranch, SetBranchHours,
    SetBranchLimits, StaffMember,
};
use cuiban_domain::people::{Customer, Phone, Role};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Measure, Span};
use cuiban_domain::text::{Line, Name, Note};
use cuiban_domain::ticket::{
    Area, ArriveAtCustomer, CancelTicket, Channel, CloseTicket, CustomerLevel, DispatchTechnician, FixOnSite,
    MergeTicket, PauseReason, PauseTicket, ReclassifyTicket, RegisterTicket, ReopenTicket, RespondToCustomer,
    ResumeTicket, TicketCommand, TicketKind, TransferTicket, Urgency, VisitWindow,
};
use cuiban_domain::working_time::SpecialDay;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::SimulationError;
use super::process::{Process, Up};
use super::scene::Scene;
use super::script::{Act, What};

/// How far back a ticket is that somebody still works on, in acts.
const WORKED_ON_MAX: usize = 24;
/// How long a person waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first pause before a command is sent again; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The longest such pause.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(120);

/// A command that was answered with success.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub(crate) stream: String,
    pub(crate) command: CommandId,
    pub(crate) revision: u64,
}

/// All people of a seed.
pub(crate) struct People {
    scene: Arc<Scene>,
    offices: Vec<Arc<Process>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    acknowledged: Vec<Acknowledged>,
    sent: usize,
    waiting: usize,
}

/// What a command is sent to.
#[derive(Clone, Debug)]
enum Order {
    Register(TicketId, Box<RegisterTicket>),
    Ticket(TicketId, Box<TicketCommand>),
    Branch(BranchId, Box<BranchCommand>),
}

const BRANCHES: [&str; 2] = ["B0", "B1"];

impl People {
    pub(crate) fn new(scene: Arc<Scene>, offices: Vec<Arc<Process>>) -> Self {
        Self { scene, offices, known: Mutex::default() }
    }

    pub(crate) fn acknowledged(&self) -> Vec<Acknowledged> {
        self.known().acknowledged.clone()
    }

    /// How many commands were sent.
    pub(crate) fn sent(&self) -> usize {
        self.known().sent
    }

    /// How many people do not know yet what became of their command.
    pub(crate) fn waiting(&self) -> usize {
        self.known().waiting
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the branches.
    pub(crate) async fn set_the_scene(&self) -> Result<(), SimulationError> {
        for (index, branch) in BRANCHES.into_iter().enumerate() {
            let (id, name) = (BranchId::new(branch)?, Name::new(branch)?);
            let open = OpenBranch { branch: id.clone(), name, province: None };
            let mut commands = vec![BranchCommand::from(open), districts(index % 2 == 0)?.into()];
            for (staff, role) in staff_of(branch) {
                commands.push(AdmitStaff { member: member(&staff, role)? }.into());
            }
            for (step, command) in commands.into_iter().enumerate() {
                let order = Order::Branch(id.clone(), Box::new(command));
                let meta = self.meta((1_000 + 100 * index + step) as u64)?;
                self.insist(order, meta).await;
            }
        }
        Ok(())
    }

    /// Somebody does what the script says, and goes on until it is done.
    pub(crate) fn act(self: &Arc<Self>, act: &Act) -> Result<(), SimulationError> {
        let mut chance = self.scene.chance("act", act.number as u64);
        let order = match act.what {
            What::Call => Order::Register(self.ticket(act.number), Box::new(call(&mut chance)?)),
            What::Work => self.work(act.number, &mut chance)?,
            _ => organise(&mut chance, self.scene.now())?,
        };
        let mut meta = self.meta(act.number as u64)?;
        // One entry in four comes late: by up to five hours (R2).
        let late_by = Duration::from_secs(60 * chance.u64(1..300));
        if chance.u8(..4) == 0 && !matches!(order, Order::Branch(..)) {
            meta.occurred_at = Some(self.scene.now() - late_by);
        }
        self.scene.tell(|| format!("act {:<5} {}", act.number, short(&order)));
        let people = self.clone();
        tokio::spawn(async move { people.insist(order, meta).await });
        Ok(())
    }

    /// A ticket's id, by the act that registers it.
    fn ticket(&self, act: usize) -> TicketId {
        let name = format!("{}/{act}", self.scene.seed);
        TicketId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
    }

    fn meta(&self, number: u64) -> Result<CommandMeta, SimulationError> {
        let name = format!("{}/command/{number}", self.scene.seed);
        let id = CommandId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
        Ok(CommandMeta::new(id, Actor::new("person")?))
    }

    /// Sends an order until it is known what became of it.
    async fn insist(&self, order: Order, meta: CommandMeta) {
        self.known().waiting += 1;
        let mut chance = self.scene.chance("insist", meta.command_id.0.as_u64_pair().0);
        let mut pause = AGAIN_AFTER;
        loop {
            let office = self.offices[chance.usize(..self.offices.len())].clone();
            match send(&office, &order, &meta, &self.known).await {
                Some(Ok(acknowledged)) => {
                    self.scene.tell(|| format!("person    knows of {}", meta.command_id));
                    self.known().acknowledged.extend(acknowledged);
                    break;
                }
                Some(Err(HandleError::Rejected(rejection))) => {
                    self.scene.tell(|| format!("person    is refused: {rejection}"));
                    break;
                }
                Some(Err(_)) | None => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_AFTER_MAX);
        }
        self.known().waiting -= 1;
    }

    fn work(&self, number: usize, chance: &mut fastrand::Rng) -> Result<Order, SimulationError> {
        let back = |chance: &mut fastrand::Rng| 1 + chance.usize(..WORKED_ON_MAX.min(number.max(1)));
        let calls = super::script::calls_before(&self.scene, number);
        let mut ticket = || {
            let back = back(chance).min(calls.len());
            calls.get(calls.len() - back).map(|call| self.ticket(*call))
        };
        let (one, other) = (ticket(), ticket());
        let (one, other) = (one.unwrap_or(self.ticket(0)), other.unwrap_or(self.ticket(0)));
        Ok(Order::Ticket(one, Box::new(ticket_command(chance, other, self.scene.now())?)))
    }
}

/// One attempt; `None` when nothing is heard. Dies with the process.
async fn send(
    office: &Process,
    order: &Order,
    meta: &CommandMeta,
    known: &Mutex<Known>,
) -> Option<Result<Option<Acknowledged>, HandleError>> {
    let Up { handlers, life, .. } = office.up().borrow().clone()?;
    known.lock().unwrap_or_else(PoisonError::into_inner).sent += 1;
    let handling = handle(&handlers, order, meta);
    tokio::select! {
        biased;
        () = life.cancelled() => None,
        () = tokio::time::sleep(PATIENCE) => None,
        answer = handling => Some(answer),
    }
}

fn handle<'a>(
    handlers: &'a Handlers,
    order: &'a Order,
    meta: &'a CommandMeta,
) -> BoxFuture<'a, Result<Option<Acknowledged>, HandleError>> {
    Box::pin(async move {
        match order {
            Order::Register(ticket, request) => {
                let handled = handlers.register(*ticket, (**request).clone(), meta).await?;
                Ok(acknowledged(ticket.to_string(), meta, &handled))
            }
            Order::Ticket(ticket, command) => {
                let handled = handlers.ticket(*ticket, command, meta).await?;
                Ok(acknowledged(ticket.to_string(), meta, &handled))
            }
            Order::Branch(branch, command) => {
                let handled = handlers.branch(branch, command, meta).await?;
                Ok(acknowledged(branch.to_string(), meta, &handled))
            }
        }
    })
}

/// What must be in the log from now on; nothing, if there was nothing to record.
fn acknowledged<A: Aggregate>(
    stream: String,
    meta: &CommandMeta,
    handled: &Handled<A>,
) -> Option<Acknowledged> {
    let recorded = handled.outcome != Outcome::Unchanged;
    recorded.then_some(Acknowledged { stream, command: meta.command_id, revision: handled.revision })
}

fn short(order: &Order) -> String {
    let text = match order {
        Order::Register(ticket, request) => format!("{ticket} {} {:?}", request.branch, request.kind),
        Order::Ticket(ticket, command) => format!("{ticket} {command:?}"),
        Order::Branch(branch, command) => format!("{branch} {command:?}"),
    };
    text.chars().take(400).collect()
}

fn staff_of(branch: &str) -> [(String, Role); 4] {
    let id = |name: &str| format!("{branch}-{name}");
    [
        (id("T0"), Role::Technician),
        (id("T1"), Role::Technician),
        (id("T2"), Role::Technician),
        (id("S0"), Role::ServiceSupervisor),
    ]
}

fn member(id: &str, role: Role) -> Result<StaffMember, SimulationError> {
    let (id, name) = (StaffId::new(id)?, Name::new(id)?);
    Ok(StaffMember { id, name, role, skills: Vec::new(), areas: Vec::new() })
}

fn districts(first_is_urban: bool) -> Result<ListDistricts, SimulationError> {
    let area = |urban: bool| if urban { Area::Urban } else { Area::Suburban };
    let district =
        |name, urban| Ok::<_, SimulationError>(District { name: Name::new(name)?, area: area(urban) });
    Ok(ListDistricts { districts: vec![district("D0", first_is_urban)?, district("D1", !first_is_urban)?] })
}

fn branch(chance: &mut fastrand::Rng) -> Result<BranchId, SimulationError> {
    Ok(BranchId::new(BRANCHES[chance.usize(..BRANCHES.len())])?)
}

fn area(chance: &mut fastrand::Rng) -> Option<Area> {
    [None, Some(Area::Urban), Some(Area::Suburban)][chance.usize(..3)]
}

fn call(chance: &mut fastrand::Rng) -> Result<RegisterTicket, SimulationError> {
    let phone = format!("1380013800{}", chance.u8(..10));
    Ok(RegisterTicket {
        kind: TicketKind::ALL[chance.usize(..TicketKind::ALL.len())],
        customer: Customer { name: Name::new("客户")?, phone: Phone::new(&phone)?, address: None },
        customer_level: CustomerLevel::Standard,
        channel: Channel::Phone,
        product_model: Name::new("KFR-35GW")?,
        serial_number: None,
        description: Note::new("不制冷")?,
        happened_at: None,
        branch: branch(chance)?,
        area: area(chance),
        district: Some(Name::new(["D0", "D1"][chance.usize(..2)])?),
        urgency: Urgency::ALL[chance.usize(..3)],
        needs_visit: chance.bool(),
        warranty_until: None,
        contract_until: None,
    })
}

/// Hours, limits, districts or staff of a branch.
fn organise(chance: &mut fastrand::Rng, now: cuiban_domain::Instant) -> Result<Order, SimulationError> {
    let branch = branch(chance)?;
    let command: BranchCommand = match chance.u8(..8) {
        0..3 => {
            let first = now.date_naive() + chrono::Days::new(chance.u64(0..3));
            let days = (0..2).map(|nth| {
                let day = first + chrono::Days::new(nth);
                if chance.bool() {
                    SpecialDay::closed(day, "停工")
                } else {
                    SpecialDay::make_up(day, "加班")
                }
            });
            SetBranchHours { hours: BranchHours { days: days.collect(), ..BranchHours::default() } }.into()
        }
        3..6 => {
            let hours = Duration::from_secs(3_600 * chance.u64(1..12));
            let (clock, measure) = match chance.u8(..3) {
                0 => (ClockKind::Response, Measure::Wall),
                1 => (ClockKind::Response, Measure::Working),
                _ => (ClockKind::Dispatch, Measure::Working),
            };
            let limit = Limit { span: Span::new(hours)?, measure };
            let area = area(chance);
            let rule = LimitRule { clock, limit, kind: None, urgency: None, customer_level: None, area };
            SetBranchLimits { limits: vec![rule] }.into()
        }
        6 => districts(chance.bool())?.into(),
        _ => {
            let (staff, successor) = (format!("{branch}-T0"), format!("{branch}-T1"));
            LeaveStaff { staff: StaffId::new(&staff)?, successor: StaffId::new(&successor)? }.into()
        }
    };
    Ok(Order::Branch(branch, Box::new(command)))
}

fn ticket_command(
    chance: &mut fastrand::Rng,
    other: TicketId,
    now: cuiban_domain::Instant,
) -> Result<TicketCommand, SimulationError> {
    let reason = || Line::new("缘由");
    let number = chance.u8(..3);
    Ok(match chance.u8(..22) {
        0..4 => RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }.into(),
        4..8 => {
            let branch = branch(chance)?;
            let from = now + Duration::from_secs(3_600 * chance.u64(1..6));
            let visit = VisitWindow { from, until: from + Duration::from_secs(3_600) };
            let technician = StaffId::new(format!("{branch}-T{number}"))?;
            DispatchTechnician { technician, visit: chance.bool().then_some(visit) }.into()
        }
        8..11 => ArriveAtCustomer {}.into(),
        11 => FixOnSite { remedy: Note::new("修好")?, customer_signed: chance.bool() }.into(),
        12..14 => PauseTicket { reason: PauseReason::CustomerAbsent, note: None }.into(),
        14..16 => ResumeTicket {}.into(),
        16 => ReclassifyTicket {
            kind: Some(TicketKind::ALL[chance.usize(..3)]),
            urgency: Some(Urgency::ALL[chance.usize(..3)]),
            area: area(chance),
            needs_visit: Some(chance.bool()),
            reason: reason()?,
        }
        .into(),
        17 => TransferTicket { to: branch(chance)?, area: area(chance), district: None, reason: reason()? }
            .into(),
        18 => MergeTicket { into: other, reason: reason()? }.into(),
        19 => CancelTicket { reason: reason()? }.into(),
        20 => CloseTicket { note: None }.into(),
        _ => ReopenTicket { reason: reason()? }.into(),
    })
}
