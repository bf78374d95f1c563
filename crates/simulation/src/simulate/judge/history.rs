//! The log, folded by the judge itself: chains, acknowledged commands, and the clocks of each ticket.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::BranchEvent;
use cuiban_domain::sla::Notice;
use cuiban_domain::ticket::{Ticket, TicketEvent};
use cuiban_domain::{Aggregate, Class, Event, Instant};
use cuiban_event_schema::{Chain, Commit};
use uuid::Uuid;

use super::Evidence;
use super::alerts::Alert;
use super::clocks::TicketClocks;
use super::rules::BranchRules;

/// How early a notice may really be, and how far ahead of the log's time anything may be recorded: what a clock may run
/// ahead before anybody minds.
const EARLY_MAX: TimeDelta = TimeDelta::milliseconds(1_000);
/// How far behind the log's time anything may be recorded: what a commit may be under way at worst.
const UNDER_WAY_MAX: TimeDelta = TimeDelta::seconds(90);
/// How long after faults have stopped what they held up is made up for, and how late a notice may be from then on: a slice
/// of others before it, and the settling of a late entry.
const MADE_UP_FOR_AFTER: TimeDelta = TimeDelta::hours(1);
const QUIET_LATE_MAX: TimeDelta = TimeDelta::seconds(6);
/// How late a notice may be when all is well: a late entry is left to settle, and so is a watchdog's own work.
const LATE_MAX: TimeDelta = TimeDelta::minutes(2);

/// What the log says.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) notices: usize,
    pub(super) alerts: Vec<Alert>,
    pub(super) violations: Vec<String>,
    branches: BTreeMap<BranchId, BranchRules>,
    tickets: BTreeMap<String, TicketClocks>,
    issued: BTreeSet<(String, Notice)>,
}

pub(super) fn read(evidence: &Evidence<'_>) -> History {
    let mut history = History::default();
    let (mut chain, mut recorded) = (Chain::default(), BTreeMap::new());
    for (stored, stored_at) in evidence.commits.iter().zip(evidence.stored_at) {
        let stream = &stored.stream;
        if let Err(fault) = chain.check(stream.kind.as_str(), stream.id.as_str(), &stored.payload) {
            history.violations.push(format!("{stream}: {fault}"));
        }
        let commit = match cuiban_event_schema::decode(&stored.payload) {
            Ok(commit) => commit,
            Err(error) => {
                history.violations.push(format!("{stream}: {error}"));
                continue;
            }
        };
        let place = (commit.envelope.stream_id.clone(), commit.envelope.revision);
        if let Some(first) = recorded.insert(commit.envelope.commit_id, place.clone()) {
            let id = commit.envelope.commit_id;
            history.violations.push(format!("{id} is recorded at {first:?} and {place:?}"));
        }
        let recorded_at = commit.envelope.happened.recorded_at;
        if !(*stored_at - UNDER_WAY_MAX..=*stored_at + EARLY_MAX).contains(&recorded_at) {
            history.violations.push(format!("{stream}: recorded as of {recorded_at}, really {stored_at}"));
        }
        history.take(&commit, *stored_at, evidence.quiet_since + MADE_UP_FOR_AFTER);
    }
    for known in evidence.acknowledged {
        if recorded.get(&known.command) != Some(&(known.stream.clone(), known.revision)) {
            history.violations.push(format!("{known:?} was acknowledged, and the log has it not there"));
        }
    }
    for (ticket, clocks) in &history.tickets {
        let faults = clocks.at_rest(&history.branches, evidence.judged_at - LATE_MAX);
        history.violations.extend(faults.into_iter().map(|fault| format!("ticket {ticket}: {fault}")));
    }
    history.notices = history.issued.len();
    history
}

fn ticket_events(commit: &Commit) -> Vec<TicketEvent> {
    commit.events.iter().filter_map(|event| event.clone().try_into().ok()).collect()
}

impl History {
    fn take(&mut self, commit: &Commit, stored_at: Instant, all_is_well_since: Instant) {
        let id = commit.envelope.stream_id.as_str();
        let mut of_a_ticket = false;
        for event in &commit.events {
            match event {
                Event::Alert(_) => {
                    self.violations.push(format!("alert {id} is recorded in the log"));
                }
                Event::Branch(event) => self.organise(id, event, commit.envelope.revision),
                Event::Ticket(event) => {
                    of_a_ticket = true;
                    let ticket = self.tickets.entry(id.to_owned()).or_default();
                    let faults = ticket.take(event, &commit.envelope.happened, &self.branches);
                    self.violations.extend(faults.into_iter().map(|fault| format!("ticket {id}: {fault}")));
                    self.take_alert(commit, event, stored_at, all_is_well_since);
                }
                _ => {}
            }
        }
        if Ticket::class(&ticket_events(commit)) == Class::Expedite && commit.events.len() != 2 {
            self.violations
                .push(format!("ticket {id}: more than a breach and its notice in {:?}", commit.events));
        }
        if let (true, Some(ticket)) = (of_a_ticket, self.tickets.get_mut(id)) {
            let faults = ticket.after_commit();
            self.violations.extend(faults.into_iter().map(|fault| format!("ticket {id}: {fault}")));
        }
    }

    fn organise(&mut self, id: &str, event: &BranchEvent, revision: u64) {
        let Ok(branch) = BranchId::new(id) else { return };
        self.branches.entry(branch).or_insert_with(BranchRules::opened).change(event, revision);
    }

    fn take_alert(
        &mut self,
        commit: &Commit,
        event: &TicketEvent,
        stored_at: Instant,
        all_is_well_since: Instant,
    ) {
        let id = commit.envelope.stream_id.as_str();
        let Ok(ticket) = id.parse::<TicketId>() else { return };
        match event {
            TicketEvent::ExpediteNoticeIssued { notice, due_at, .. } => {
                let recorded_at = commit.envelope.happened.recorded_at;
                if recorded_at <= *due_at || stored_at + EARLY_MAX <= *due_at {
                    self.violations.push(format!(
                        "ticket {id}: {notice:?}, due at {due_at}, was issued at {recorded_at}, really {stored_at}"
                    ));
                }
                if *due_at > all_is_well_since && stored_at - *due_at > QUIET_LATE_MAX {
                    self.violations.push(format!(
                        "ticket {id}: {notice:?}, due at {due_at}, was late without a reason, at {stored_at}"
                    ));
                }
                if !self.issued.insert((id.to_owned(), *notice)) {
                    self.violations.push(format!("ticket {id}: {notice:?} was issued twice"));
                }
                self.alerts.push(Alert { id: notice.id(ticket).0, stored_at, superseded: false });
            }
            TicketEvent::ExpediteNoticeSuperseded { notice } => {
                let id = notice.id(ticket).0;
                self.alerts
                    .iter_mut()
                    .filter(|alert| alert.id == id)
                    .for_each(|alert| alert.superseded = true);
            }
            TicketEvent::EmergencyRaised { .. } => {
                let name = format!("emergency/{}", commit.envelope.revision);
                let id = Uuid::new_v5(&ticket.0, name.as_bytes());
                self.alerts.push(Alert { id, stored_at, superseded: false });
            }
            _ => {}
        }
    }
}
