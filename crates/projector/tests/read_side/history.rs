//! Histories for the tests: a company with three branches, drawn by seed, decided by the real command handlers.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use cuiban_command_handler::{Clock, CommandMeta, Config, Handlers, ManualClock, SeededIds};
use cuiban_domain::alert::{Outcome, RecordAttempt};
use cuiban_domain::ids::{Actor, BranchId, ChannelId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, BranchCommand, BranchHours, CompanyCommand, OpenBranch, Organisation, SetBranchHours,
    SetPolicy, StaffMember,
};
use cuiban_domain::people::{Customer, Role};
use cuiban_domain::sla::{ClockState, Limit, Measure, Policy, Span};
use cuiban_domain::ticket::*;
use cuiban_domain::{Instant, text::Name};
use cuiban_event_log::{Append, EventLog, Expected, MemoryLog, Position, RecordedCommit};

/// A drawn history.
pub(crate) struct History {
    pub(crate) log: MemoryLog,
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tickets: Vec<TicketId>,
    draws: Draws,
}

/// Numbers that are the same in each run with the same seed.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }
}

pub(crate) fn branch(id: &str) -> BranchId {
    BranchId::new(id).unwrap()
}

pub(crate) fn staff(id: &str) -> StaffId {
    StaffId::new(id).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) const BRANCHES: &[&str] = &["B0", "B1", "B2"];

impl History {
    /// The company and its branches, nothing else. The clock stands at Monday 2026-11-16, 08:30 in Shanghai.
    pub(crate) async fn office(seed: u64) -> Self {
        let start = DateTime::parse_from_rfc3339("2026-11-16T08:30:00+08:00").unwrap().to_utc();
        let clock = Arc::new(ManualClock::new(start));
        let time = clock.clone();
        let log = MemoryLog::with_time(Arc::new(move || time.now()));
        let handlers = Handlers::start(
            Arc::new(log.clone()),
            clock.clone(),
            Arc::new(SeededIds::new(seed)),
            Actor::new("intake").unwrap(),
            Config::default(),
        );
        let handlers = Arc::new(handlers.await.unwrap());
        let history = Self { log, handlers, clock, tickets: Vec::new(), draws: Draws(seed) };
        let policy = Policy { duplicate_window: "24h".parse::<Span>().unwrap(), ..Policy::default() };
        let set = CompanyCommand::SetPolicy(SetPolicy { policy });
        history.handlers.company(&set, &history.meta()).await.unwrap();
        for id in BRANCHES {
            history.open_branch(id).await;
        }
        let zone = Some(chrono_tz::America::New_York);
        let hours = BranchHours { zone, ..BranchHours::default() };
        history.branch("B2", BranchCommand::SetBranchHours(SetBranchHours { hours })).await;
        history.settle().await;
        history
    }

    async fn open_branch(&self, id: &str) {
        let open = OpenBranch { branch: branch(id), name: name("分公司"), province: None };
        self.branch(id, BranchCommand::OpenBranch(open)).await;
        let people = [
            ("t0", Role::Technician, vec![name("KX-200")], vec![]),
            ("t1", Role::Technician, vec![], vec![Area::Suburban]),
            ("t2", Role::Technician, vec![name("KX-100")], vec![Area::Urban]),
            ("s0", Role::ServiceSupervisor, vec![], vec![]),
        ];
        for (person, role, skills, areas) in people {
            let id_of_person = staff(&format!("{id}-{person}"));
            let member = StaffMember { id: id_of_person, name: name(person), role, skills, areas };
            self.branch(id, BranchCommand::AdmitStaff(AdmitStaff { member })).await;
        }
    }

    async fn branch(&self, id: &str, command: BranchCommand) {
        self.settle().await;
        self.handlers.branch(&branch(id), &command, &self.meta()).await.unwrap();
    }

