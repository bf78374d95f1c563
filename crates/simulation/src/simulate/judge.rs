//! What must hold in the log when all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::ids::{CommandId, TicketId};
use cuiban_domain::sla::{ClockKind, Notice};
use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::{Event, Instant};
use cuiban_event_log::RecordedCommit;
use cuiban_event_schema::{Chain, Commit};

/// A command that was answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub ticket: TicketId,
    pub command: CommandId,
    pub revision: u64,
}

/// The verdict over a whole log.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub notices: usize,
    pub violations: Vec<String>,
}

type ClockId = (String, ClockKind, u32);

/// Folds the log by itself and compares it with the promises.
pub(crate) fn judge(log: &[RecordedCommit], acknowledged: &[Acknowledged], now: Instant) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut chain, mut recorded) = (Chain::default(), BTreeMap::new());
    let (mut running, mut issued): (BTreeMap<ClockId, Instant>, BTreeSet<(String, Notice)>) =
        Default::default();
    for stored in log {
        let (kind, id) = (stored.stream.kind.as_str(), stored.stream.id.as_str());
        if let Err(fault) = chain.check(kind, id, &stored.payload) {
            verdict.violations.push(format!("{}: {fault}", stored.stream));
        }
        let commit = match cuiban_event_schema::decode(&stored.payload) {
            Ok(commit) => commit,
            Err(error) => {
                verdict.violations.push(format!("{}: {error}", stored.stream));
                continue;
            }
        };
        let place = (commit.envelope.stream_id.clone(), commit.envelope.revision);
        if let Some(first) = recorded.insert(commit.envelope.commit_id, place.clone()) {
            verdict
                .violations
                .push(format!("{} is recorded at {first:?} and {place:?}", commit.envelope.commit_id));
        }
        for event in &commit.events {
            if let Event::Ticket(event) = event {
                verdict.take(&commit, event, &mut running, &mut issued);
            }
        }
    }
    for Acknowledged { ticket, command, revision } in acknowledged {
        if recorded.get(command) != Some(&(ticket.to_string(), *revision)) {
            verdict
                .violations
                .push(format!("{command}, acknowledged as revision {revision} of {ticket}, is lost"));
        }
    }
    for ((ticket, clock, cycle), due_at) in running.iter().filter(|(_, due_at)| **due_at < now) {
        verdict.violations.push(format!("{clock} #{cycle} of {ticket}, due at {due_at}, was never urged"));
    }
    verdict.notices = issued.len();
    verdict
}

impl Verdict {
    fn take(
        &mut self,
        commit: &Commit,
        event: &TicketEvent,
        running: &mut BTreeMap<ClockId, Instant>,
        issued: &mut BTreeSet<(String, Notice)>,
    ) {
        use TicketEvent as E;
        let ticket = commit.envelope.stream_id.as_str();
        let recorded_at = commit.envelope.happened.recorded_at;
        match event {
            E::ClockStarted { clock, cycle, due_at, .. } | E::ClockResumed { clock, cycle, due_at, .. } => {
                running.insert((ticket.to_owned(), *clock, *cycle), *due_at);
            }
            E::DeadlineMoved { clock, cycle, to: Some(due_at), .. } => {
                running.insert((ticket.to_owned(), *clock, *cycle), *due_at);
            }
            E::ClockMet { clock, cycle, .. }
            | E::ClockCancelled { clock, cycle, .. }
            | E::ClockPaused { clock, cycle, .. } => {
                running.remove(&(ticket.to_owned(), *clock, *cycle));
            }
            E::SlaBreached { clock, cycle, due_at } => {
                let had = running.remove(&(ticket.to_owned(), *clock, *cycle));
                let fault = (had != Some(*due_at))
                    .then(|| format!("{clock} #{cycle} of {ticket} broke a limit that it did not have"));
                self.violations.extend(fault);
            }
            E::ExpediteNoticeIssued { notice, due_at, .. } => {
                if recorded_at <= *due_at {
                    self.violations.push(format!(
                        "{notice:?} of {ticket}, due at {due_at}, was issued at {recorded_at}"
                    ));
                }
                if !issued.insert((ticket.to_owned(), *notice)) {
                    self.violations.push(format!("{notice:?} of {ticket} was issued twice"));
                }
            }
            _ => {}
        }
    }
}
