//! Merging (合并): one call that was registered twice goes on under one number (R5).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::ids::TicketId;
use crate::rejection::Rejection;
use crate::text::Line;
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Lifecycle, Ticket, TicketEvent};

/// End this ticket in favour of another open one (合并); its clocks are cancelled, its history stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MergeTicket {
    /// The ticket that goes on.
    pub into: TicketId,
    /// How one saw that they are the same.
    pub reason: Line,
}

impl Ticket {
    pub(super) fn merge(
        &self,
        command: &MergeTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        if command.into == case.ticket {
            return Err(Rejection::MergedIntoItself);
        }
        let target_is_open = context.related.is_some_and(|target| target.lifecycle == Lifecycle::Open);
        if !target_is_open {
            return Err(Rejection::MergeTargetNotOpen { into: command.into });
        }
        check_order(context, self.not_before)?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.cancel_all(context.occurred_at);
        let merged = TicketEvent::TicketMerged { into: command.into, reason: command.reason.clone() };
        Ok([vec![merged], change.into_events()?].concat())
    }
}