    /// Returns when the handlers know everything that is in the log.
    pub(crate) async fn settle(&self) {
        let commits = self.log.commits_after(Position::START);
        let organisational =
            |commit: &&RecordedCommit| matches!(commit.stream.kind.as_str(), "company" | "branch");
        if let Some(last) = commits.iter().rfind(organisational) {
            self.handlers.directory().wait_for(last.position).await;
        }
    }

    pub(crate) fn organisation(&self) -> Arc<Organisation> {
        self.handlers.directory().organisation()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn commits(&self) -> Vec<RecordedCommit> {
        self.log.commits_after(Position::START)
    }

    pub(crate) fn meta(&self) -> CommandMeta {
        CommandMeta::new(CommandId(self.handlers.new_id()), Actor::new("operator").unwrap())
    }

    /// A call like many others: an urban repair of a KX-200 at B0.
    pub(crate) fn call() -> RegisterTicket {
        RegisterTicket {
            kind: TicketKind::Repair,
            customer: Customer {
                name: name("甲公司"), phone: "13800138000".parse().unwrap(), address: None
            },
            customer_level: CustomerLevel::Standard,
            channel: Channel::Phone,
            product_model: name("KX-200"),
            serial_number: None,
            description: "不制冷".parse().unwrap(),
            happened_at: None,
            branch: branch("B0"),
            area: Some(Area::Urban),
            district: None,
            urgency: Urgency::Normal,
            needs_visit: true,
            warranty_until: None,
            contract_until: None,
        }
    }

    pub(crate) async fn register(&mut self, call: RegisterTicket) -> TicketId {
        let ticket = TicketId(self.handlers.new_id());
        self.handlers.register(ticket, call, &self.meta()).await.unwrap();
        self.tickets.push(ticket);
        ticket
    }

    pub(crate) async fn tell(&self, ticket: TicketId, command: impl Into<TicketCommand>) {
        self.handlers.ticket(ticket, &command.into(), &self.meta()).await.unwrap();
    }

    /// Something that no build can read is appended to the ticket's stream.
    pub(crate) async fn spoil(&self, ticket: TicketId) {
        let of_ticket = |commit: &RecordedCommit| commit.stream.id.as_str() == ticket.to_string();
        let last = self.commits().into_iter().rfind(of_ticket).unwrap();
        let append = Append {
            stream: last.stream,
            expected: Expected::At(last.version),
            route: last.route,
            commit_id: self.handlers.new_id(),
            payload: b"nothing".as_slice().into(),
        };
        self.log.append(append).await.unwrap();
    }

    /// The same, of something that happened so long ago.
    pub(crate) async fn tell_late(&self, ticket: TicketId, ago: Duration, command: impl Into<TicketCommand>) {
        let meta = CommandMeta { occurred_at: Some(self.now() - ago), ..self.meta() };
        self.handlers.ticket(ticket, &command.into(), &meta).await.unwrap();
    }

    /// Many drawn commands over some days. What the rules refuse is not recorded.
    pub(crate) async fn drawn(seed: u64, steps: usize) -> Self {
        let mut history = Self::office(seed).await;
        for _ in 0..steps {
            history.step().await;
        }
        history
    }

    pub(crate) async fn step(&mut self) {
        let minutes = self.draws.below(50);
        self.clock.advance_by(Duration::from_secs(60 * minutes));
        if self.tickets.is_empty() || self.draws.below(6) == 0 {
            let call = self.drawn_call();
            self.register(call).await;
            return;
        }
        let ticket = self.draws.one_of(&self.tickets);
        if self.draws.below(3) == 0 {
            self.urge(ticket).await;
        }
        let command = self.drawn_command(ticket);
        let ago = if self.draws.below(4) == 0 { self.draws.below(5 * 3600) } else { 0 };
        let occurred_at = Some(self.now() - TimeDelta::seconds(ago as i64));
        let meta = CommandMeta { occurred_at, ..self.meta() };
        // Refusals are a part of life.
        let _ = self.handlers.ticket(ticket, &command, &meta).await;
    }

    /// What the watchdog and the notifier do.
    async fn urge(&mut self, ticket: TicketId) {
        let Some(state) = self.handlers.known_ticket(ticket).await else { return };
        for clock in &state.clocks {
            let overdue = matches!(clock.state, ClockState::Running { due_at } if due_at < self.now());
            let Some(branch) = state.branch().cloned().filter(|_| overdue) else { continue };
            let notice = clock.next_notice();
            self.tell(ticket, IssueExpediteNotice { notice }).await;
            let outcome = match self.draws.below(3) {
                0 => Outcome::Delivered,
                1 => Outcome::Failed("不通".parse().unwrap()),
                _ => Outcome::GivenUp("不通".parse().unwrap()),
            };
            let channel = ChannelId::new(self.draws.one_of(&["mail", "wecom"])).unwrap();
            let attempt = RecordAttempt { branch, channel, outcome };
            let alert = notice.id(ticket).to_string();
            self.handlers.alert(&alert, &attempt, &self.meta()).await.unwrap();
        }
    }

    fn drawn_call(&mut self) -> RegisterTicket {
        let draws = &mut self.draws;
        let phone = format!("1380013800{}", draws.below(6));
        let customer = Customer { name: name("甲公司"), phone: phone.parse().unwrap(), address: None };
        RegisterTicket {
            kind: draws.one_of(&[TicketKind::Repair, TicketKind::Repair, TicketKind::Complaint]),
            customer,
            product_model: name(draws.one_of(&["KX-100", "KX-200"])),
            branch: branch(draws.one_of(BRANCHES)),
            area: Some(draws.one_of(Area::ALL)),
            urgency: draws.one_of(Urgency::ALL),
            needs_visit: draws.below(2) == 0,
            ..Self::call()
        }
    }

    fn drawn_command(&mut self, ticket: TicketId) -> TicketCommand {
        let draws = &mut self.draws;
        let reason = || "更正".parse().unwrap();
        let at = |person: &str, draws: &mut Draws| staff(&format!("{}-{person}", draws.one_of(BRANCHES)));
        match draws.below(24) {
            0..4 => RespondToCustomer {
                channel: Channel::Phone,
                answer: None,
                resolution_limit: Some(Limit { span: "9h".parse().unwrap(), measure: Measure::Working }),
            }
            .into(),
            4..8 => {
                let person = draws.one_of(&["t0", "t1", "t2"]);
                DispatchTechnician { technician: at(person, draws), visit: None }.into()
            }
            8..11 => ArriveAtCustomer {}.into(),
            11 | 12 => {
                FixOnSite { remedy: "更换主板".parse().unwrap(), customer_signed: draws.below(2) == 0 }.into()
            }
            13 | 14 => PauseTicket { reason: PauseReason::WaitingForParts, note: None }.into(),
            15 | 16 => ResumeTicket {}.into(),
            17 => ReclassifyTicket {
                kind: Some(draws.one_of(TicketKind::ALL)),
                urgency: Some(draws.one_of(Urgency::ALL)),
                area: Some(draws.one_of(Area::ALL)),
                needs_visit: None,
                reason: reason(),
            }
            .into(),
            18 => AssignHandler { handler: at("s0", draws) }.into(),
            19 => TransferTicket {
                to: branch(draws.one_of(BRANCHES)),
                area: None,
                district: None,
                reason: reason(),
            }
            .into(),
            20 => CloseTicket { note: None }.into(),
            21 => ReopenTicket { reason: reason() }.into(),
            22 => MoveDeadlines { reason: DeadlineReason::Calendar }.into(),
            _ => {
                let into = draws.one_of(&self.tickets);
                match draws.below(3) {
                    0 => CancelTicket { reason: reason() }.into(),
                    1 if into != ticket => MergeTicket { into, reason: reason() }.into(),
                    _ => {
                        ReassignTicket { from: at("t0", draws), to: at("t1", draws), reason: reason() }.into()
                    }
                }
            }
        }
    }
}
