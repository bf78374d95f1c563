//! One line an event: the domain's variant, and its fields by name as in `proto/`.
//!
//! A new event is a message in `proto/`, a member of `Event`'s oneof, and a line here.

use cuiban_domain::Event;
use cuiban_domain::alert::AlertEvent;
use cuiban_domain::numbering::NumberingEvent;
use cuiban_domain::organisation::{BranchEvent, CompanyEvent};
use cuiban_domain::schedule::ScheduleEvent;
use cuiban_domain::step_over::StepOverEvent;
use cuiban_domain::ticket::TicketEvent;

use crate::proto::{self, event::Event as Oneof};
use crate::wire::{Field, WireError, in_field};

macro_rules! table {
    ($($aggregate:ident: $events:ident { $($event:ident { $($field:ident),* $(,)? })+ })+) => {
        /// The wire form of an event.
        pub(crate) fn to_wire(event: &Event) -> proto::Event {
            let event = match event {
                $($(Event::$aggregate($events::$event { $($field),* }) => {
                    Oneof::$event(proto::$event { $($field: Field::to_wire($field)),* })
                })+)+
            };
            proto::Event { event: Some(event) }
        }

        /// The event of a wire form; an error names the event and the field.
        pub(crate) fn from_wire(event: Oneof) -> Result<Event, WireError> {
            match event {
                $($(Oneof::$event(_message) => {
                    let event = || -> Result<$events, WireError> {
                        Ok($events::$event { $($field: in_field(stringify!($field), _message.$field)?),* })
                    };
                    event().map(Event::$aggregate).map_err(|error| WireError(format!(concat!(stringify!($event), ".{}"), error)))
                })+)+
            }
        }

        /// The names of all events that this build knows, aggregate by aggregate.
        pub const EVENT_NAMES: &[&str] = &[$($(stringify!($event)),+),+];

        /// An event's name: its variant's, and its message's in `proto/`.
        pub fn event_name(event: &Event) -> &'static str {
            match event {
                $($(Event::$aggregate($events::$event { .. }) => stringify!($event),)+)+
            }
        }
    };
}

table! {
    Ticket: TicketEvent {
        TicketRegistered {
            ticket, number, kind, customer, customer_level, channel, product_model, serial_number, description,
            happened_at, reported_at, branch, area, district, area_overrides_district, urgency, needs_visit, service_basis,
        }
        WorkOrderIssued { work_order }
        EmergencyRaised { supervisors, departments }
        CustomerResponded { channel, answer }
        TechnicianDispatched { technician, visit }
        TechnicianArrived { technician }
        RepairFixedOnSite { technician, remedy, customer_signed }
        WorkOrderArchived {}
        TicketPaused { reason, note }
        TicketResumed {}
        TicketReclassified { kind, urgency, area, needs_visit, reason }
        AreaChanged { area }
        ServiceBasisCorrected { from, to, reason }
        HandlerAssigned { handler }
        TicketReassigned { from, to, reason }
        TicketTransferred { from, to, area, district, area_overrides_district, reason, summary }
        TicketMerged { into, reason }
        TicketCancelled { reason }
        TicketClosed { note }
        TicketReopened { cycle, reason }
        ClockStarted { clock, cycle, limit, started_at, due_at, basis }
        ClockMet { clock, cycle, met_at, late_recorded }
        ClockPaused { clock, cycle, paused_at, consumed }
        ClockResumed { clock, cycle, resumed_at, due_at, basis }
        DeadlineMoved { clock, cycle, limit, from, to, reason, basis }
        ClockCancelled { clock, cycle, cancelled_at }
        SlaBreached { clock, cycle, due_at }
        BreachEnded { clock, cycle, ended_at }
        ExpediteNoticeIssued { notice, due_at, addressee, informed, informed_departments, late }
        ExpediteNoticeSuperseded { notice }
    }
    Company: CompanyEvent {
        CompanyCalendarSet { calendar }
        ProvinceDaysSet { province, days }
        PolicySet { policy }
        ProductsListed { products }
    }
    Branch: BranchEvent {
        BranchOpened { branch, name, province }
        BranchHoursSet { hours }
        BranchLimitsSet { limits }
        DistrictsListed { districts }
        StaffAdmitted { member }
        StaffChanged { member }
        StaffLeft { staff, successor }
    }
    Schedule: ScheduleEvent {
        VisitReserved { ticket, branch, visit }
        VisitReleased { ticket, branch }
    }
    Numbering: NumberingEvent { NumbersReserved { first, count } }
    Alert: AlertEvent { AlertAttempted { branch, channel, attempt, outcome } }
    SteppedOver: StepOverEvent { CommitSteppedOver { position, sha256, reason } }
}
