//! From a decision to the log and back.

use cuiban_domain::ids::{Actor, CommandId, CorrelationId};
use cuiban_domain::organisation::{Branch, Company, Organisation};
use cuiban_domain::ticket::Ticket;
use cuiban_domain::{Aggregate, Event, Happened, Instant};
use cuiban_event_schema::{Commit, Envelope, decode, encode, to_json, to_line};

/// What was decided can be recorded, read back, printed and folded, and is the same each time from then on.
pub fn assert_keeps(kind: &str, events: &[Event], occurred_at: Instant, recorded_at: Instant) {
    let envelope = Envelope {
        commit_id: CommandId(Default::default()),
        stream_kind: kind.to_owned(),
        stream_id: "1".to_owned(),
        revision: 1,
        actor: Actor::new("K1").expect("an id"),
        correlation_id: CorrelationId(Default::default()),
        causation_id: None,
        happened: Happened { occurred_at, recorded_at },
        previous_hash: None,
        request_fingerprint: 0,
    };
    let bytes = encode(&envelope, events).expect("a decision holds together");
    let commit = decode(&bytes).expect("a decision can be read back");
    // Times finer than the log's are cut once, and never again.
    assert_eq!(encode(&commit.envelope, &commit.events).as_ref(), Ok(&bytes));
    to_json(&bytes).expect("a decision can be printed");
    to_line(&bytes).expect("a decision can be printed");
    fold(&commit);
}

/// Folds a commit as everybody does. What was recorded, happened: no state of any aggregate can refuse it.
pub fn fold(commit: &Commit) {
    let happened = commit.envelope.happened;
    let (mut ticket, mut company, mut branch) = (Ticket::default(), Company::default(), Branch::default());
    let mut organisation = Organisation::default();
    for event in &commit.events {
        match event {
            Event::Ticket(event) => {
                ticket.evolve(event, happened);
                let _ = (
                    Ticket::class(std::slice::from_ref(event)),
                    Aggregate::branch(&ticket, std::slice::from_ref(event)),
                );
            }
            Event::Company(event) => {
                company.evolve(event, happened);
                organisation.apply_company(event, happened, commit.envelope.revision);
            }
            Event::Branch(event) => {
                branch.evolve(event, happened);
                if let Some(id) = branch.branch(std::slice::from_ref(event)) {
                    organisation.apply_branch(&id, event, happened, commit.envelope.revision);
                }
            }
            Event::Schedule(_) | Event::Numbering(_) | Event::Alert(_) | Event::SteppedOver(_) => {}
        }
    }
    for (id, _) in organisation.branches() {
        let view = organisation.branch(id).expect("it is listed");
        let _ = view.calendar.add(happened.recorded_at, std::time::Duration::from_secs(6 * 3600));
    }
}
