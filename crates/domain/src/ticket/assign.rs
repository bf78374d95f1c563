//! Who is in charge: assigning a handler, and passing on what somebody owed (认养孤儿, R6).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::ids::StaffId;
use crate::rejection::Rejection;
use crate::text::Line;
use crate::ticket::{Ticket, TicketEvent};

/// Put a person in charge of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignHandler {
    /// Who.
    pub handler: StaffId,
}

/// Pass on what one person owes in this ticket to another (R6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReassignTicket {
    /// Who owed it.
    pub from: StaffId,
    /// Who owes it now.
    pub to: StaffId,
    /// Why.
    pub reason: Line,
}

impl Ticket {
    pub(super) fn assign(
        &self,
        command: &AssignHandler,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        context.organisation.branch(&case.branch)?.active_staff(&command.handler)?;
        if self.handler.as_ref() == Some(&command.handler) {
            return Err(Rejection::NothingToChange);
        }
        Ok(vec![TicketEvent::HandlerAssigned { handler: command.handler.clone() }])
    }

    pub(super) fn reassign(
        &self,
        command: &ReassignTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        let branch = context.organisation.branch(&case.branch)?;
        branch.active_staff(&command.to)?;
        let owes_visit = self.technician.as_ref() == Some(&command.from);
        if owes_visit {
            branch.technician(&command.to)?;
        }
        let owes_nothing = !owes_visit && self.handler.as_ref() != Some(&command.from);
        if owes_nothing || command.from == command.to {
            return Err(Rejection::NothingToChange);
        }
        let (from, to, reason) = (command.from.clone(), command.to.clone(), command.reason.clone());
        Ok(vec![TicketEvent::TicketReassigned { from, to, reason }])
    }
}
