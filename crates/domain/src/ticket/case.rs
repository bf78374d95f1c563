//! What was told of a case, as far as it has a bearing on later decisions.

use crate::aggregate::Instant;
use crate::ids::{BranchId, Number, TicketId};
use crate::people::Customer;
use crate::sla::CaseFacts;
use crate::text::{Name, Note};
use crate::ticket::TicketEvent;
use crate::ticket::register::{Area, CustomerLevel, ServiceBasis, TicketKind, Urgency};

/// What was told at registration, and corrected since.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub ticket: TicketId,
    pub number: Number,
    pub kind: TicketKind,
    pub customer: Customer,
    pub customer_level: CustomerLevel,
    pub product_model: Name,
    pub serial_number: Option<Name>,
    pub description: Note,
    pub reported_at: Instant,
    pub branch: BranchId,
    pub area: Area,
    /// The district that tells the area; none when a person told it.
    pub district: Option<Name>,
    pub urgency: Urgency,
    pub service_basis: Option<ServiceBasis>,
}

impl Case {
    /// The case of a registration; nothing else makes one.
    pub(super) fn from_registration(event: &TicketEvent) -> Option<Self> {
        let TicketEvent::TicketRegistered {
            ticket,
            number,
            kind,
            customer,
            customer_level,
            product_model,
            serial_number,
            description,
            reported_at,
            branch,
            area,
            district,
            area_overrides_district,
            urgency,
            service_basis,
            ..
        } = event.clone()
        else {
            return None;
        };
        Some(Self {
            ticket,
            number,
            kind,
            customer,
            customer_level,
            product_model,
            serial_number,
            description,
            reported_at,
            branch,
            area,
            district: district.filter(|_| !area_overrides_district),
            urgency,
            service_basis,
        })
    }

    /// Kind, urgency and area as a person corrected them.
    pub(super) fn reclassify(&mut self, kind: TicketKind, urgency: Urgency, area: Area) {
        if area != self.area {
            // A person's word on the area outlasts the branch's list of districts.
            self.district = None;
        }
        (self.kind, self.urgency, self.area) = (kind, urgency, area);
        if kind == TicketKind::Repair {
            // Nobody looked at contract or warranty: paid, until a person corrects it (R10).
            self.service_basis.get_or_insert(ServiceBasis::Paid);
        }
    }

    /// What decides the case's limits.
    pub(super) fn facts(&self) -> CaseFacts {
        CaseFacts {
            kind: self.kind,
            urgency: self.urgency,
            customer_level: self.customer_level,
            area: self.area,
        }
    }
}
