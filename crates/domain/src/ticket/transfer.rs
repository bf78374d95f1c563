//! Transferring (转派): another branch takes over, with its calendar and policy.

use serde::{Deserialize, Serialize};

use crate::aggregate::Context;
use crate::ids::BranchId;
use crate::rejection::Rejection;
use crate::text::{Line, Name};
use crate::ticket::clocks::ClockChange;
use crate::ticket::{Area, DeadlineReason, Ticket, TicketEvent, TicketSummary};

/// Hand a ticket to another branch (转派).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferTicket {
    /// The branch that takes over.
    pub to: BranchId,
    /// Where the customer is for that branch; as before if left out.
    #[serde(default)]
    pub area: Option<Area>,
    /// A district of that branch.
    #[serde(default)]
    pub district: Option<Name>,
    /// Why.
    pub reason: Line,
}

impl Ticket {
    pub(super) fn transfer(
        &self,
        command: &TransferTicket,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        if command.to == case.branch {
            return Err(Rejection::NothingToChange);
        }
        let branch = context.organisation.branch(&command.to)?;
        let area = match (command.area, &command.district) {
            (None, None) => case.area,
            (area, district) => branch.area_of(area, district.as_ref())?,
        };
        let transferred = TicketEvent::TicketTransferred {
            from: case.branch.clone(),
            to: command.to.clone(),
            area,
            district: command.district.clone(),
            area_overrides_district: branch.is_listed_otherwise(command.district.as_ref(), area),
            reason: command.reason.clone(),
            summary: Box::new(self.summary()?),
        };
        let after = self.after([&transferred], context);
        let mut change = ClockChange::of(&after, context, &branch);
        change.retime(DeadlineReason::Transferred)?;
        Ok([vec![transferred], change.into_events()?].concat())
    }

    fn summary(&self) -> Result<TicketSummary, Rejection> {
        let case = self.case()?.clone();
        Ok(TicketSummary {
            number: case.number,
            kind: case.kind,
            customer: case.customer,
            customer_level: case.customer_level,
            product_model: case.product_model,
            serial_number: case.serial_number,
            description: case.description,
            reported_at: case.reported_at,
            urgency: case.urgency,
            needs_visit: self.needs_visit,
            responded_at: self.responded_at,
            clocks: self.clocks.clone(),
        })
    }
}
