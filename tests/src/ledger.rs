//! The log as a supervisor would read it, and what must hold in it.

use std::collections::{BTreeSet, HashSet};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

use crate::Acknowledged;
use crate::book::{Book, Recorded};

/// How long what is due may take to be in the log.
const PATIENCE: Duration = Duration::from_secs(120);
/// The actor of what the clients asked for.
const CLIENT: &str = "anonymous";

/// Everything that `cuiban log tail` tells.
#[derive(Debug)]
pub struct Ledger {
    _tail: Child,
    lines: Lines<BufReader<ChildStdout>>,
    book: Book,
}

impl Ledger {
    /// Follows the log at `place`: `--data DIR` or `--nats URL`.
    pub async fn follow(place: &[&str]) -> Result<Self> {
        let mut command = Command::new(crate::binary()?);
        command.args(["log", "tail", "--json", "--after", "0"]).args(place);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut tail = command.spawn()?;
        let lines = BufReader::new(tail.stdout.take().context("a pipe")?).lines();
        Ok(Self { _tail: tail, lines, book: Book::default() })
    }

    /// Reads on until every one of these commands is there and every clock that runs has been urged.
    pub async fn until_settled(&mut self, acknowledged: &[Acknowledged]) -> Result<()> {
        let awaited = acknowledged.iter().map(|one| one.commit_id);
        let mut awaited: HashSet<Uuid> = awaited.filter(|id| !self.book.commits.contains_key(id)).collect();
        let settled = async {
            while !awaited.is_empty() || !self.book.running.is_empty() {
                let line = self.lines.next_line().await?.context("the tail goes on")?;
                awaited.remove(&self.book.take(&serde_json::from_str(&line)?)?);
            }
            Ok(())
        };
        if let Ok(settled) = tokio::time::timeout(PATIENCE, settled).await {
            return settled;
        }
        let lost: Vec<_> = acknowledged.iter().filter(|one| awaited.contains(&one.commit_id)).collect();
        anyhow::bail!("never urged: {:?}; acknowledged and lost: {lost:?}", self.book.running)
    }

    /// What must not be: a commit or a notice twice, a revision left out, a notice early or for a limit that was kept
    /// (found since this was asked last), and any of these commands that does not stand where its answer said.
    pub fn take_violations(&mut self, acknowledged: &[Acknowledged]) -> Vec<String> {
        self.book.take_violations(acknowledged)
    }

    /// The last position that was read.
    pub fn position(&self) -> u64 {
        self.book.position
    }

    /// How many commits were read.
    pub fn commits(&self) -> usize {
        self.book.commits.len()
    }

    /// The tickets that were registered.
    pub fn tickets(&self) -> BTreeSet<String> {
        let ticket = |stream: &String| stream.strip_prefix("ticket/").map(str::to_owned);
        self.book.revisions.keys().filter_map(ticket).collect()
    }

    /// How many notices went out.
    pub fn notices(&self) -> usize {
        self.book.notices.len()
    }

    /// The longest that a notice came after its due instant, since this was asked last.
    pub fn take_latest(&mut self) -> TimeDelta {
        std::mem::replace(&mut self.book.latest, TimeDelta::zero())
    }

    /// How many commits of tickets clients asked for.
    pub fn asked_by_clients(&self) -> usize {
        let asked = |commit: &&Recorded| commit.actor == CLIENT && commit.stream.starts_with("ticket/");
        self.book.commits.values().filter(asked).count()
    }
}

/// What `cuiban log verify` says of the log at a place.
pub async fn verify(place: &[&str]) -> Result<Value> {
    let mut command = Command::new(crate::binary()?);
    let output = command.args(["log", "verify", "--json"]).args(place).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("verify {place:?}: {said}"))
}
