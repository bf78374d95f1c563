//! There and back: every event, every envelope, every word of every vocabulary.

use std::collections::BTreeSet;
use std::time::Duration;

use cuiban_domain::Event;
use cuiban_domain::alert::{AlertEvent, Outcome};
use cuiban_domain::ids::ChannelId;
use cuiban_domain::organisation::{BranchEvent, CompanyEvent, StaffMember};
use cuiban_domain::people::{Department, Party, Phone, Role};
use cuiban_domain::sla::{ClockKind, Limit, LimitRule, Measure, Notice, Rung, Span};
use cuiban_domain::text::{Line, Name};
use cuiban_domain::ticket::{
    Area, Channel, CustomerLevel, DeadlineReason, PauseReason, ServiceBasis, TicketEvent, TicketKind, Urgency,
};
use cuiban_event_schema::{Commit, EVENT_NAMES, decode, hash};

use crate::samples::{at, encode, envelope, first_envelope, line, name, samples};
use crate::ticket_samples::{branch, staff};

#[track_caller]
fn survives(events: Vec<Event>) {
    let bytes = encode(&envelope(), &events);
    assert_eq!(decode(&bytes).unwrap(), Commit { envelope: envelope(), events });
}

#[test]
fn every_event_has_a_sample_and_every_sample_an_event() {
    let samples = samples();
    let sampled: BTreeSet<_> = samples.keys().copied().collect();
    assert_eq!(sampled, EVENT_NAMES.iter().copied().collect());
    assert_eq!(EVENT_NAMES.len(), sampled.len(), "two events have one name");
}

#[test]
fn every_event_comes_back_as_it_went() {
    for sample in samples().into_values() {
        let (_, events) = sample.commit();
        survives(events);
    }
}

#[test]
fn all_events_of_a_commit_keep_their_order() {
    let notices = |event: &Event| matches!(event, Event::Ticket(TicketEvent::ExpediteNoticeIssued { .. }));
    let events = samples().into_values().flat_map(|sample| [sample.bare, sample.full]);
    survives(events.filter(|event| !notices(event)).collect());
    survives(Vec::new());
}

#[test]
fn a_decoded_commit_keeps_no_more_room_than_its_events_take() {
    for sample in samples().into_values() {
        let events = decode(&encode(&envelope(), &[sample.full])).unwrap().events;
        assert_eq!(events.capacity(), events.len());
    }
}

#[test]
fn an_envelope_comes_back_with_and_without_what_it_may_lack() {
    for envelope in [envelope(), first_envelope()] {
        let bytes = encode(&envelope, &[]);
        assert_eq!(decode(&bytes).unwrap().envelope, envelope);
    }
}

#[test]
fn the_same_commit_has_the_same_bytes_and_hash_and_another_has_not() {
    for sample in samples().into_values() {
        assert_eq!(hash(&sample.bytes()), hash(&sample.bytes()));
    }
    assert_ne!(hash(&encode(&envelope(), &[])), hash(&encode(&first_envelope(), &[])));
}

