//! What a listener is told of a commit: which ticket, what kind of thing, when. No customer's data.

use cuiban_domain::ids::BranchId;
use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::{Event, Instant};
use cuiban_event_log::RecordedCommit;
use cuiban_event_schema::Commit;
use serde::Serialize;
use serde_json::Value;

/// One commit as a live event.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    /// The stream's id: a ticket, a branch, an alert.
    pub(super) id: String,
    /// The branch concerned; none for the whole company.
    branch: Option<String>,
    /// The stream's revision.
    revision: u64,
    /// When it happened.
    occurred_at: Instant,
    /// When it was recorded.
    recorded_at: Instant,
    /// What happened, by the names of `proto/`.
    events: Vec<String>,
    /// The notices among it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notices: Vec<Value>,
}

/// The name by which a listener tells messages apart, and the message.
pub(super) fn message(recorded: &RecordedCommit, commit: &Commit) -> (&'static str, Message) {
    let notices = notices(recorded, commit);
    let name = match recorded.stream.kind.as_str() {
        "ticket" if notices.is_empty() => "ticket",
        "ticket" => "notice",
        "alert" => "alert",
        _ => "organisation",
    };
    let branch = Some(recorded.route.branch.as_str()).filter(|branch| *branch != "_");
    let message = Message {
        id: recorded.stream.id.to_string(),
        branch: branch.map(str::to_owned),
        revision: commit.envelope.revision,
        occurred_at: commit.envelope.happened.occurred_at,
        recorded_at: commit.envelope.happened.recorded_at,
        events: names(recorded),
        notices,
    };
    (name, message)
}

fn notices(recorded: &RecordedCommit, commit: &Commit) -> Vec<Value> {
    let ticket = recorded.stream.id.as_str().parse().ok();
    let notice = |event: &Event| match event {
        Event::Ticket(TicketEvent::ExpediteNoticeIssued { notice, due_at, addressee, late, .. }) => {
            let id = ticket.map(|ticket| notice.id(ticket));
            Some(serde_json::json!({
                "id": id, "clock": notice.clock, "cycle": notice.cycle, "rung": notice.rung,
                "episode": notice.episode, "repetition": notice.repetition, "due_at": due_at, "addressee": addressee, "late": late,
            }))
        }
        _ => None,
    };
    commit.events.iter().filter_map(notice).collect()
}

fn names(recorded: &RecordedCommit) -> Vec<String> {
    let json = cuiban_event_schema::to_json(&recorded.payload).unwrap_or_default();
    let events = json.get("events").and_then(Value::as_array).into_iter().flatten();
    events.filter_map(|event| event.as_object()?.keys().next().cloned()).collect()
}

/// Whether a commit that came by the route of all transfers concerns this branch: it leaves it or comes to it.
pub(super) fn concerns(commit: &Commit, recorded: &RecordedCommit, branch: &BranchId) -> bool {
    let here = recorded.route.branch.as_str();
    here == branch.as_str()
        || here == "_"
        || commit.events.iter().any(
            |event| matches!(event, Event::Ticket(TicketEvent::TicketTransferred { to, .. }) if to == branch),
        )
}
