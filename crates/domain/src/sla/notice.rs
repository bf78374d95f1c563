//! The identity of one urging (R61): what makes 催办 exactly-once possible.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{CommandId, NoticeId, TicketId};
use crate::people::words;
use crate::sla::ClockKind;

words! {
    /// A step of the escalation ladder (升级, R62).
    Rung {
        /// Before the due instant.
        Warning = "warning",
        /// The limit is broken: the party that owes the next step is urged.
        Breach = "breach",
        /// 服务主任.
        ServiceSupervisor = "service_supervisor",
        /// 分公司经理.
        BranchManager = "branch_manager",
        /// 副总经理.
        DeputyGeneralManager = "deputy_general_manager",
    }
}

/// Which expedite notice (催办单) of a ticket this is (R61).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The clock that ran out.
    pub clock: ClockKind,
    /// The clock's cycle, counted from 1 and up with each reopening (R39).
    pub cycle: u32,
    /// The clock's episode, counted from 0: each superseding of a breach begins the next (R40).
    #[serde(default)]
    pub episode: u32,
    /// The step of the ladder.
    pub rung: Rung,
    /// The repetition on that rung, from 0.
    pub repetition: u32,
}

impl Notice {
    /// The notice's id: the same for the same ticket and identity, whoever computes it.
    pub fn id(&self, ticket: TicketId) -> NoticeId {
        NoticeId(self.derive(ticket, "notice"))
    }

    /// The id of the command that issues it, so that two watchdogs send one command.
    pub fn command_id(&self, ticket: TicketId) -> CommandId {
        CommandId(self.derive(ticket, "issue"))
    }

    /// Episode 0 is left out of the name: ids that were given before there were episodes stay what they are.
    fn derive(&self, ticket: TicketId, purpose: &str) -> Uuid {
        let Self { clock, cycle, episode, rung, repetition } = self;
        let name = match episode {
            0 => format!("{purpose}/{clock}/{cycle}/{rung}/{repetition}"),
            _ => format!("{purpose}/{clock}/{cycle}/episode-{episode}/{rung}/{repetition}"),
        };
        Uuid::new_v5(&ticket.0, name.as_bytes())
    }
}
