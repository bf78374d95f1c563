//! The log as a supervisor would read it, and what must hold in it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::Acknowledged;

/// How long what is due may take to be in the log.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which clock of which ticket, in which cycle.
type ClockId = (String, String, u64);

/// Everything that `cuiban log tail` tells, folded.
#[derive(Debug)]
pub struct Ledger {
    _tail: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Every commit id, with how often it was seen.
    commits: BTreeMap<String, usize>,
    /// The highest revision of each stream.
    revisions: BTreeMap<String, u64>,
    /// The due instant of each clock that runs.
    running: BTreeMap<ClockId, DateTime<Utc>>,
    /// Every notice's identity, with how often it was seen.
    notices: BTreeMap<(ClockId, String, u64), usize>,
    faults: Vec<String>,
    position: u64,
}

impl Ledger {
    /// Follows the log at `place`: `--data DIR` or `--nats URL`.
    pub async fn follow(place: &[&str]) -> Result<Self> {
        let mut command = Command::new(crate::binary()?);
        command.args(["log", "tail", "--json", "--after", "0"]).args(place);
        let mut tail = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(tail.stdout.take().context("a pipe")?).lines();
        Ok(Self {
            _tail: tail,
            lines,
            commits: BTreeMap::new(),
            revisions: BTreeMap::new(),
            running: BTreeMap::new(),
            notices: BTreeMap::new(),
            faults: Vec::new(),
            position: 0,
        })
    }

    /// Reads on until every one of these commands is there and every clock that runs has been urged.
    pub async fn until_settled(&mut self, acknowledged: &[Acknowledged]) -> Result<()> {
        let settled = async {
            while !self.running.is_empty() || !self.has(acknowledged) {
                let line = self.lines.next_line().await?.context("the tail goes on")?;
                self.take(&serde_json::from_str(&line)?)?;
            }
            Ok(())
        };
        let in_time = tokio::time::timeout(PATIENCE, settled).await;
        in_time.with_context(|| format!("{} clocks were never urged", self.running.len()))?
    }

    /// The last position that was read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The tickets that were registered.
    pub fn tickets(&self) -> BTreeSet<String> {
        let ticket = |stream: &String| stream.strip_prefix("ticket/").map(str::to_owned);
        self.revisions.keys().filter_map(ticket).collect()
    }

    /// How many notices went out.
    pub fn notices(&self) -> usize {
        self.notices.len()
    }

    /// What must hold: each commit once, each notice once, none early, none for a limit that was kept.
    pub fn check(&self) -> Result<()> {
        ensure!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        let doubled: Vec<_> = self.commits.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(doubled.is_empty(), "commits twice: {doubled:?}");
        let doubled: Vec<_> = self.notices.iter().filter(|(_, count)| **count > 1).collect();
        ensure!(doubled.is_empty(), "notices twice: {doubled:?}");
        Ok(())
    }

    fn has(&self, acknowledged: &[Acknowledged]) -> bool {
        acknowledged.iter().all(|command| {
            self.revisions
                .get(&format!("ticket/{}", command.ticket))
                .is_some_and(|last| *last >= command.revision)
        })
    }

    fn take(&mut self, commit: &Value) -> Result<()> {
        let text = |name: &str| {
            commit[name].as_str().map(str::to_owned).with_context(|| format!("{name} in {commit}"))
        };
        let stream = format!("{}/{}", text("stream_kind")?, text("stream_id")?);
        let revision = commit["revision"].as_u64().context("a revision")?;
        self.position = commit["position"].as_u64().context("a position")?;
        *self.commits.entry(text("commit_id")?).or_default() += 1;
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
        Ok(())
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
                let clock = clock()?;
                match self.running.remove(&clock) {
                    Some(due_at) if recorded_at <= due_at => {
                        self.faults.push(format!("{clock:?} was urged at {recorded_at}, before {due_at}"));
                    }
                    Some(_) => {}
                    None => self.faults.push(format!("{clock:?} was urged though it did not run")),
                }
                let rung = place["rung"].as_str().unwrap_or_default().to_owned();
                let identity = (clock, rung, place["repetition"].as_u64().unwrap_or(0));
                *self.notices.entry(identity).or_default() += 1;
            }
            _ => {}
        }
        Ok(())
    }
}
