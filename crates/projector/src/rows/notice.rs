//! Expedite notices (催办单) and how they were pushed.

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, NoticeId, Number, StaffId, TicketId};
use cuiban_domain::people::{Department, Party};
use cuiban_domain::sla::Notice;
use cuiban_domain::text::Line;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;

/// One expedite notice (R60, R61).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeRow {
    /// The notice's id, derived from its identity.
    pub id: NoticeId,
    /// Its identity within the ticket.
    pub notice: Notice,
    /// The ticket.
    pub ticket: TicketId,
    /// The ticket's number.
    pub number: Number,
    /// The branch that had the ticket.
    pub branch: BranchId,
    /// The instant that passed.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Instant,
    /// When the notice was recorded.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Instant,
    /// Its place in the log.
    pub position: u64,
    /// Who is urged.
    pub addressee: Party,
    /// Who hears of it.
    pub informed: Vec<StaffId>,
    /// Who hears of it where the branch has neither supervisor nor manager.
    pub informed_departments: Vec<Department>,
    /// Recorded markedly after its instant (R64).
    pub late: bool,
    /// A late entry showed that the limit had been kept: it counts no more (R40).
    pub superseded: bool,
    /// How it stands on each channel, by the channel's name.
    pub deliveries: Vec<DeliveryRow>,
}

/// How the last attempt on a channel ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// 已送达: the channel took it.
    Delivered,
    /// 失败: it did not; it will be tried again.
    #[schema(value_type = String)]
    Failed(Line),
    /// 放弃: it did not, for the last time.
    #[schema(value_type = String)]
    GivenUp(Line),
    /// 未推送: it is older than the channel, or than the record of deliveries.
    Skipped,
    /// 已撤回: it was superseded before the channel took it.
    Withdrawn,
}

/// An alert on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryRow {
    /// Which channel.
    pub channel: ChannelId,
    /// How many attempts were made.
    pub attempts: u32,
    /// How the last one ended.
    pub outcome: DeliveryOutcome,
    /// When the last one was made.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub attempted_at: Instant,
}
