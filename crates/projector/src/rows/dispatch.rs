//! What the dispatcher (派工) works with. These rows are computed when asked for and stored nowhere.

use std::time::Duration;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, Number, StaffId, TicketId};
use cuiban_domain::people::Customer;
use cuiban_domain::sla::{ClockKind, Limit};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{Area, PauseReason, Priority, TicketKind, Urgency, VisitWindow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;
use crate::rows::{ClockStanding, WorkStage};

/// One ticket of the dispatch board (派工板): it waits for a visit, or a technician is out for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoardRow {
    /// The ticket.
    pub ticket: TicketId,
    /// Its number.
    pub number: Number,
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// Who called.
    pub customer: Customer,
    /// Which product.
    pub product_model: Name,
    /// How urgent.
    pub urgency: Urgency,
    /// 优先级: tells which of two with the same time left comes first (R4).
    pub priority: Priority,
    /// Urban or suburban.
    pub area: Area,
    /// The branch's district.
    pub district: Option<Name>,
    /// How far the work has come.
    pub stage: WorkStage,
    /// Who was sent.
    pub technician: Option<StaffId>,
    /// When the technician is to be there.
    pub visit: Option<VisitWindow>,
    /// When the call came.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub reported_at: Instant,
    /// 次日优先派工: not dispatched by the end of the working day of the call (R20).
    pub carried_over: bool,
    /// How the dispatch clock stands; none when the branch's policy gives the case no such clock.
    pub standing: Option<ClockStanding>,
    /// When the dispatch limit is used up; none while it is paused.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Instant>,
    /// What is left of the dispatch limit, in its own measure; none once it was met or where there is none.
    pub remaining_s: Option<u64>,
    /// Since when the work stands still, while it does.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_since: Option<Instant>,
    /// Why it stands still.
    pub pause_reason: Option<PauseReason>,
    /// How many 催办 went out and still count.
    pub notices_count: u32,
    /// An earlier call about the same thing, perhaps (R5).
    pub possible_duplicate_of: Option<TicketId>,
}

/// The dispatch board (派工板) of a branch, now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DispatchBoard {
    /// The tickets, what is most pressing first.
    pub data: Vec<BoardRow>,
    /// How many less pressing ones the board has no room for ([`crate::Config::list_rows_max`]).
    pub left_out: usize,
}

impl BoardRow {
    /// What is left of the dispatch limit.
    pub fn remaining(&self) -> Option<Duration> {
        self.remaining_s.map(Duration::from_secs)
    }
}

/// A broken limit (逾期) whose debt is still open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverdueRow {
    /// The ticket.
    pub ticket: TicketId,
    /// Its number.
    pub number: Number,
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// The branch that has it.
    pub branch: BranchId,
    /// The clock that ran out.
    pub clock: ClockKind,
    /// Its cycle.
    pub cycle: u32,
    /// Its limit.
    #[serde(with = "forms::limit")]
    pub limit: Limit,
    /// The instant that passed.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Instant,
    /// Who called.
    pub customer: Customer,
    /// Which product.
    pub product_model: Name,
    /// How urgent.
    pub urgency: Urgency,
    /// Who was sent.
    pub technician: Option<StaffId>,
    /// Who is in charge.
    pub handler: Option<StaffId>,
    /// How many 催办 of this clock went out.
    pub notices_count: u32,
}

/// A technician's open visits (R11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TechnicianLoad {
    /// Who.
    pub technician: StaffId,
    /// How many open tickets the technician was sent to and has not finished.
    pub open_visits: u32,
    /// Those with an agreed time, earliest first.
    pub visits: Vec<VisitWindow>,
}

/// Why a technician is proposed, or stands lower in the list (R11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalReason {
    /// 熟悉此产品: the product model is among the person's skills.
    KnowsProduct,
    /// 未登记技能: no skills are listed for the person.
    SkillsNotListed,
    /// 不熟悉此产品: other skills are listed, not this product.
    OtherSkills,
    /// 负责此区域: works in the ticket's area.
    WorksInArea,
    /// 不负责此区域: works in the other area.
    OtherArea,
    /// 目前空闲: no open visit.
    Free,
    /// 任务最少: the fewest open visits of all who are not free.
    LightestLoad,
    /// 曾处理此单: was at this ticket before.
    KnowsTicket,
}

/// One technician who could go (R11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    /// Who.
    pub technician: StaffId,
    /// The person's name.
    pub name: Name,
    /// How many open visits the person has.
    pub open_visits: u32,
    /// Why here in the list.
    pub reasons: Vec<ProposalReason>,
}
