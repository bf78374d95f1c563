//! Alerts for this room's tests.

use cuiban_domain::ids::{BranchId, CommandId, Number, StaffId, TicketId};
use cuiban_domain::people::{Department, Party};
use cuiban_domain::sla::{ClockKind, Notice, Rung};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{TicketKind, Urgency};
use uuid::Uuid;

use crate::alert::{Alert, emergency_id};
use crate::message::Manner;
use crate::wording::Place;

/// How messages are put here.
pub(crate) fn manner() -> Manner {
    let place =
        Place { branch: "武汉服务中心".to_owned(), zone: chrono_tz::Asia::Shanghai, addressee: None };
    Manner { place, now: "2026-11-20T09:30:00.000001Z".parse().unwrap(), maybe_twice: false }
}

/// The breach of ticket `n`'s dispatch limit.
pub(crate) fn notice(n: u128) -> Alert {
    let ticket = TicketId(Uuid::from_u128(n));
    let notice =
        Notice { clock: ClockKind::Dispatch, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
    Alert {
        id: notice.id(ticket).0,
        clock: Some(notice.clock),
        cycle: Some(notice.cycle),
        episode: Some(notice.episode),
        rung: Some(notice.rung),
        repetition: Some(notice.repetition),
        due_at: Some("2026-11-20T09:30:00Z".parse().unwrap()),
        addressee: Some(Party::Department(Department::Dispatch)),
        ..emergency(n)
    }
}

/// The emergency that ticket `n` is.
pub(crate) fn emergency(n: u128) -> Alert {
    let ticket = TicketId(Uuid::from_u128(n));
    Alert {
        id: emergency_id(ticket, 1),
        ticket,
        number: Some(Number::new(format!("BX-202611-{n:05}")).unwrap()),
        kind: Some(TicketKind::Repair),
        product_model: Some(Name::new("KX-200").unwrap()),
        urgency: Some(Urgency::Urgent),
        branch: BranchId::new("B0").unwrap(),
        clock: None,
        cycle: None,
        rung: None,
        episode: None,
        repetition: None,
        due_at: None,
        issued_at: "2026-11-20T09:30:00.000001Z".parse().unwrap(),
        late: false,
        addressee: None,
        informed: vec![StaffId::new("S1").unwrap()],
        departments: Vec::new(),
        withdrawn: false,
        caused_by: CommandId(Uuid::from_u128(n + 1_000)),
    }
}
