//! What the log tells, folded by rules of our own: a judge that shares no line with what it judges.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::Acknowledged;

/// Which clock of which ticket, in which cycle.
type ClockId = (String, String, u64);

/// Where a commit is.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) stream: String,
    pub(crate) revision: u64,
    pub(crate) position: u64,
    pub(crate) actor: String,
}

/// Commits as they were told, and what must not be among them.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) commits: HashMap<Uuid, Recorded>,
    /// The highest revision of each stream.
    pub(crate) revisions: BTreeMap<String, u64>,
    /// The due instant of each clock that runs.
    pub(crate) running: BTreeMap<ClockId, DateTime<Utc>>,
    /// Every notice's identity.
    pub(crate) notices: BTreeSet<(ClockId, String, u64)>,
    /// The longest that a notice came after its due instant.
    pub(crate) latest: TimeDelta,
    pub(crate) position: u64,
    faults: Vec<String>,
}

impl Book {
    /// What must not be: a commit or a notice twice, a revision left out, a notice early or for a limit that was kept
    /// (found since this was asked last), and any of these commands that does not stand where its answer said.
    pub(crate) fn take_violations(&mut self, acknowledged: &[Acknowledged]) -> Vec<String> {
        let mut violations = std::mem::take(&mut self.faults);
        for one in acknowledged {
            let stands = self.commits.get(&one.commit_id).is_some_and(|commit| {
                let of_its_stream = commit.stream.split_once('/').is_some_and(|(_, id)| id == one.id);
                of_its_stream && commit.revision == one.revision && commit.position == one.position
            });
            if !stands {
                let found = self.commits.get(&one.commit_id);
                violations.push(format!("acknowledged: {one:?}, in the log: {found:?}"));
            }
        }
        violations
    }

