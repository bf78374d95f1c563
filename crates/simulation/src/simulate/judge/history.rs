//! The log, folded by the judge itself: chains, acknowledged commands, and the clocks of each ticket.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use cuiban_domain::ids::{BranchId, CommandId, TicketId};
use cuiban_domain::organisation::BranchEvent;
use cuiban_domain::sla::Notice;
use cuiban_domain::ticket::{Ticket, TicketEvent};
use cuiban_domain::{Aggregate, Class, Event, Instant};
use cuiban_event_log::{RecordedCommit, Stored};
use cuiban_event_schema::{Chain, Commit};
use uuid::Uuid;

use super::Evidence;
use super::alerts::Alert;
use super::clocks::TicketClocks;
use super::rules::BranchRules;

/// The kinds of streams into which something is put that nobody can read.
const KINDS: [&str; 4] = ["ticket", "branch", "numbering", "schedule"];

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
    unreadable: Unreadable,
}

/// What cannot be read and was not stepped over yet, by stream.
#[derive(Debug, Default)]
struct Unreadable(BTreeMap<String, Vec<(u64, [u8; 32])>>);

impl Unreadable {
    fn find(&mut self, stream: &str, stored: &Stored) {
        self.0.entry(stream.to_owned()).or_default().push((stored.position().raw(), stored.sha256()));
    }

    /// Whether a commit may follow in a stream: it steps over what stands there.
    fn may_follow(&mut self, stream: &str, commit: &Commit) -> bool {
        let Some(unreadable) = self.0.get_mut(stream) else { return true };
        let before = unreadable.len();
        for step in commit.events.iter().filter_map(Event::steps_over) {
            unreadable.retain(|one| *one != step);
        }
        before == 0 || unreadable.len() < before
    }

    fn left(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flat_map(|(stream, left)| {
            left.iter().map(move |(position, _)| format!("{stream}: {position} was never stepped over"))
        })
    }
}

/// The alerts of commits that the log does not have any more, and those of notices superseded in them.
pub(super) fn alerts_of(lost: &[RecordedCommit]) -> BTreeSet<Uuid> {
    let mut history = History::default();
    let mut superseded = BTreeSet::new();
    for commit in lost.iter().filter_map(|lost| cuiban_event_schema::decode(&lost.payload).ok()) {
        let Ok(ticket) = commit.envelope.stream_id.parse::<TicketId>() else { continue };
        for event in ticket_events(&commit) {
            let recorded_at = commit.envelope.happened.recorded_at;
            history.take_alert(&commit, &event, recorded_at, recorded_at);
            if let TicketEvent::ExpediteNoticeSuperseded { notice } = event {
                superseded.insert(notice.id(ticket).0);
            }
        }
    }
    history.alerts.iter().map(|alert| alert.id).chain(superseded).collect()
}

/// The tickets of a log, with nothing judged.
pub(super) fn tickets_of(stored: &[Stored]) -> Vec<TicketClocks> {
    let mut history = History::default();
    for stored in stored {
        let Stored::Commit(stored) = stored else { continue };
        let Ok(commit) = cuiban_event_schema::decode(&stored.payload) else { continue };
        let recorded_at = commit.envelope.happened.recorded_at;
        history.take(&commit, recorded_at, recorded_at);
    }
    history.tickets.into_values().collect()
}

pub(super) fn read(evidence: &Evidence<'_>) -> History {
    let mut history = History::default();
    let (mut chain, mut recorded) = (Chain::default(), BTreeMap::new());
    for (stored, stored_at) in evidence.stored.iter().zip(evidence.stored_at) {
        let is_intruded = evidence.intruded.contains(&stored.sha256());
        let stored = match stored {
            Stored::Commit(commit) if !is_intruded => commit,
            intruded => {
                if let Some((kind, id)) = stream_of(intruded) {
                    chain.pass(&kind, &id, intruded.sha256());
                    history.unreadable.find(&format!("{kind}/{id}"), intruded);
                }
                continue;
            }
        };
        let stream = &stored.stream;
        let (kind, id) = (stream.kind.as_str(), stream.id.as_str());
        if let Err(fault) = chain.check(kind, id, &stored.payload) {
            history.violations.push(format!("{stream}: {fault}"));
        }
        let commit = match cuiban_event_schema::decode(&stored.payload) {
            Ok(commit) => commit,
            Err(error) => {
                history.violations.push(format!("{stream}: {error}"));
                continue;
            }
        };
        if !history.unreadable.may_follow(&format!("{kind}/{id}"), &commit) {
            let position = stored.position;
            history.violations.push(format!("{stream}: {position} follows what nobody can read"));
        }
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
    history.violations.extend(history.unreadable.left());
    let lost: BTreeSet<CommandId> = evidence
        .lost
        .iter()
        .filter_map(|lost| cuiban_event_schema::decode(&lost.payload).ok())
        .map(|commit| commit.envelope.commit_id)
        .collect();
    for known in evidence.acknowledged.iter().filter(|known| !lost.contains(&known.command)) {
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

/// The stream in which a message counts, if it counts in one.
fn stream_of(stored: &Stored) -> Option<(String, String)> {
    match stored {
        Stored::Commit(commit) => Some((commit.stream.kind.to_string(), commit.stream.id.to_string())),
        Stored::Foreign(foreign) => {
            let mut words = foreign.address.split('.').map(ToOwned::to_owned);
            let (kind, id) = (words.next()?, words.next()?);
            KINDS.contains(&kind.as_str()).then_some((kind, id))
        }
    }
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
