//! One branch with its people, and a ticket in each state that commands find it in.

use cuiban_domain::ids::{Actor, BranchId, TicketId};
use cuiban_domain::organisation::{
    AdmitStaff, Branch, BranchCommand, Company, CompanyCommand, ListDistricts, OpenBranch, Organisation,
};
use cuiban_domain::ticket::{RegisterTicket, Registration, Ticket, TicketCommand, TicketEvent};
use cuiban_domain::{Aggregate, Context, Happened, Instant, Rejection};
use serde::de::DeserializeOwned;

use crate::assert_keeps;

/// What commands are decided against.
pub struct Office {
    organisation: Organisation,
    company: Company,
    branch: Branch,
    actor: Actor,
    now: Instant,
    tickets: Vec<Ticket>,
}

impl Office {
    /// Branch `B0` with technicians `T1`, `T2` and supervisor `S1`, and a branch `B1`, at 11:00 of a working day in November 2026.
    pub fn new() -> Self {
        let mut office = Self {
            organisation: Organisation::default(),
            company: Company::default(),
            branch: Branch::default(),
            actor: Actor::new("K1").expect("an id"),
            now: instant("2026-11-24T11:00:00+08:00"),
            tickets: vec![Ticket::default()],
        };
        office.branch_obeys::<OpenBranch>(r#"{"branch":"B0","name":"总部服务中心"}"#);
        office.branch_obeys::<ListDistricts>(
            r#"{"districts":[{"name":"城东","area":"urban"},{"name":"远郊","area":"suburban"}]}"#,
        );
        for (id, role) in [("T1", "technician"), ("T2", "technician"), ("S1", "service_supervisor")] {
            office.branch_obeys::<AdmitStaff>(&format!(
                r#"{{"member":{{"id":"{id}","name":"{id}","role":"{role}"}}}}"#
            ));
        }
        let opened: OpenBranch = parsed(r#"{"branch":"B1","name":"分部"}"#);
        let events = Branch::default().decide(&opened.into(), &office.context(None)).expect("obeyed");
        for event in events {
            let happened = Happened { occurred_at: office.now, recorded_at: office.now };
            office.organisation.apply_branch(&BranchId::new("B1").expect("an id"), &event, happened, 1);
        }
        office.tickets.extend(office.a_repairs_life());
        office
    }

    /// A repair after each of its commands: registered, answered, dispatched, paused, …, fixed and so closed, reopened.
    fn a_repairs_life(&self) -> Vec<Ticket> {
        use cuiban_domain::ticket::*;
        let request: RegisterTicket = parsed(
            r#"{"kind":"repair","channel":"phone","branch":"B0","area":"urban","product_model":"KFR-35GW",
                "description":"不制冷","customer":{"name":"客户甲","phone":"13800138000"}}"#,
        );
        let registration = self.registration(request);
        let commands: Vec<(TicketCommand, &str)> = vec![
            (registration.into(), "09:00"),
            (parsed::<RespondToCustomer>(r#"{"channel":"phone"}"#).into(), "09:10"),
            (
                parsed::<DispatchTechnician>(
                    r#"{"technician":"T1","visit":{"from":"2026-11-24T10:00:00+08:00","until":"2026-11-24T12:00:00+08:00"}}"#,
                )
                .into(),
                "09:20",
            ),
            (parsed::<PauseTicket>(r#"{"reason":"customer_absent"}"#).into(), "09:30"),
            (parsed::<ResumeTicket>("{}").into(), "09:40"),
            (parsed::<ArriveAtCustomer>("{}").into(), "10:00"),
            (parsed::<FixOnSite>(r#"{"remedy":"加氟","customer_signed":true}"#).into(), "10:20"),
            (parsed::<ReopenTicket>(r#"{"reason":"又不制冷"}"#).into(), "10:40"),
        ];
        let mut ticket = Ticket::default();
        let mut states = Vec::new();
        for (command, time) in commands {
            let now = instant(&format!("2026-11-24T{time}:00+08:00"));
            let context = Context { now, occurred_at: now, ..self.context(None) };
            let events = ticket.decide(&command, &context).unwrap_or_else(|no| panic!("{command:?}: {no:?}"));
            for event in &events {
                ticket.evolve(event, context.happened());
            }
            states.push(ticket.clone());
        }
        states
    }

    fn branch_obeys<C: DeserializeOwned + Into<BranchCommand>>(&mut self, json: &str) {
        let events = self.branch.decide(&parsed::<C>(json).into(), &self.context(None)).expect("obeyed");
        let happened = Happened { occurred_at: self.now, recorded_at: self.now };
        for event in events {
            self.branch.evolve(&event, happened);
            self.organisation.apply_branch(&BranchId::new("B0").expect("an id"), &event, happened, 1);
        }
    }

    /// Decides a registration.
    pub fn register(&self, request: RegisterTicket, occurred_at: Option<Instant>) {
        let command = self.registration(request).into();
        let decided = self.decide(&self.tickets[0], &command, occurred_at);
        drop(decided);
    }

    /// Decides a command to a ticket in each state, and the same once more where it was obeyed.
    pub fn ticket(&self, command: &TicketCommand, occurred_at: Option<Instant>) {
        for ticket in &self.tickets {
            let Ok(events) = self.decide(ticket, command, occurred_at) else { continue };
            let mut after = ticket.clone();
            let happened = Happened { occurred_at: occurred_at.unwrap_or(self.now), recorded_at: self.now };
            for event in &events {
                after.evolve(event, happened);
            }
            drop(self.decide(&after, command, occurred_at));
        }
    }

    /// Decides a command to the company.
    pub fn company(&self, command: &CompanyCommand, occurred_at: Option<Instant>) {
        if let Ok(events) = self.company.decide(command, &self.context(occurred_at)) {
            self.keeps(Company::KIND, events, occurred_at);
        }
    }

    /// Decides a command to the branch, and to one that is not open.
    pub fn branch(&self, command: &BranchCommand, occurred_at: Option<Instant>) {
        for branch in [&self.branch, &Branch::default()] {
            if let Ok(events) = branch.decide(command, &self.context(occurred_at)) {
                self.keeps(Branch::KIND, events, occurred_at);
            }
        }
    }

    fn decide(
        &self,
        ticket: &Ticket,
        command: &TicketCommand,
        occurred_at: Option<Instant>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let related = command.related().and_then(|_| self.tickets.get(1));
        let events = ticket.decide(command, &Context { related, ..self.context(occurred_at) })?;
        self.keeps(Ticket::KIND, events.clone(), occurred_at);
        Ok(events)
    }

    fn keeps<E: Into<cuiban_domain::Event>>(&self, kind: &str, events: Vec<E>, occurred_at: Option<Instant>) {
        let events: Vec<_> = events.into_iter().map(Into::into).collect();
        assert_keeps(kind, &events, occurred_at.unwrap_or(self.now), self.now);
    }

    fn context(&self, occurred_at: Option<Instant>) -> Context<'_> {
        Context {
            now: self.now,
            occurred_at: occurred_at.unwrap_or(self.now),
            actor: &self.actor,
            organisation: &self.organisation,
            related: None,
        }
    }

    fn registration(&self, request: RegisterTicket) -> Registration {
        let number = "BX-202611-00042".parse().expect("a number");
        Registration { ticket: TicketId(Default::default()), number, request }
    }
}

impl Default for Office {
    fn default() -> Self {
        Self::new()
    }
}

fn parsed<C: DeserializeOwned>(json: &str) -> C {
    serde_json::from_str(json).expect("a command")
}

fn instant(text: &str) -> Instant {
    text.parse::<chrono::DateTime<chrono::FixedOffset>>().expect("a time").to_utc()
}