#[test]
fn every_word_of_a_ticket_s_vocabularies_comes_back() {
    let reason = || line("登记有误");
    let mut events: Vec<Event> = Vec::new();
    let mut add = |event: TicketEvent| events.push(event.into());
    Channel::ALL
        .iter()
        .for_each(|channel| add(TicketEvent::CustomerResponded { channel: *channel, answer: None }));
    PauseReason::ALL.iter().for_each(|reason| add(TicketEvent::TicketPaused { reason: *reason, note: None }));
    Area::ALL.iter().for_each(|area| add(TicketEvent::AreaChanged { area: *area }));
    for kind in TicketKind::ALL {
        for urgency in Urgency::ALL {
            let (kind, urgency, area) = (*kind, *urgency, Area::Urban);
            add(TicketEvent::TicketReclassified { kind, urgency, area, needs_visit: true, reason: reason() });
        }
    }
    for basis in ServiceBasis::ALL {
        add(TicketEvent::ServiceBasisCorrected { from: *basis, to: ServiceBasis::Paid, reason: reason() });
    }
    for clock in ClockKind::ALL {
        for rung in Rung::ALL {
            let notice = Notice {
                clock: *clock,
                cycle: u32::MAX,
                episode: u32::MAX,
                rung: *rung,
                repetition: u32::MAX,
            };
            add(TicketEvent::ExpediteNoticeSuperseded { notice });
        }
    }
    survives(events);
    for department in Department::ALL {
        let notice =
            Notice { clock: ClockKind::Response, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
        let issued = TicketEvent::ExpediteNoticeIssued {
            notice,
            due_at: at("08:00:00"),
            addressee: Party::Department(*department),
            informed: Vec::new(),
            informed_departments: vec![*department],
            late: false,
        };
        survives(vec![issued.into()]);
    }
}

#[test]
fn every_word_of_the_office_s_vocabularies_comes_back() {
    let mut events: Vec<Event> = Vec::new();
    for role in Role::ALL {
        let member = StaffMember {
            id: staff("T1"),
            name: name("技术员一"),
            role: *role,
            skills: vec![],
            areas: vec![],
        };
        events.push(BranchEvent::StaffAdmitted { member }.into());
    }
    for measure in [Measure::Wall, Measure::Working] {
        let limit = Limit { span: Span::recorded(Duration::from_nanos(1)).unwrap(), measure };
        let (kind, urgency, area) = (None, None, None);
        let customer_level = Some(CustomerLevel::Standard);
        let rule = LimitRule { clock: ClockKind::Response, limit, kind, urgency, customer_level, area };
        events.push(BranchEvent::BranchLimitsSet { limits: vec![rule] }.into());
    }
    for outcome in [Outcome::Delivered, Outcome::Failed(line("超时")), Outcome::GivenUp(line("410"))] {
        let (branch, channel) = (branch("B0"), ChannelId::new("webhook").unwrap());
        events.push(AlertEvent::AlertAttempted { branch, channel, attempt: 1, outcome }.into());
    }
    survives(events);
}

#[test]
fn every_reason_for_a_moved_deadline_comes_back() {
    let moved = samples().remove("DeadlineMoved").unwrap().full;
    let events = DeadlineReason::ALL.iter().map(|why| match moved.clone() {
        Event::Ticket(TicketEvent::DeadlineMoved { clock, cycle, limit, from, to, basis, .. }) => {
            TicketEvent::DeadlineMoved { clock, cycle, limit, from, to, reason: *why, basis }.into()
        }
        other => panic!("{other:?}"),
    });
    survives(events.collect());
}

#[test]
fn what_the_rules_of_today_refuse_is_read_where_it_was_recorded() {
    let recorded = |text: &str| Name::recorded(text.to_owned()).unwrap();
    let texts =
        ["两行\n型号", "制\t表", "\u{200b}", "\u{202e}WG53\u{202c}", " 前后空白 ", &"长".repeat(5_000)];
    let member = |text: &str| StaffMember {
        id: staff("T1"),
        name: recorded(text),
        role: Role::Technician,
        skills: vec![recorded(text)],
        areas: Vec::new(),
    };
    for text in texts {
        survives(vec![
            BranchEvent::StaffAdmitted { member: member(text) }.into(),
            CompanyEvent::ProductsListed { products: vec![recorded(text)] }.into(),
            TicketEvent::TicketCancelled { reason: Line::recorded(text.to_owned()).unwrap() }.into(),
        ]);
    }
    let phone = Phone::recorded("内线 12".to_owned()).unwrap();
    let mut registered = samples().remove("TicketRegistered").unwrap().full;
    match &mut registered {
        Event::Ticket(TicketEvent::TicketRegistered { customer, .. }) => customer.phone = phone,
        other => panic!("{other:?}"),
    }
    survives(vec![registered]);
}
