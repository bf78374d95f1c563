//! Our side of a round: `cuiban bench` itself, asked for one round of one row.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

/// What `cuiban bench --json` says of one round of one row, as far as it matters here.
pub(crate) struct Round {
    /// The machine, in its words.
    pub(crate) machine: Value,
    /// How long 4 KiB took to be synced just before, in microseconds.
    pub(crate) sync_us: f64,
    pub(crate) per_s: f64,
    pub(crate) limit_per_s: f64,
    pub(crate) notes: Vec<String>,
}

#[derive(Deserialize)]
struct Said {
    machine: Value,
    figures: Vec<Figure>,
}

#[derive(Deserialize)]
struct Figure {
    ours: Spread,
    limit: Limit,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct Limit {
    spread: Spread,
}

#[derive(Deserialize)]
struct Spread {
    median: f64,
}

/// Measures one round; nothing where the row needs a broker and there is none.
pub(crate) async fn round(cuiban: &Path, row: &str) -> anyhow::Result<Option<Round>> {
    let output = Command::new(cuiban)
        .args(["bench", "--rounds", "1", "--json", "--only", row])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("run {}", cuiban.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cuiban bench --only {row} failed: {complaint}");
    let said: Said = serde_json::from_slice(&output.stdout).context("read what cuiban bench says")?;
    let sync_us = Spread::deserialize(&said.machine["sync_us"]).context("read how long a sync takes")?.median;
    let round = |figure: Figure| Round {
        machine: said.machine,
        sync_us,
        per_s: figure.ours.median,
        limit_per_s: figure.limit.spread.median,
        notes: figure.notes,
    };
    ensure!(said.figures.len() <= 1, "cuiban bench has more than one row {row}");
    Ok(said.figures.into_iter().next().map(round))
}
