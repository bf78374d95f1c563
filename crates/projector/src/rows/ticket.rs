//! A ticket (工单) as the counter sees it.

use chrono::NaiveDate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, Number, StaffId, TicketId};
use cuiban_domain::people::Customer;
use cuiban_domain::sla::ClockKind;
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{
    Area, Channel, CustomerLevel, PauseReason, Priority, ServiceBasis, TicketKind, Urgency, VisitWindow,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;
use crate::rows::ClockRow;

/// Whether a ticket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TicketLifecycle {
    /// 处理中: being worked on.
    Open,
    /// 结案.
    Closed,
    /// 取消.
    Cancelled,
    /// 合并: goes on under another number (R5).
    Merged,
    /// 转出: another branch has it, which this read model does not follow.
    HandedOver,
}

/// How far the work at the customer's has come in this cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkStage {
    /// 待派工: nobody was sent.
    Waiting,
    /// 已派工: a technician is on the way.
    Dispatched,
    /// 已抵达: the technician is there.
    Arrived,
    /// 已修复: fixed on the spot.
    Fixed,
}

/// One ticket with everything that a person at the counter needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TicketRow {
    /// Its opaque id (R3).
    pub ticket: TicketId,
    /// Its number for people (R3).
    pub number: Number,
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// The stream's revision that this row shows; the `ETag`.
    pub revision: u64,
    /// The branch that has it.
    pub branch: BranchId,
    /// Whether it is open.
    pub lifecycle: TicketLifecycle,
    /// How far the work has come.
    pub stage: WorkStage,
    /// The present cycle, counted from 1 (R39).
    pub cycle: u32,
    /// Who called.
    pub customer: Customer,
    /// The customer's level.
    pub customer_level: CustomerLevel,
    /// How the call came in; none when it came with a transfer.
    pub channel: Option<Channel>,
    /// Which product.
    pub product_model: Name,
    /// Which piece of it.
    pub serial_number: Option<Name>,
    /// What is wrong.
    pub description: Note,
    /// Urban or suburban.
    pub area: Area,
    /// The branch's district.
    pub district: Option<Name>,
    /// How urgent.
    pub urgency: Urgency,
    /// 优先级: what urgency and the customer's level give (R4).
    pub priority: Priority,
    /// Whether a technician has to come.
    pub needs_visit: bool,
    /// Who pays, for repairs (R10); none when it came with a transfer.
    pub service_basis: Option<ServiceBasis>,
    /// The work order's number (服务凭证, R11).
    pub work_order: Option<Number>,
    /// Whether the signed work order was filed (R13).
    pub work_order_archived: bool,
    /// Who was sent in this cycle.
    pub technician: Option<StaffId>,
    /// When the technician is to be there.
    pub visit: Option<VisitWindow>,
    /// When the technician was sent.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub dispatched_at: Option<Instant>,
    /// When the technician arrived.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub arrived_at: Option<Instant>,
    /// When it was fixed on the spot.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub fixed_at: Option<Instant>,
    /// What was done.
    pub remedy: Option<Note>,
    /// Who is in charge.
    pub handler: Option<StaffId>,
    /// When it went wrong, if the customer knew.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub happened_at: Option<Instant>,
    /// When the call came.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub reported_at: Instant,
    /// The day of the call in the branch's zone, by which the repair register (叫修登记簿) is kept.
    #[schema(value_type = String, format = Date)]
    pub register_day: NaiveDate,
    /// When the first answer was given.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub responded_at: Option<Instant>,
    /// Since when the work stands still, while it does.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_since: Option<Instant>,
    /// Why it stands still.
    pub pause_reason: Option<PauseReason>,
    /// When it was closed, cancelled, merged or handed over.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Instant>,
    /// The ticket under which it goes on, if it was merged.
    pub merged_into: Option<TicketId>,
    /// An earlier call about the same thing, perhaps (R5).
    pub possible_duplicate_of: Option<TicketId>,
    /// Every clock of every cycle, oldest first.
    pub clocks: Vec<ClockRow>,
    /// How many 催办 went out and still count (R40).
    pub notices_count: u32,
    /// When the last commit of it was recorded.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Instant,
}

impl TicketRow {
    /// The clock of this kind in its latest cycle.
    pub fn clock(&self, kind: ClockKind) -> Option<&ClockRow> {
        self.clocks.iter().rev().find(|clock| clock.clock == kind)
    }

    /// Whether it is being worked on.
    pub fn is_open(&self) -> bool {
        self.lifecycle == TicketLifecycle::Open
    }
}
