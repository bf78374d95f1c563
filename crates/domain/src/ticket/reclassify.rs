//! Correcting what a ticket was taken for: kind, urgency, area (R36) and who pays (R10).

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::rejection::Rejection;
use crate::sla::ClockKind;
use crate::text::Line;
use crate::ticket::clocks::ClockChange;
use crate::ticket::{Area, DeadlineReason, ServiceBasis, Ticket, TicketEvent, TicketKind, Urgency};

/// Correct kind, urgency or area; what is left out stays.
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
        let mut events = vec![TicketEvent::TicketReclassified { kind, urgency, area, needs_visit, reason }];
        if urgency == Urgency::Emergency && case.urgency != Urgency::Emergency {
            events.push(TicketEvent::EmergencyRaised { supervisors: branch.supervisors() });
        }
        let mut after = self.clone();
        for event in &events {
            crate::Aggregate::evolve(&mut after, event, context.happened());
        }
        let mut change = ClockChange::of(&after, context, &branch);
        let visit_clock = after.clock(ClockKind::Dispatch).filter(|clock| clock.cycle == after.cycle);
        match (visit_clock, needs_visit) {
            (Some(clock), false) => change.cancel(clock, context.occurred_at),
            (None, true) => change.start(ClockKind::Dispatch, context.occurred_at)?,
            _ => change.retime(DeadlineReason::Reclassified)?,
        }
        events.extend(change.into_events());
        Ok(events)
    }

    pub(super) fn correct_service_basis(
        &self,
        command: &CorrectServiceBasis,
        _: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let from = self.open_case()?.service_basis.ok_or(Rejection::NotARepair)?;
        if from == command.service_basis {
            return Err(Rejection::NothingToChange);
        }
        let (to, reason) = (command.service_basis, command.reason.clone());
        Ok(vec![TicketEvent::ServiceBasisCorrected { from, to, reason }])
    }
}
