//! The repair register (叫修登记簿).

use chrono::NaiveDate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, Number, StaffId, TicketId};
use cuiban_domain::people::Customer;
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{ServiceBasis, Urgency};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;

/// Why a line was struck off (注销).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StruckOff {
    /// 现场修复 (R13).
    FixedOnSite,
    /// 结案.
    Closed,
    /// 取消.
    Cancelled,
    /// 合并 (R5).
    Merged,
    /// 转出: another branch has it in its register.
    Transferred,
}

/// The repair register (叫修登记簿) of a branch and a day (R11), or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairRegister {
    /// The branch whose register it is.
    pub branch: BranchId,
    /// The day of the calls in the branch's zone.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// The lines, by number.
    pub data: Vec<RegisterLine>,
    /// Where the next part begins; none at the day's end.
    pub next_cursor: Option<String>,
}

/// One line: a repair call of one branch and day (R11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterLine {
    /// The ticket.
    pub ticket: TicketId,
    /// Its number.
    pub number: Number,
    /// The branch whose register it is.
    pub branch: BranchId,
    /// The day of the call in the branch's zone.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// When the call came.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub reported_at: Instant,
    /// Who called.
    pub customer: Customer,
    /// Which product.
    pub product_model: Name,
    /// Which piece of it.
    pub serial_number: Option<Name>,
    /// What is wrong.
    pub description: Note,
    /// How urgent.
    pub urgency: Urgency,
    /// Who pays (R10).
    pub service_basis: Option<ServiceBasis>,
    /// Who was sent last.
    pub technician: Option<StaffId>,
    /// When the technician was sent.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub dispatched_at: Option<Instant>,
    /// When the technician arrived.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub arrived_at: Option<Instant>,
    /// When the line was struck off (注销, R13); none while it stands.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub struck_off_at: Option<Instant>,
    /// Why it was struck off.
    pub struck_off: Option<StruckOff>,
}
