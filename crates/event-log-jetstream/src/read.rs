//! Reading one stream: batched direct gets, and the leader's word on what comes after them.

use async_nats::{HeaderMap, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cuiban_event_log::{Consistency, LogError, Position, RecordedCommit, StreamId, StreamVersion};
use futures::StreamExt;
use serde_json::json;

use crate::api::{Broker, CallError, StoredMessage, unavailable};
use crate::subject::Subjects;

const ATTEMPTED: &str = "read a stream";
const END_OF_BATCH: u16 = 204;
const NOT_FOUND: u16 = 404;

/// One batch of a stream, and whether more was there.
struct Page {
    commits: Vec<RecordedCommit>,
    more: bool,
}

/// All commits of a stream after a version.
///
/// Any replica may answer the batches: what it has is the beginning of what the leader has. For
/// [`Consistency::Leader`] the rest is asked of the leader, message by message, until it has no more.
pub(crate) async fn stream(
    broker: &Broker,
    stream: &StreamId,
    after: Option<StreamVersion>,
    consistency: Consistency,
) -> Result<Vec<RecordedCommit>, LogError> {
    let subject = broker.subjects.of_stream(stream);
    let mut last = after.map_or(0, StreamVersion::raw);
    let mut commits = Vec::new();
    loop {
        let page = page(broker, &subject, last.saturating_add(1)).await?;
        last = page.commits.last().map_or(last, |commit| commit.position.raw());
        commits.extend(page.commits);
        if !page.more {
            break;
        }
    }
    if consistency == Consistency::Leader {
        let next = |from| broker.next_message(from, &subject);
        while let Some(stored) =
            next(last.saturating_add(1)).await.map_err(|error| error.attempting(ATTEMPTED))?
        {
            last = stored.seq;
            commits.push(from_leader(&broker.subjects, &stored)?);
        }
    }
    Ok(commits)
}

async fn page(broker: &Broker, subject: &str, from: u64) -> Result<Page, LogError> {
    let failed = |error: cuiban_event_log::BoxError| unavailable(ATTEMPTED, error);
    if !broker.is_connected() {
        return Err(CallError::NotConnected.attempting(ATTEMPTED));
    }
    let inbox = broker.client.new_inbox();
    let mut answers = broker.client.subscribe(inbox.clone()).await.map_err(|error| failed(error.into()))?;
    let request =
        json!({ "seq": from, "next_by_subj": subject, "batch": broker.config.page_commits_max.max(1) });
    let api = format!("$JS.API.DIRECT.GET.{}", broker.config.stream);
    let asked = broker.client.publish_with_reply(api, inbox, Bytes::from(request.to_string())).await;
    asked.map_err(|error| failed(error.into()))?;
    let mut commits = Vec::new();
    loop {
        let answer = tokio::time::timeout(broker.config.request_timeout(), answers.next()).await;
        let message = match answer {
            Ok(Some(message)) => message,
            Ok(None) => return Err(failed("the connection was closed".into())),
            Err(late) => return Err(failed(late.into())),
        };
        match message.status.map(|status| status.as_u16()) {
            None => commits.push(from_replica(&broker.subjects, message)?),
            Some(END_OF_BATCH) => {
                let pending: u64 = number(message.headers.as_ref(), "Nats-Num-Pending").unwrap_or(0);
                return Ok(Page { more: pending > 0 && !commits.is_empty(), commits });
            }
            Some(NOT_FOUND) => return Ok(Page { commits, more: false }),
            Some(status) => return Err(failed(refused(status, message.description.as_deref()).into())),
        }
    }
}

fn refused(status: u16, description: Option<&str>) -> String {
    format!("the broker refuses: {status} {}", description.unwrap_or_default())
}

/// A number in a header.
pub(crate) fn number(headers: Option<&HeaderMap>, name: &str) -> Option<u64> {
    headers?.get(name)?.as_str().parse().ok()
}

fn from_replica(subjects: &Subjects, message: Message) -> Result<RecordedCommit, LogError> {
    let headers = message.headers.as_ref();
    let sequence = number(headers, "Nats-Sequence");
    let subject = headers.and_then(|headers| headers.get("Nats-Subject"));
    let (Some(sequence), Some(subject)) = (sequence, subject) else {
        return Err(damaged(ATTEMPTED, 0, "an answer without sequence or subject"));
    };
    commit(subjects, ATTEMPTED, sequence, subject.as_str(), message.payload)
}

fn from_leader(subjects: &Subjects, stored: &StoredMessage) -> Result<RecordedCommit, LogError> {
    let payload =
        STANDARD.decode(&stored.data).map_err(|error| damaged(ATTEMPTED, stored.seq, &error.to_string()))?;
    commit(subjects, ATTEMPTED, stored.seq, &stored.subject, Bytes::from(payload))
}

/// A stored message as a commit.
pub(crate) fn commit(
    subjects: &Subjects,
    attempted: &'static str,
    sequence: u64,
    subject: &str,
    payload: Bytes,
) -> Result<RecordedCommit, LogError> {
    let foreign = || damaged(attempted, sequence, &format!("{subject} is no commit's subject"));
    let (stream, route) = subjects.address(subject).ok_or_else(foreign)?;
    let (position, version) = (Position::from_raw(sequence), StreamVersion::from_raw(sequence));
    Ok(RecordedCommit { position, stream, version, route, payload })
}

fn damaged(attempted: &'static str, sequence: u64, detail: &str) -> LogError {
    LogError::Damaged { attempted, detail: format!("position {sequence}: {detail}") }
}
