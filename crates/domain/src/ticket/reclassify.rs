//! Correcting what a ticket was taken for: kind, urgency, area (R36) and who pays (R10).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::organisation::BranchView;
use crate::rejection::Rejection;
use crate::sla::{Clock, ClockKind};
use crate::text::Line;
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Area, DeadlineReason, ServiceBasis, Stage, Ticket, TicketEvent, TicketKind, Urgency};

/// Correct kind, urgency or area (更正); what is left out stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReclassifyTicket {
    /// The right kind.
    #[serde(default)]
    pub kind: Option<TicketKind>,
    /// The right urgency.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// The right area.
    #[serde(default)]
    pub area: Option<Area>,
    /// Whether a technician has to come; repairs always need one.
    #[serde(default)]
    pub needs_visit: Option<bool>,
    /// Why it is corrected.
    pub reason: Line,
}

/// Correct who pays for a repair (R10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectServiceBasis {
    /// A, B or C.
    pub service_basis: ServiceBasis,
    /// Why the proposal was wrong.
    pub reason: Line,
}

impl Ticket {
    pub(super) fn reclassify(
        &self,
        command: &ReclassifyTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        let branch = context.organisation.branch(&case.branch)?;
        let kind = command.kind.unwrap_or(case.kind);
        let urgency = command.urgency.unwrap_or(case.urgency);
        let area = command.area.unwrap_or(case.area);
        let needs_visit = kind == TicketKind::Repair || command.needs_visit.unwrap_or(self.needs_visit);
        if (kind, urgency, area, needs_visit) == (case.kind, case.urgency, case.area, self.needs_visit) {
            return Err(Rejection::NothingToChange);
        }
        let reason = command.reason.clone();
        check_order(context, self.cycle_began_at)?;
        let mut events = vec![TicketEvent::TicketReclassified { kind, urgency, area, needs_visit, reason }];
        if kind == TicketKind::Repair && case.service_basis.is_none() {
            events.push(TicketEvent::WorkOrderIssued { work_order: case.number.clone() });
        }
        if urgency == Urgency::Emergency && case.urgency != Urgency::Emergency {
            events.push(TicketEvent::emergency(branch.informed()));
        }
        let after = self.after(&events, context);
        let mut change = ClockChange::of(&after, context, &branch);
        self.change_what_is_owed(&after, &mut change, context, &branch)?;
        let changed = change.into_events()?;
        let after = after.after(&changed, context);
        let mut change = ClockChange::of(&after, context, &branch);
        change.retime(DeadlineReason::Reclassified)?;
        Ok([events, changed, change.into_events()?].concat())
    }

    /// Cancels the clocks that the corrected ticket has no use for, and starts those that it lacks.
    fn change_what_is_owed(
        &self,
        after: &Self,
        change: &mut ClockChange<'_>,
        context: &Context<'_>,
        branch: &BranchView<'_>,
    ) -> Result<(), Rejection> {
        let at = context.occurred_at;
        let visit_clock = after.clock(ClockKind::Dispatch).filter(|clock| clock.cycle == after.cycle);
        let was_repair = self.case()?.kind == TicketKind::Repair;
        let is_repair = after.case()?.kind == TicketKind::Repair;
        let becomes_repair = is_repair && !was_repair && !self.needs_visit;
        let restarted = self.cycle == 1 || branch.policy.restart_on_reopen.contains(&ClockKind::Dispatch);
        match visit_clock {
            Some(clock) if !after.needs_visit => change.cancel(clock, at),
            _ if !after.needs_visit || after.stage >= Stage::Arrived => {}
            // Owed all the while, as it turns out: a clock that was cancelled counts from its first start (R31).
            Some(clock) => change.start(ClockKind::Dispatch, clock.started_at)?,
            // It was a repair from the call on (R31); what else makes a visit owed does so from now on.
            None if becomes_repair => change.start(ClockKind::Dispatch, self.cycle_began_at.unwrap_or(at))?,
            None if restarted || !self.needs_visit => change.start(ClockKind::Dispatch, at)?,
            _ => {}
        }
        let resolution_runs = after.clock(ClockKind::Resolution).is_some_and(Clock::is_open);
        if was_repair && !is_repair && self.responded_at.is_some() && !resolution_runs {
            change.start(ClockKind::Resolution, at)?;
        }
        Ok(())
    }

    pub(super) fn correct_service_basis(
        &self,
        command: &CorrectServiceBasis,
        _: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        let from =
            case.service_basis.filter(|_| case.kind == TicketKind::Repair).ok_or(Rejection::NotARepair)?;
        if from == command.service_basis {
            return Err(Rejection::NothingToChange);
        }
        let (to, reason) = (command.service_basis, command.reason.clone());
        Ok(vec![TicketEvent::ServiceBasisCorrected { from, to, reason }])
    }
}
