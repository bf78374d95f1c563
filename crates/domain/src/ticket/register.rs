//! Registering (登记): a call becomes a ticket, its clocks start (R1–R5, R10, R11, R30, R31).

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Context, Instant};
use crate::ids::{BranchId, Number, TicketId};
use crate::organisation::BranchView;
use crate::people::{Customer, words};
use crate::rejection::Rejection;
use crate::sla::ClockKind;
use crate::text::{Name, Note};
use crate::ticket::clocks::{ClockChange, check_order};
use crate::ticket::{Lifecycle, Ticket, TicketEvent};

words! {
    /// The three kinds of ticket (R1).
    TicketKind {
        /// 报修 / 叫修.
        Repair = "repair",
        /// 投诉.
        Complaint = "complaint",
        /// 索赔.
        CompensationClaim = "compensation_claim",
    }
    /// How a call came in (R1).
    Channel {
        /// 电话.
        Phone = "phone",
        /// 网页.
        Web = "web",
        /// 邮件.
        Mail = "mail",
        /// 应用.
        App = "app",
        /// 上门.
        WalkIn = "walk_in",
    }
    /// Where the customer is (R31).
    Area {
        /// 市区.
        Urban = "urban",
        /// 郊区.
        Suburban = "suburban",
    }
    /// How urgent it is (R4).
    Urgency {
        /// 一般.
        Normal = "normal",
        /// 紧急.
        Urgent = "urgent",
        /// 特急: top of the board, the supervisor hears of it at once.
        Emergency = "emergency",
    }
    /// How important the customer is (R4).
    CustomerLevel {
        /// 普通客户.
        Standard = "standard",
        /// 重要客户.
        Important = "important",
    }
    /// 优先级: which of two tickets comes first when nothing else tells (R4).
    Priority {
        /// 特急, whoever calls.
        Critical = "critical",
        /// 紧急 of an important customer.
        High = "high",
        /// 紧急, or of an important customer.
        Medium = "medium",
        /// The rest.
        Low = "low",
    }
    /// Who pays for a repair (R10).
    ServiceBasis {
        /// A 有费服务.
        Paid = "paid",
        /// B 合同服务.
        Contract = "contract",
        /// C 免费服务.
        Warranty = "warranty",
    }
}

impl Priority {
    /// What urgency and the customer's level give (R4).
    pub fn of(urgency: Urgency, level: CustomerLevel) -> Self {
        match (urgency, level) {
            (Urgency::Emergency, _) => Self::Critical,
            (Urgency::Urgent, CustomerLevel::Important) => Self::High,
            (Urgency::Urgent, CustomerLevel::Standard) | (Urgency::Normal, CustomerLevel::Important) => {
                Self::Medium
            }
            (Urgency::Normal, CustomerLevel::Standard) => Self::Low,
        }
    }
}

impl TicketKind {
    /// The prefix of its numbers (R3).
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Repair => "BX",
            Self::Complaint => "TS",
            Self::CompensationClaim => "SP",
        }
    }
}

/// Register a call (登记).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterTicket {
    /// Repair, complaint or claim.
    pub kind: TicketKind,
    /// Who calls.
    pub customer: Customer,
    /// The customer's level.
    #[serde(default = "standard_level")]
    pub customer_level: CustomerLevel,
    /// How the call came in.
    pub channel: Channel,
    /// Which product.
    pub product_model: Name,
    /// Which piece of it.
    #[serde(default)]
    pub serial_number: Option<Name>,
    /// What is wrong.
    pub description: Note,
    /// When it went wrong, if the customer knows.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub happened_at: Option<Instant>,
    /// Which branch is to do it.
    pub branch: BranchId,
    /// Urban or suburban; may be left out when the district tells it.
    #[serde(default)]
    pub area: Option<Area>,
    /// A district of the branch (区县).
    #[serde(default)]
    pub district: Option<Name>,
    /// How urgent it is.
    #[serde(default = "normal_urgency")]
    pub urgency: Urgency,
    /// Whether a technician has to come; repairs always need one.
    #[serde(default)]
    pub needs_visit: bool,
    /// The last day of the product's warranty (保修), as far as known.
    #[serde(default)]
    pub warranty_until: Option<NaiveDate>,
    /// The last day of a maintenance contract (保养合同), as far as known.
    #[serde(default)]
    pub contract_until: Option<NaiveDate>,
}

fn standard_level() -> CustomerLevel {
    CustomerLevel::Standard
}

fn normal_urgency() -> Urgency {
    Urgency::Normal
}

/// A registration with the identities given to it (R3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The ticket's id.
    pub ticket: TicketId,
    /// Its number, from a block that was reserved for the kind and month.
    pub number: Number,
    /// What the operator wrote.
    pub request: RegisterTicket,
}

impl Ticket {
    pub(super) fn register(
        &self,
        registration: &Registration,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        if self.lifecycle != Lifecycle::Absent {
            return Err(Rejection::TicketAlreadyRegistered);
        }
        let request = &registration.request;
        let branch = context.organisation.branch(&request.branch)?;
        context.organisation.check_product(&request.product_model)?;
        if let Some(happened_at) = request.happened_at {
            context.check_not_in_future(happened_at)?;
        }
        check_order(context, request.happened_at)?;
        let mut ticket = self.clone();
        let mut events = Vec::new();
        let mut record = |event: TicketEvent| {
            crate::Aggregate::evolve(&mut ticket, &event, context.happened());
            events.push(event);
        };
        record(registered(registration, &branch, context)?);
        if request.kind == TicketKind::Repair {
            record(TicketEvent::WorkOrderIssued { work_order: registration.number.clone() });
        }
        if request.urgency == Urgency::Emergency {
            record(TicketEvent::emergency(branch.informed()));
        }
        let mut change = ClockChange::of(&ticket, context, &branch);
        change.start(ClockKind::Response, context.occurred_at)?;
        if ticket.needs_visit {
            change.start(ClockKind::Dispatch, context.occurred_at)?;
        }
        events.extend(change.into_events()?);
        Ok(events)
    }
}

fn registered(
    registration: &Registration,
    branch: &BranchView<'_>,
    context: &Context<'_>,
) -> Result<TicketEvent, Rejection> {
    let request = registration.request.clone();
    let is_repair = request.kind == TicketKind::Repair;
    let area = branch.area_of(request.area, request.district.as_ref())?;
    let area_overrides_district = branch.is_listed_otherwise(request.district.as_ref(), area);
    let called_on = branch.calendar.local_date(context.occurred_at);
    let covers = |until: Option<NaiveDate>| until.is_some_and(|until| called_on <= until);
    let service_basis = if covers(request.contract_until) {
        ServiceBasis::Contract
    } else if covers(request.warranty_until) {
        ServiceBasis::Warranty
    } else {
        ServiceBasis::Paid
    };
    Ok(TicketEvent::TicketRegistered {
        ticket: registration.ticket,
        number: registration.number.clone(),
        kind: request.kind,
        customer: request.customer,
        customer_level: request.customer_level,
        channel: request.channel,
        product_model: request.product_model,
        serial_number: request.serial_number,
        description: request.description,
        happened_at: request.happened_at,
        reported_at: context.occurred_at,
        branch: request.branch,
        area,
        district: request.district,
        area_overrides_district,
        urgency: request.urgency,
        needs_visit: request.needs_visit || is_repair,
        service_basis: is_repair.then_some(service_basis),
    })
}
