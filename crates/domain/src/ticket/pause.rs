//! Pausing and resuming: working-time clocks stand still while nothing can be done (R37).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::people::words;
use crate::rejection::Rejection;
use crate::text::Line;
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Stage, Ticket, TicketEvent};

words! {
    /// Why the work stands still.
    PauseReason {
        /// 客户不在.
        CustomerAbsent = "customer_absent",
        /// 等待零件.
        WaitingForParts = "waiting_for_parts",
        /// 客户改期.
        CustomerAskedForAnotherDay = "customer_asked_for_another_day",
        /// 等待客户答复.
        WaitingForCustomer = "waiting_for_customer",
    }
}

/// Let the work stand still (暂停).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseTicket {
    /// Why.
    pub reason: PauseReason,
    /// In more words.
    #[serde(default)]
    pub note: Option<Line>,
}

/// Go on (恢复).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeTicket {}

impl Ticket {
    pub(super) fn pause(
        &self,
        command: &PauseTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        if let Some(since) = self.paused_since {
            return Err(Rejection::TicketPaused { since });
        }
        if self.stage == Stage::Fixed {
            return Err(Rejection::AlreadyFixed);
        }
        let last_resumed_at = self.pauses.last().and_then(|pause| pause.until);
        check_order(context, self.not_before.max(last_resumed_at))?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.pause(context.occurred_at);
        let paused = TicketEvent::TicketPaused { reason: command.reason, note: command.note.clone() };
        Ok([vec![paused], change.into_events()?].concat())
    }

    pub(super) fn resume(
        &self,
        _: &ResumeTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        let since = self.paused_since.ok_or(Rejection::TicketNotPaused)?;
        check_order(context, Some(since))?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.resume(context.occurred_at)?;
        Ok([vec![TicketEvent::TicketResumed], change.into_events()?].concat())
    }
}
