//! Everything that can happen to a ticket.
//!
//! A decision records its whole effect: next to what was done stand the clocks that it started, stopped or
//! moved, each with its due instant (R36), so that no reader has to compute anything.

use std::time::Duration;

use crate::aggregate::Instant;
use crate::ids::{BranchId, Number, StaffId, TicketId};
use crate::organisation::Informed;
use crate::people::{Customer, Department, Party, words};
use crate::sla::{Clock, ClockKind, Limit, Notice};
use crate::text::{Line, Name, Note};
use crate::ticket::pause::PauseReason;
use crate::ticket::register::{Area, Channel, CustomerLevel, ServiceBasis, TicketKind, Urgency};
use crate::ticket::visit::VisitWindow;

/// One thing that happened to a ticket.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are named by the trade's words; the variants say the rest")]
pub enum TicketEvent {
    /// 登记: a call became a ticket (R1).
    TicketRegistered {
        ticket: TicketId,
        number: Number,
        kind: TicketKind,
        customer: Customer,
        customer_level: CustomerLevel,
        channel: Channel,
        product_model: Name,
        serial_number: Option<Name>,
        description: Note,
        happened_at: Option<Instant>,
        reported_at: Instant,
        branch: BranchId,
        area: Area,
        district: Option<Name>,
        /// A person's word on the area stands against the district's listing.
        area_overrides_district: bool,
        urgency: Urgency,
        needs_visit: bool,
        service_basis: Option<ServiceBasis>,
    },
    /// 服务凭证 written for a repair (R11).
    WorkOrderIssued { work_order: Number },
    /// The supervisors are to hear of an emergency at once, or who stands in for them: managers, or departments (R4).
    EmergencyRaised { supervisors: Vec<StaffId>, departments: Vec<Department> },
    /// 响应: the customer got the first answer (R30).
    CustomerResponded { channel: Channel, answer: Option<Note> },
    /// 派工: a technician was sent (R11).
    TechnicianDispatched { technician: StaffId, visit: Option<VisitWindow> },
    /// 抵达: the technician is there (R12); stops the dispatch clock (R31).
    TechnicianArrived { technician: StaffId },
    /// Fixed on the spot: the line in the repair register is struck off (R13).
    RepairFixedOnSite { technician: StaffId, remedy: Note, customer_signed: bool },
    /// The signed 服务凭证 was filed (归档, R13).
    WorkOrderArchived,
    /// The work stands still, for this reason (R37).
    TicketPaused { reason: PauseReason, note: Option<Line> },
    /// The work goes on.
    TicketResumed,
    /// Kind, urgency or area were corrected (R36).
    TicketReclassified { kind: TicketKind, urgency: Urgency, area: Area, needs_visit: bool, reason: Line },
    /// The branch moved the ticket's district to the other area (R36).
    AreaChanged { area: Area },
    /// A person corrected who pays (R10).
    ServiceBasisCorrected { from: ServiceBasis, to: ServiceBasis, reason: Line },
    /// A person is now in charge.
    HandlerAssigned { handler: StaffId },
    /// 认养孤儿: what one person owed passes to another (R6).
    TicketReassigned { from: StaffId, to: StaffId, reason: Line },
    /// Another branch takes over; the summary spares it our history.
    TicketTransferred {
        from: BranchId,
        to: BranchId,
        area: Area,
        district: Option<Name>,
        /// A person's word on the area stands against the district's listing.
        area_overrides_district: bool,
        reason: Line,
        summary: Box<TicketSummary>,
    },
    /// The same call was registered twice (R5).
    TicketMerged { into: TicketId, reason: Line },
    /// 取消.
    TicketCancelled { reason: Line },
    /// 结案.
    TicketClosed { note: Option<Note> },
    /// The customer is back with the same thing: a new cycle begins (R39).
    TicketReopened { cycle: u32, reason: Line },

    /// A clock began to run.
    ClockStarted {
        clock: ClockKind,
        cycle: u32,
        limit: Limit,
        started_at: Instant,
        due_at: Instant,
        basis: ClockBasis,
    },
    /// The limit was kept (R38), perhaps recorded only later (R40).
    ClockMet { clock: ClockKind, cycle: u32, met_at: Instant, late_recorded: bool },
    /// The clock stands still with this much used up (R37).
    ClockPaused { clock: ClockKind, cycle: u32, paused_at: Instant, consumed: Duration },
    /// The clock runs on with what was left.
    ClockResumed { clock: ClockKind, cycle: u32, resumed_at: Instant, due_at: Instant, basis: ClockBasis },
    /// Calendar, policy, area, urgency or branch changed the limit or its due instant (R36).
    DeadlineMoved {
        clock: ClockKind,
        cycle: u32,
        limit: Limit,
        from: Option<Instant>,
        to: Option<Instant>,
        reason: DeadlineReason,
        basis: ClockBasis,
    },
    /// Nothing is owed any more.
    ClockCancelled { clock: ClockKind, cycle: u32, cancelled_at: Instant },
    /// 逾期: the due instant passed (R60).
    SlaBreached { clock: ClockKind, cycle: u32, due_at: Instant },
    /// The thing owed was done after the limit was broken.
    BreachEnded { clock: ClockKind, cycle: u32, ended_at: Instant },
    /// 催办单: the party that owes the next step is urged (R60).
    ExpediteNoticeIssued {
        notice: Notice,
        due_at: Instant,
        addressee: Party,
        informed: Vec<StaffId>,
        /// Who hears of it where the branch has nobody who could.
        informed_departments: Vec<Department>,
        late: bool,
    },
    /// A late entry showed that the limit had been kept: the notice stays, but counts no more (R40).
    ExpediteNoticeSuperseded { notice: Notice },
}

impl TicketEvent {
    /// An emergency is raised with whoever hears of it.
    pub(super) fn emergency(informed: Informed) -> Self {
        Self::EmergencyRaised { supervisors: informed.staff, departments: informed.departments }
    }
}

/// Which policy and which calendar gave a due instant (R35).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClockBasis {
    /// Revisions of the company's and the branch's policy, `c3.b1`; `c3!.b1` where a later commit of the company's
    /// stream could not be read.
    pub policy_version: String,
    /// Revisions of the company's and the branch's calendar, `c3.b1`.
    pub calendar_version: String,
}

words! {
    /// Why a due instant moved (R36).
    DeadlineReason {
        /// The working calendar changed.
        Calendar = "calendar",
        /// The limits policy changed.
        Policy = "policy",
        /// The district went to the other area.
        Area = "area",
        /// The ticket's kind, urgency or area were corrected.
        Reclassified = "reclassified",
        /// The ticket went to another branch.
        Transferred = "transferred",
    }
}

/// What a receiving branch needs to go on with a ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct TicketSummary {
    /// Its number for people.
    pub number: Number,
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// Who called.
    pub customer: Customer,
    /// The customer's level.
    pub customer_level: CustomerLevel,
    /// Which product.
    pub product_model: Name,
    /// Which piece.
    pub serial_number: Option<Name>,
    /// What is wrong.
    pub description: Note,
    /// When the call came.
    pub reported_at: Instant,
    /// How urgent.
    pub urgency: Urgency,
    /// Whether a technician has to come.
    pub needs_visit: bool,
    /// When the first answer was given.
    pub responded_at: Option<Instant>,
    /// The clocks as they stand.
    pub clocks: Vec<Clock>,
}
