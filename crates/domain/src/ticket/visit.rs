//! The visit: dispatching (派工), arriving (抵达), fixing on the spot (R11–R13, R31).

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Context, Instant};
use crate::ids::StaffId;
use crate::rejection::Rejection;
use crate::sla::ClockKind;
use crate::text::Note;
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Stage, Ticket, TicketEvent, TicketKind};

/// When a technician is to be at the customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitWindow {
    /// From this instant on.
    #[schema(value_type = String, format = DateTime)]
    pub from: Instant,
    /// Until just before this one.
    #[schema(value_type = String, format = DateTime)]
    pub until: Instant,
}

impl VisitWindow {
    /// Refuses an empty window and one of more than a week.
    pub fn check(&self) -> Result<(), Rejection> {
        let fits = self.from < self.until && self.until - self.from <= TimeDelta::days(7);
        if fits { Ok(()) } else { Err(Rejection::VisitWindowInvalid) }
    }

    /// Whether two windows share an instant; one may begin when the other ends.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

/// Send a technician (派工).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchTechnician {
    /// Who goes.
    pub technician: StaffId,
    /// When; two visits of one technician never overlap (R11).
    #[serde(default)]
    pub visit: Option<VisitWindow>,
}

/// The technician is at the customer's (抵达).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArriveAtCustomer {}

/// The repair was done on the spot (R13).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FixOnSite {
    /// What was done.
    pub remedy: Note,
    /// Whether the customer signed the work order (服务凭证): then it is archived and the ticket closes.
    pub customer_signed: bool,
}

impl Ticket {
    pub(super) fn dispatch(
        &self,
        command: &DispatchTechnician,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.working_case(context.occurred_at)?;
        if !self.needs_visit {
            return Err(Rejection::NoVisitNeeded);
        }
        match (self.stage, &self.technician) {
            (Stage::Waiting, _) => {}
            (Stage::Dispatched, Some(technician)) => {
                return Err(Rejection::TechnicianAlreadyDispatched { technician: technician.clone() });
            }
            (Stage::Dispatched | Stage::Arrived, _) => {
                let arrived_at = self.not_before.unwrap_or(context.now);
                return Err(Rejection::TechnicianAlreadyArrived { arrived_at });
            }
            (Stage::Fixed, _) => return Err(Rejection::AlreadyFixed),
        }
        check_order(context, self.not_before)?;
        let branch = context.organisation.branch(&case.branch)?;
        branch.technician(&command.technician)?;
        if let Some(visit) = command.visit {
            visit.check()?;
        }
        Ok(vec![TicketEvent::TechnicianDispatched {
            technician: command.technician.clone(),
            visit: command.visit,
        }])
    }

    pub(super) fn arrive(
        &self,
        _: &ArriveAtCustomer,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.working_case(context.occurred_at)?;
        let technician = match (self.stage, &self.technician) {
            (Stage::Dispatched, Some(technician)) => technician.clone(),
            (Stage::Waiting, _) | (Stage::Dispatched, None) => {
                return Err(Rejection::TechnicianNotDispatched);
            }
            (Stage::Arrived | Stage::Fixed, _) => {
                let arrived_at = self.not_before.unwrap_or(context.now);
                return Err(Rejection::TechnicianAlreadyArrived { arrived_at });
            }
        };
        check_order(context, self.not_before)?;
        let branch = context.organisation.branch(&case.branch)?;
        let mut change = ClockChange::of(self, context, &branch);
        change.fulfil(ClockKind::Dispatch, context.occurred_at);
        Ok([vec![TicketEvent::TechnicianArrived { technician }], change.into_events()?].concat())
    }

    pub(super) fn fix_on_site(
        &self,
        command: &FixOnSite,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.working_case(context.occurred_at)?;
        if case.kind != TicketKind::Repair {
            return Err(Rejection::NotARepair);
        }
        let technician = match (self.stage, &self.technician) {
            (Stage::Arrived, Some(technician)) => technician.clone(),
            (Stage::Fixed, _) => return Err(Rejection::AlreadyFixed),
            _ => return Err(Rejection::TechnicianNotArrived),
        };
        check_order(context, self.not_before)?;
        let fixed = TicketEvent::RepairFixedOnSite {
            technician,
            remedy: command.remedy.clone(),
            customer_signed: command.customer_signed,
        };
        if !command.customer_signed {
            return Ok(vec![fixed]);
        }
        let closing = self.closing_events(None, context)?;
        Ok([vec![fixed, TicketEvent::WorkOrderArchived], closing].concat())
    }
}
