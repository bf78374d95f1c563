//! An invented day at two branches: calls come in, technicians go out, some too late. For `cuiban up --demo`.
//!
//! Everybody acts through the real command handler, by a seed, on whatever clock the handlers have. What one person
//! does next stands in an agenda in order of time; time itself is waited for, never skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::{CommandMeta, HandleError, Handlers};
use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, BranchId, CommandId, InvalidId, StaffId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, BranchCommand, CompanyCommand, OpenBranch, SetCompanyCalendar, StaffMember,
};
use cuiban_domain::people::{Customer, InvalidPhone, Phone, Role};
use cuiban_domain::text::{InvalidText, Line, Name, Note};
use cuiban_domain::ticket::{
    Area, ArriveAtCustomer, Channel, CloseTicket, CustomerLevel, DispatchTechnician, FixOnSite, PauseReason,
    PauseTicket, RegisterTicket, RespondToCustomer, ResumeTicket, TicketCommand, TicketKind, Urgency,
};
use cuiban_domain::working_time::{Calendar, Weekly, WorkingTimeError};

/// The demonstration could not be set up or go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The log or the rules refused what the demonstration needs.
    #[error("act in the demonstration")]
    Handle(#[from] HandleError),
    /// A constant of the demonstration is wrong.
    #[error("write the demonstration's script: {0}")]
    Script(String),
}

macro_rules! script_errors {
    ($($error:ty),+) => { $(impl From<$error> for DemoError {
        fn from(error: $error) -> Self { Self::Script(error.to_string()) }
    })+ };
}
script_errors!(InvalidId, InvalidText, InvalidPhone, WorkingTimeError);

const PRODUCTS: [&str; 6] = ["KFR-35GW", "BCD-216", "XQG80", "JSQ25", "CXW-200", "EC6001"];
const FAULTS: [&str; 6] = ["不制冷", "漏水", "异响", "无法启动", "显示故障代码 E4", "有焦味"];
const TECHNICIANS_A_BRANCH: usize = 3;

/// An agenda entry: what is done to which ticket. Ordered by time, then by the order of planning.
type Entry = Reverse<(Instant, u64, Option<TicketId>, Plan)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Call { hours_ago_tenths: u32 },
    Respond,
    Pause,
    Resume,
    Dispatch { branch: usize },
    Arrive,
    Fix,
    Close,
}

/// The people of the demonstration.
pub struct Demo {
    handlers: Arc<Handlers>,
    chance: fastrand::Rng,
    agenda: BinaryHeap<Entry>,
    planned: u64,
    branches: Vec<BranchId>,
}

impl Demo {
    /// Opens two branches, admits their staff, and plans the first calls.
    pub async fn set_up(handlers: Arc<Handlers>, seed: u64) -> Result<Self, DemoError> {
        let branches = vec![BranchId::new("B0")?, BranchId::new("B1")?];
        let chance = fastrand::Rng::with_seed(seed);
        let mut demo = Self { handlers, chance, agenda: BinaryHeap::new(), planned: 0, branches };
        let command = CompanyCommand::from(SetCompanyCalendar { calendar: demo_calendar()? });
        demo.handlers.company(&command, &demo.meta("demo")?).await?;
        for (index, branch) in demo.branches.iter().enumerate() {
            for command in branch_commands(index, branch)? {
                let handled = demo.handlers.branch(branch, &command, &demo.meta("demo")?).await?;
                demo.handlers.directory().wait_for(handled.position).await;
            }
        }
        let now = demo.handlers.clock().now();
        for hours_ago_tenths in [240, 239, 65, 62, 60, 59, 58, 40, 20, 5] {
            demo.plan(now, None, Plan::Call { hours_ago_tenths });
        }
        demo.plan(now, None, Plan::Call { hours_ago_tenths: 0 });
        Ok(demo)
    }

