//! Ending and beginning again: closing (结案), cancelling (取消), reopening (R13, R39).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::rejection::Rejection;
use crate::sla::ClockKind;
use crate::text::{Line, Note};
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Lifecycle, Stage, Ticket, TicketEvent, TicketKind};

/// Close a handled ticket (结案).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseTicket {
    /// What remains to be said.
    #[serde(default)]
    pub note: Option<Note>,
}

/// The customer does not want it any more, or it was a mistake (取消).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelTicket {
    /// Why.
    pub reason: Line,
}

/// The customer is back with the same thing (重开, R39).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReopenTicket {
    /// What is wrong again.
    pub reason: Line,
}

impl Ticket {
    pub(super) fn close(
        &self,
        command: &CloseTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.working_case(context.occurred_at)?;
        let is_repair = case.kind == TicketKind::Repair;
        if is_repair && self.stage != Stage::Fixed {
            return Err(Rejection::NotYetFixed);
        }
        check_order(context, self.not_before.max(self.responded_at))?;
        let archived = is_repair.then_some(TicketEvent::WorkOrderArchived);
        let closing = self.closing_events(command.note.clone(), context)?;
        Ok(archived.into_iter().chain(closing).collect())
    }

    /// Closes, fulfils the resolution limit, and cancels what is not owed any more.
    pub(super) fn closing_events(
        &self,
        note: Option<Note>,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        if self.responded_at.is_none() {
            return Err(Rejection::NotYetResponded);
        }
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.fulfil(ClockKind::Resolution, context.occurred_at);
        for clock in self.clocks.iter().filter(|clock| clock.kind != ClockKind::Resolution) {
            change.cancel(clock, context.occurred_at);
        }
        Ok([vec![TicketEvent::TicketClosed { note }], change.into_events()?].concat())
    }

    pub(super) fn cancel(
        &self,
        command: &CancelTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        check_order(context, self.not_before)?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.cancel_all(context.occurred_at);
        let cancelled = TicketEvent::TicketCancelled { reason: command.reason.clone() };
        Ok([vec![cancelled], change.into_events()?].concat())
    }

    pub(super) fn reopen(
        &self,
        command: &ReopenTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.case()?;
        match (self.lifecycle, self.stage) {
            (Lifecycle::Closed, _) | (Lifecycle::Open, Stage::Fixed) => {}
            (Lifecycle::Open, _) => return Err(Rejection::TicketStillOpen),
            _ => return Err(Rejection::TicketEnded),
        }
        check_order(context, self.not_before)?;
        let branch = context.organisation.branch(&case.branch)?;
        let reopened = TicketEvent::TicketReopened { cycle: self.cycle + 1, reason: command.reason.clone() };
        let after = self.after([&reopened], context);
        let mut change = ClockChange::of(&after, context, &branch);
        let policy = branch.policy;
        let answered_again = policy.restart_on_reopen.contains(&ClockKind::Response)
            && policy.limit(ClockKind::Response, case.facts()).is_some();
        for kind in &policy.restart_on_reopen {
            let applies = match kind {
                ClockKind::Dispatch => self.needs_visit,
                ClockKind::Response => true,
                // Where the customer is answered anew, the limit is set with the answer (R32).
                ClockKind::Resolution => case.kind != TicketKind::Repair && !answered_again,
            };
            if applies {
                change.start(*kind, context.occurred_at)?;
            }
        }
        Ok([vec![reopened], change.into_events()?].concat())
    }
}
