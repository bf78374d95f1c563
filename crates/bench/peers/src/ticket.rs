//! The peer's ticket: the commands, events and refusals that a life of ours has, as cqrs-es wants them.
//!
//! A life is six commands and twelve events, the same as ours: registered, answered, sent out, there, mended, closed,
//! with the order of work and two limits that run and are met. Fields have the names and contents of `proto/`.

use std::fmt;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

/// Instants are microseconds since 1970, as text would only be longer.
pub(crate) type Micros = i64;

/// What a caller wants (登记), with the number given to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) ticket: String,
    pub(crate) number: String,
    pub(crate) kind: String,
    pub(crate) customer: Customer,
    pub(crate) customer_level: String,
    pub(crate) channel: String,
    pub(crate) product_model: String,
    pub(crate) description: String,
    pub(crate) reported_at: Micros,
    pub(crate) branch: String,
    pub(crate) area: String,
    pub(crate) urgency: String,
    pub(crate) needs_visit: bool,
    pub(crate) service_basis: String,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) name: String,
    pub(crate) phone: String,
}

/// A limit that begins to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClockStarted {
    clock: Clock,
    cycle: u32,
    measure: String,
    span_s: i64,
    started_at: Micros,
    due_at: Micros,
    policy_version: String,
    calendar_version: String,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Clock {
    Response,
    Dispatch,
}

/// What somebody wants done. `at` is when.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Register(Box<Registration>),
    Respond { channel: String, at: Micros },
    Dispatch { technician: String },
    Arrive { at: Micros },
    FixOnSite { remedy: String },
    Close,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    TicketRegistered(Box<Registration>),
    WorkOrderIssued { work_order: String },
    ClockStarted(ClockStarted),
    CustomerResponded { channel: String },
    ClockMet { clock: Clock, cycle: u32, met_at: Micros, late_recorded: bool },
    TechnicianDispatched { technician: String },
    TechnicianArrived { technician: String },
    RepairFixedOnSite { technician: String, remedy: String, customer_signed: bool },
    WorkOrderArchived,
    TicketClosed,
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        let name = match self {
            Self::TicketRegistered(_) => "TicketRegistered",
            Self::WorkOrderIssued { .. } => "WorkOrderIssued",
            Self::ClockStarted(_) => "ClockStarted",
            Self::CustomerResponded { .. } => "CustomerResponded",
            Self::ClockMet { .. } => "ClockMet",
            Self::TechnicianDispatched { .. } => "TechnicianDispatched",
            Self::TechnicianArrived { .. } => "TechnicianArrived",
            Self::RepairFixedOnSite { .. } => "RepairFixedOnSite",
            Self::WorkOrderArchived => "WorkOrderArchived",
            Self::TicketClosed => "TicketClosed",
        };
        name.to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    #[default]
    Absent,
    Waiting,
    Dispatched,
    Arrived,
    Fixed,
    Closed,
}

/// A ticket as its events leave it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ticket {
    registration: Option<Box<Registration>>,
    stage: Stage,
    responded: bool,
    technician: Option<String>,
    running: Vec<ClockStarted>,
}

/// Why not: the command does not fit how far the work is.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Refused(Stage);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the ticket is {:?}", self.0)
    }
}

impl Aggregate for Ticket {
    const TYPE: &'static str = "ticket";
    type Command = Command;
    type Event = Event;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::TicketRegistered(registration) => {
                self.registration = Some(registration);
                self.stage = Stage::Waiting;
            }
            Event::ClockStarted(started) => self.running.push(started),
            Event::CustomerResponded { .. } => self.responded = true,
            Event::ClockMet { clock, .. } => self.running.retain(|running| running.clock != clock),
            Event::TechnicianDispatched { technician } => {
                self.technician = Some(technician);
                self.stage = Stage::Dispatched;
            }
            Event::TechnicianArrived { .. } => self.stage = Stage::Arrived,
            Event::RepairFixedOnSite { .. } => self.stage = Stage::Fixed,
            Event::TicketClosed => self.stage = Stage::Closed,
            Event::WorkOrderIssued { .. } | Event::WorkOrderArchived => {}
        }
    }
}

impl Ticket {
    fn decide(&self, command: Command) -> Result<Vec<Event>, Refused> {
        let technician = self.technician.clone().unwrap_or_default();
        Ok(match (self.stage, command) {
            (Stage::Absent, Command::Register(registration)) => registered(registration),
            (Stage::Absent | Stage::Closed, _) => return Err(Refused(self.stage)),
            (_, Command::Respond { channel, at }) if !self.responded => {
                vec![Event::CustomerResponded { channel }, met(Clock::Response, at)]
            }
            (Stage::Waiting, Command::Dispatch { technician }) => {
                vec![Event::TechnicianDispatched { technician }]
            }
            (Stage::Dispatched, Command::Arrive { at }) => {
                vec![Event::TechnicianArrived { technician }, met(Clock::Dispatch, at)]
            }
            (Stage::Arrived, Command::FixOnSite { remedy }) => {
                vec![Event::RepairFixedOnSite { technician, remedy, customer_signed: false }]
            }
            (Stage::Fixed, Command::Close) => vec![Event::WorkOrderArchived, Event::TicketClosed],
            (stage, _) => return Err(Refused(stage)),
        })
    }
}

fn registered(registration: Box<Registration>) -> Vec<Event> {
    let at = registration.reported_at;
    let work_order = registration.number.clone();
    vec![
        Event::TicketRegistered(registration),
        Event::WorkOrderIssued { work_order },
        started(Clock::Response, "wall", 24, at),
        started(Clock::Dispatch, "working", 6, at),
    ]
}

fn started(clock: Clock, measure: &str, hours: i64, started_at: Micros) -> Event {
    let span_s = hours * 3600;
    Event::ClockStarted(ClockStarted {
        clock,
        cycle: 1,
        measure: measure.to_owned(),
        span_s,
        started_at,
        due_at: started_at + span_s * 1_000_000,
        policy_version: "c1".to_owned(),
        calendar_version: "c1.b1".to_owned(),
    })
}

fn met(clock: Clock, met_at: Micros) -> Event {
    Event::ClockMet { clock, cycle: 1, met_at, late_recorded: false }
}