    /// Acts until it is dropped.
    pub async fn run(mut self) -> Result<(), DemoError> {
        while let Some(Reverse((at, _, ticket, plan))) = self.agenda.pop() {
            self.handlers.clock().sleep_until(at).await;
            match self.act(ticket, plan).await {
                // Somebody at the console was faster, or did something else.
                Err(DemoError::Handle(HandleError::Rejected(_))) | Ok(()) => {}
                Err(DemoError::Handle(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the demonstration waits for the log"
                    );
                    self.plan(at + Duration::from_secs(60), ticket, plan);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn plan(&mut self, at: Instant, ticket: Option<TicketId>, plan: Plan) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, ticket, plan)));
    }

    /// Plans something for a ticket after between `from` and `to` minutes.
    fn plan_in(&mut self, ticket: TicketId, minutes: std::ops::Range<u64>, plan: Plan) {
        let after = Duration::from_secs(60 * self.chance.u64(minutes));
        self.plan(self.handlers.clock().now() + after, Some(ticket), plan);
    }

    async fn act(&mut self, ticket: Option<TicketId>, plan: Plan) -> Result<(), DemoError> {
        match (plan, ticket) {
            (Plan::Call { hours_ago_tenths }, _) => self.call(hours_ago_tenths).await,
            (_, None) => Ok(()),
            (plan, Some(ticket)) => {
                let (actor, command) = self.command(plan)?;
                let meta = self.meta(actor)?;
                self.handlers.ticket(ticket, &command, &meta).await?;
                match plan {
                    Plan::Arrive => self.plan_in(ticket, 20..120, Plan::Fix),
                    Plan::Fix => self.plan_in(ticket, 5..60, Plan::Close),
                    _ => {}
                }
                Ok(())
            }
        }
    }

    async fn call(&mut self, hours_ago_tenths: u32) -> Result<(), DemoError> {
        let branch = self.chance.usize(..self.branches.len());
        let ticket = TicketId(self.handlers.new_id());
        let request = self.request(branch)?;
        let needs_visit = request.kind == TicketKind::Repair;
        let now = self.handlers.clock().now();
        let called_at = now - Duration::from_secs(360 * u64::from(hours_ago_tenths));
        let meta = CommandMeta { occurred_at: Some(called_at), ..self.meta("operator")? };
        self.handlers.register(ticket, request, &meta).await?;
        if hours_ago_tenths == 0 {
            let after = Duration::from_secs(60 * self.chance.u64(4..16));
            self.plan(now + after, None, Plan::Call { hours_ago_tenths: 0 });
        }
        // One customer in ten is forgotten, one repair in five waits for the customer.
        if self.chance.u8(..10) > 0 {
            self.plan_in(ticket, 5..120, Plan::Respond);
        }
        if needs_visit {
            let pauses = self.chance.u8(..5) == 0;
            if pauses {
                self.plan_in(ticket, 20..60, Plan::Pause);
                self.plan_in(ticket, 120..300, Plan::Resume);
            }
            self.plan_in(ticket, if pauses { 301..400 } else { 30..300 }, Plan::Dispatch { branch });
            self.plan_in(ticket, if pauses { 401..600 } else { 301..480 }, Plan::Arrive);
        } else {
            self.plan_in(ticket, 200..3000, Plan::Close);
        }
        Ok(())
    }

    fn request(&mut self, branch: usize) -> Result<RegisterTicket, DemoError> {
        let customer = self.chance.u32(1..10_000);
        let kind = match self.chance.u8(..10) {
            0 => TicketKind::Complaint,
            1 => TicketKind::CompensationClaim,
            _ => TicketKind::Repair,
        };
        let urgency = match self.chance.u8(..20) {
            0 => Urgency::Emergency,
            1..4 => Urgency::Urgent,
            _ => Urgency::Normal,
        };
        Ok(RegisterTicket {
            kind,
            customer: Customer {
                name: Name::new(format!("客户{customer:04}"))?,
                phone: Phone::new(format!("0210000{customer:04}"))?,
                address: None,
            },
            customer_level: CustomerLevel::Standard,
            channel: if self.chance.u8(..4) == 0 { Channel::Web } else { Channel::Phone },
            product_model: Name::new(PRODUCTS[self.chance.usize(..PRODUCTS.len())])?,
            serial_number: None,
            description: Note::new(FAULTS[self.chance.usize(..FAULTS.len())])?,
            happened_at: None,
            branch: self.branches[branch].clone(),
            area: Some(if self.chance.bool() { Area::Urban } else { Area::Suburban }),
            district: None,
            urgency,
            needs_visit: false,
            warranty_until: None,
            contract_until: None,
        })
    }

