//! A whole log that a released build wrote, folded by the code of today.
//!
//! `tests/logs/<build>.export` is what `cuiban log export` gave: 25 simulated days (420 acts of the simulation's people, with all
//! faults), and lives made by hand with every text, phone and span that the build took, whatever later builds take. Beside it
//! stands what that build made of it: states, clocks with their due instants, notices with their ids. It is written with
//! `CUIBAN_WRITE_GOLDEN=1` where it is missing, by the build that wrote the log, and never again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cuiban_domain::sla::{Clock, ClockState};
use cuiban_domain::ticket::{Ticket, TicketEvent};
use cuiban_domain::{Aggregate, Event, Instant};
use cuiban_event_schema::{Chain, Commit, EncodeError, ExportReader, Exported, decode, encode};

/// The builds whose logs are kept.
const BUILDS: &[&str] = &["49de49f"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs").join(name)
}

/// What was told of a ticket, and what became of it.
#[derive(Default)]
struct Life {
    told: String,
    ticket: Ticket,
    commits: usize,
}

fn time(at: Option<Instant>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// What the registration tells, character by character.
fn told(event: &TicketEvent) -> Option<String> {
    let TicketEvent::TicketRegistered {
        number, kind, customer, product_model, serial_number, district, ..
    } = event
    else {
        return None;
    };
    let ascii = |text: &str| text.chars().flat_map(char::escape_unicode).collect::<String>();
    let serial_number = serial_number.as_ref().map_or("", |serial| serial.as_str());
    let district = district.as_ref().map_or("", |district| district.as_str());
    Some(format!(
        "{number} {kind} phone={} name={} model={} serial={} district={}",
        customer.phone,
        ascii(customer.name.as_str()),
        ascii(product_model.as_str()),
        ascii(serial_number),
        ascii(district)
    ))
}

fn state_of(clock: &Clock) -> String {
    match clock.state {
        ClockState::Running { due_at } => format!("running due={}", time(Some(due_at))),
        ClockState::Paused { since } => format!("paused since={}", time(Some(since))),
        ClockState::Met { at, late_recorded } => {
            format!("met at={} late_recorded={late_recorded}", time(Some(at)))
        }
        ClockState::Breached { due_at, ended_at } => {
            format!("breached due={} ended={}", time(Some(due_at)), time(ended_at))
        }
        ClockState::Cancelled => "cancelled".to_owned(),
    }
}

/// Everything that the build knew of its tickets, a line each, a clock and a notice each.
fn listed(export: &[u8]) -> String {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    let (mut reader, mut chain) = (ExportReader::new(export).unwrap(), Chain::default());
    while let Some(Exported::Commit(stored)) = reader.next_message().unwrap() {
        chain.check(&stored.stream_kind, &stored.stream_id, &stored.payload).unwrap();
        let Commit { envelope, events } = decode(&stored.payload).unwrap();
        if envelope.stream_kind != Ticket::KIND {
            continue;
        }
        let life = lives.entry(envelope.stream_id).or_default();
        life.commits += 1;
        for event in events {
            let Event::Ticket(event) = event else { continue };
            life.told.extend(told(&event));
            life.ticket.evolve(&event, envelope.happened);
        }
    }
    let mut list = String::new();
    for (id, Life { told, ticket, commits }) in lives {
        let id: cuiban_domain::ids::TicketId = id.parse().unwrap();
        let staff = |staff: &Option<cuiban_domain::ids::StaffId>| {
            staff.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        writeln!(
            list,
            "ticket {id} commits={commits} {:?} {:?} cycle={} branch={} visit={} technician={} handler={} responded={} paused={}",
            ticket.lifecycle,
            ticket.stage,
            ticket.cycle,
            ticket.branch().unwrap(),
            ticket.needs_visit,
            staff(&ticket.technician),
            staff(&ticket.handler),
            time(ticket.responded_at),
            time(ticket.paused_since),
        )
        .unwrap();
        writeln!(list, "  told {told}").unwrap();
        for clock in &ticket.clocks {
            writeln!(
                list,
                "  clock {} {} limit={}ns {:?} started={} consumed={}us since={} {}",
                clock.kind,
                clock.cycle,
                clock.limit.span.duration().as_nanos(),
                clock.limit.measure,
                time(Some(clock.started_at)),
                clock.consumed.as_micros(),
                time(Some(clock.running_since)),
                state_of(clock)
            )
            .unwrap();
            for notice in &clock.notices {
                writeln!(
                    list,
                    "    notice {} {} {} command={}",
                    notice.rung,
                    notice.repetition,
                    notice.id(id),
                    notice.command_id(id)
                )
                .unwrap();
            }
        }
    }
    list
}

/// What was written is written the same today, but what no commit may hold any more.
#[test]
fn every_commit_of_a_released_build_is_encoded_as_it_was_but_those_that_mix_a_notice_with_more() {
    for build in BUILDS {
        let export = fs::read(file(&format!("{build}.export"))).unwrap();
        let mut reader = ExportReader::new(&export).unwrap();
        let mut mixed = 0;
        while let Some(Exported::Commit(stored)) = reader.next_message().unwrap() {
            let Commit { envelope, events } = decode(&stored.payload).unwrap();
            match encode(&envelope, &events) {
                Ok(bytes) => assert_eq!(bytes, stored.payload, "{}", envelope.stream_id),
                Err(EncodeError::MixedWithNotice) => mixed += 1,
            }
        }
        assert!(mixed > 0, "{build}: no commit of the kind that is read only");
    }
}

#[test]
fn every_ticket_of_a_released_builds_log_is_what_that_build_knew() {
    for build in BUILDS {
        let listed = listed(&fs::read(file(&format!("{build}.export"))).unwrap());
        let path = file(&format!("{build}.txt"));
        if !path.exists() && env::var_os("CUIBAN_WRITE_GOLDEN").is_some() {
            fs::write(&path, &listed).unwrap();
        }
        let known = fs::read_to_string(path).unwrap();
        for (today, then) in listed.lines().zip(known.lines()) {
            assert_eq!(today, then, "{build}");
        }
        assert_eq!(listed.lines().count(), known.lines().count(), "{build}");
    }
}
