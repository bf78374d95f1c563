//! Responding (响应): the customer gets the first answer (R30), complaints and claims their limit (R32).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::rejection::Rejection;
use crate::sla::{ClockKind, Limit};
use crate::text::Note;
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Channel, Ticket, TicketEvent, TicketKind};

/// Record the customer's first answer (响应).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RespondToCustomer {
    /// How the customer was answered.
    pub channel: Channel,
    /// What was said.
    #[serde(default)]
    pub answer: Option<Note>,
    /// How long the complaint or claim may take from now (处理期限, R32); policy's limit if left out.
    #[serde(default)]
    pub resolution_limit: Option<Limit>,
}

impl Ticket {
    pub(super) fn respond(
        &self,
        command: &RespondToCustomer,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        if let Some(responded_at) = self.responded_at {
            return Err(Rejection::AlreadyResponded { responded_at });
        }
        let asked_at = self.clock(ClockKind::Response).map(|clock| clock.started_at);
        check_order(context, asked_at)?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.fulfil(ClockKind::Response, context.occurred_at);
        match (case.kind, command.resolution_limit) {
            (TicketKind::Repair, _) => {}
            (_, Some(limit)) => change.start_with(ClockKind::Resolution, limit, context.occurred_at)?,
            (_, None) => change.start(ClockKind::Resolution, context.occurred_at)?,
        }
        let responded =
            TicketEvent::CustomerResponded { channel: command.channel, answer: command.answer.clone() };
        Ok([vec![responded], change.into_events()?].concat())
    }
}