    fn command(&mut self, plan: Plan) -> Result<(&'static str, TicketCommand), DemoError> {
        Ok(match plan {
            Plan::Call { .. } => {
                return Err(DemoError::Script("a call is no command to a ticket".to_owned()));
            }
            Plan::Respond => {
                let respond =
                    RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None };
                ("operator", respond.into())
            }
            Plan::Pause => {
                let note = Some(Line::new("客户改约")?);
                ("operator", PauseTicket { reason: PauseReason::CustomerAskedForAnotherDay, note }.into())
            }
            Plan::Resume => ("operator", ResumeTicket {}.into()),
            Plan::Dispatch { branch } => {
                let technician = technician(branch, self.chance.usize(..TECHNICIANS_A_BRANCH))?;
                ("dispatcher", DispatchTechnician { technician, visit: None }.into())
            }
            Plan::Arrive => ("technician", ArriveAtCustomer {}.into()),
            Plan::Fix => {
                let remedy = Note::new("更换零件，试机正常")?;
                ("technician", FixOnSite { remedy, customer_signed: false }.into())
            }
            Plan::Close => ("operator", CloseTicket { note: None }.into()),
        })
    }

    fn meta(&self, actor: &str) -> Result<CommandMeta, DemoError> {
        Ok(CommandMeta::new(CommandId(self.handlers.new_id()), Actor::new(actor)?))
    }
}

/// Open every day of the week from eight to eight, so that limits run out whenever somebody looks.
fn demo_calendar() -> Result<Calendar, WorkingTimeError> {
    let hours = || -> Result<Vec<_>, WorkingTimeError> {
        ["08:00-12:00", "13:00-20:00"].map(str::parse).into_iter().collect()
    };
    let weekly = Weekly {
        mon: hours()?,
        tue: hours()?,
        wed: hours()?,
        thu: hours()?,
        fri: hours()?,
        sat: hours()?,
        sun: hours()?,
    };
    Calendar::new(chrono_tz::Asia::Shanghai, weekly, Vec::new())
}

fn technician(branch: usize, index: usize) -> Result<StaffId, InvalidId> {
    StaffId::new(format!("T{branch}{index}"))
}

fn branch_commands(index: usize, branch: &BranchId) -> Result<Vec<BranchCommand>, DemoError> {
    let member = |id: StaffId, name: String, role| -> Result<BranchCommand, DemoError> {
        let member = StaffMember { id, name: Name::new(name)?, role, skills: Vec::new(), areas: Vec::new() };
        Ok(AdmitStaff { member }.into())
    };
    let name = Name::new(["城东服务中心", "城西服务中心"][index % 2])?;
    let mut commands = vec![OpenBranch { branch: branch.clone(), name, province: None }.into()];
    commands.push(member(
        StaffId::new(format!("S{index}"))?,
        format!("服务主任{index}"),
        Role::ServiceSupervisor,
    )?);
    for technician_index in 0..TECHNICIANS_A_BRANCH {
        let id = technician(index, technician_index)?;
        commands.push(member(id, format!("技术员{index}{technician_index}"), Role::Technician)?);
    }
    Ok(commands)
}

/// When the demonstration begins: the first working instant from `now` on, an hour into it.
pub fn demo_begins_at(now: Instant) -> Result<Instant, WorkingTimeError> {
    let calendar = cuiban_domain::working_time::WorkingCalendar::new(demo_calendar()?);
    Ok(calendar.next_working_instant(now)? + Duration::from_secs(3600))
}