    /// Folds one commit; answers its id.
    pub(crate) fn take(&mut self, commit: &Value) -> Result<Uuid> {
        let text = |name: &str| {
            commit[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {commit}"))
        };
        let stream = format!("{}/{}", text("stream_kind")?, text("stream_id")?);
        let revision = commit["revision"].as_u64().context("a revision")?;
        let position = commit["position"].as_u64().context("a position")?;
        if position <= self.position {
            self.faults.push(format!("position {position} after {}", self.position));
        }
        self.position = position;
        let recorded = Recorded { stream: stream.clone(), revision, position, actor: text("actor")? };
        let commit_id = text("commit_id")?.parse()?;
        if let Some(before) = self.commits.insert(commit_id, recorded) {
            self.faults.push(format!("commit {commit_id} at {position} and before that: {before:?}"));
        }
        let last = self.revisions.insert(stream.clone(), revision).unwrap_or(0);
        if revision != last + 1 {
            self.faults.push(format!("{stream}: revision {revision} after {last}"));
        }
        let recorded_at: DateTime<Utc> = text("recorded_at")?.parse()?;
        for event in commit["events"].as_array().into_iter().flatten() {
            for (name, fields) in event.as_object().into_iter().flatten() {
                self.take_event(&stream, name, fields, recorded_at)?;
            }
        }
        Ok(commit_id)
    }

    fn take_event(
        &mut self,
        stream: &str,
        name: &str,
        fields: &Value,
        recorded_at: DateTime<Utc>,
    ) -> Result<()> {
        let place = if name == "expedite_notice_issued" { &fields["notice"] } else { fields };
        let clock = || -> Result<ClockId> {
            let kind = place["clock"].as_str().with_context(|| format!("a clock in {name} {fields}"))?;
            Ok((stream.to_owned(), kind.to_owned(), place["cycle"].as_u64().unwrap_or(0)))
        };
        match name {
            "clock_started" => {
                let due_at = fields["due_at"].as_str().context("a due instant")?.parse()?;
                self.running.insert(clock()?, due_at);
            }
            "clock_met" | "clock_cancelled" => {
                self.running.remove(&clock()?);
            }
            "expedite_notice_issued" => {
                let rung = place["rung"].as_str().unwrap_or_default();
                self.take_notice(&clock()?, rung, place["repetition"].as_u64().unwrap_or(0), recorded_at);
            }
            _ => {}
        }
        Ok(())
    }

    fn take_notice(&mut self, clock: &ClockId, rung: &str, repetition: u64, recorded_at: DateTime<Utc>) {
        match self.running.remove(clock) {
            Some(due_at) if recorded_at <= due_at => {
                self.faults.push(format!("{clock:?} was urged at {recorded_at}, before {due_at}"));
            }
            Some(due_at) => self.latest = self.latest.max(recorded_at - due_at),
            None => self.faults.push(format!("{clock:?} was urged though it did not run")),
        }
        if !self.notices.insert((clock.clone(), rung.to_owned(), repetition)) {
            self.faults.push(format!("notice twice: {clock:?} {rung} {repetition}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stopwatch::now;

    fn id(number: u128) -> String {
        Uuid::from_u128(number).to_string()
    }

    /// The commit at a position, which is its number too.
    fn commit(position: u64, revision: u64, recorded_at: &str, events: &Value) -> Value {
        json!({
            "stream_kind": "ticket", "stream_id": "t1", "revision": revision, "position": position,
            "commit_id": id(position.into()), "actor": "anonymous", "recorded_at": recorded_at, "events": events,
        })
    }

    fn begun() -> Value {
        let started = json!([{ "clock_started": { "clock": "response", "cycle": 1, "due_at": "2026-03-02T09:00:00Z" } }]);
        commit(1, 1, "2026-03-02T08:00:00Z", &started)
    }

    fn urged(position: u64, revision: u64, recorded_at: &str) -> Value {
        let notice = json!({ "clock": "response", "cycle": 1, "rung": "breach", "repetition": 0 });
        commit(position, revision, recorded_at, &json!([{ "expedite_notice_issued": { "notice": notice } }]))
    }

    fn violations(commits: &[Value], acknowledged: &[Acknowledged]) -> Vec<String> {
        let mut book = Book::default();
        for commit in commits {
            book.take(commit).expect("a commit");
        }
        book.take_violations(acknowledged)
    }

    fn told(commit_id: u128, revision: u64, position: u64) -> Acknowledged {
        let commit_id = Uuid::from_u128(commit_id);
        Acknowledged {
            id: "t1".to_owned(),
            commit_id,
            revision,
            position,
            sent_at: now(),
            answered_at: now(),
        }
    }

    #[test]
    fn a_log_as_it_should_be_is_not_found_fault_with() {
        let log = [begun(), urged(2, 2, "2026-03-02T09:00:00.000001Z")];
        assert_eq!(violations(&log, &[told(1, 1, 1)]), Vec::<String>::new());
    }

    #[test]
    fn whatever_breaks_a_promise_is_found() {
        let due = "2026-03-02T09:00:00Z";
        let late = "2026-03-02T09:00:01Z";
        let kept = commit(2, 2, late, &json!([{ "clock_met": { "clock": "response", "cycle": 1 } }]));
        let mut doubled = commit(2, 2, late, &json!([]));
        doubled["commit_id"] = json!(id(1));
        let broken: [(&str, Vec<Value>, Vec<Acknowledged>); 8] = [
            ("early", vec![begun(), urged(2, 2, due)], vec![]),
            ("twice", vec![begun(), urged(2, 2, late), urged(3, 3, late)], vec![]),
            ("kept", vec![begun(), kept, urged(3, 3, late)], vec![]),
            ("a commit twice", vec![begun(), doubled], vec![]),
            ("a revision left out", vec![begun(), urged(2, 3, late)], vec![]),
            ("a position again", vec![begun(), urged(1, 2, late)], vec![]),
            ("lost", vec![begun()], vec![told(7, 1, 1)]),
            ("elsewhere", vec![begun()], vec![told(1, 1, 2)]),
        ];
        for (what, log, acknowledged) in broken {
            assert!(!violations(&log, &acknowledged).is_empty(), "{what}");
        }
    }
}
