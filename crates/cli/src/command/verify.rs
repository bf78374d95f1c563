//! `cuiban log verify`: whether a log, or an exported one, is as it was written, and which commits are not.
//!
//! Each stream's revisions and chain of hashes are checked everywhere. The embedded log is also audited (pages, index,
//! positions, the seals from row to row), an exported one by the seals from record to record.

use std::path::Path;

use anyhow::anyhow;
use cuiban_domain::is_stream;
use cuiban_event_log::{Stored, StreamId};
use cuiban_event_log_sqlite::{AuditFault, Seal};
use cuiban_event_schema::proto::ExportedForeign;
use cuiban_event_schema::{Chain, CommitHash, ExportFault, ExportReader, Exported, hash, revision};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::log::{each_stored, read_all};
use crate::args::LogPlace;
use crate::exit::{Failure, OrFailure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::{Access, Place, open_log};

/// How many commits pass between two looks at the progress bar.
const COMMITS_PER_TICK: u64 = 1_024;

/// How many faults `log verify` prints one by one.
const FAULTS_TOLD_MAX: usize = 100;

/// A bad commit: where, which, and what is wrong. What cannot be told is left out.
#[derive(Debug, Default)]
struct Fault {
    position: Option<u64>,
    stream: Option<String>,
    revision: Option<u64>,
    /// Of its bytes.
    sha256: Option<CommitHash>,
    what: String,
}

#[derive(Debug, Default)]
struct Verdict {
    commits: u64,
    streams: usize,
    /// Messages that are none of ours: no fault of the log's.
    foreign: u64,
    /// Commits that cannot be read and that an operator passed over: known, and no fault any more.
    stepped_over: u64,
    faults: Vec<Fault>,
    /// The embedded log's last seal, or nothing.
    seal: Option<String>,
}

pub(super) async fn verify(
    place: &LogPlace,
    file: Option<&Path>,
    noted_seal: Option<&str>,
    settings: Settings,
    json: bool,
) -> Outcome {
    let mut verdict = match (file, Place::of(place, &settings)) {
        (Some(file), _) => exported(&read_all(file).or_usage()?)?,
        (None, Place::Embedded(config)) => embedded(&config, noted_seal)?,
        (None, Place::Nats(_)) if noted_seal.is_some() => {
            return Err(Failure::Usage(anyhow!("a log on NATS has no seals: leave out --seal")));
        }
        (None, Place::Nats(_)) => on_nats(place, settings).await?,
    };
    verdict.faults.sort_by_key(|fault| (fault.position.is_none(), fault.position));
    verdict.print(json)
}

/// By the port alone, as the broker keeps its own checksums.
async fn on_nats(place: &LogPlace, settings: Settings) -> Result<Verdict, Failure> {
    let log = open_log(place, settings, Access::Read).await?;
    let (mut chain, mut verdict) = (Chain::default(), Verdict::default());
    let found = each_stored(log.as_ref(), "校验 verify", |stored| {
        let commit = match stored {
            Stored::Commit(commit) => commit,
            Stored::Foreign(foreign) => {
                // It may count for a stream's version.
                let mut words = foreign.address.split('.');
                if let (Some(kind), Some(id)) = (words.next(), words.next()) {
                    chain.pass(kind, id, hash(&foreign.payload));
                }
                return Ok(());
            }
        };
        let StreamId { kind, id } = &commit.stream;
        let Err(fault) = chain.check(kind.as_str(), id.as_str(), &commit.payload) else { return Ok(()) };
        if is_stream(kind.as_str(), id.as_str()) {
            verdict.faults.push(Fault {
                position: Some(commit.position.raw()),
                stream: Some(commit.stream.to_string()),
                revision: revision(&commit.payload),
                sha256: Some(hash(&commit.payload)),
                what: fault.to_string(),
            });
        } else {
            verdict.foreign += 1;
            output::note(format_args!("外来 foreign: {} at position {}", commit.stream, commit.position));
        }
        Ok(())
    })
    .await?;
    (verdict.commits, verdict.streams) = (found.commits - verdict.foreign, chain.streams());
    verdict.foreign += found.foreign;
    verdict.leave_out_stepped_over(&chain);
    Ok(verdict)
}

fn embedded(config: &cuiban_event_log_sqlite::Config, noted_seal: Option<&str>) -> Result<Verdict, Failure> {
    let (mut chain, mut faults) = (Chain::default(), Vec::new());
    let noted_seal = noted_seal.map(str::parse::<Seal>).transpose().or_usage()?;
    let mut is_missing = noted_seal.is_some();
    let bar = output::progress("校验 verify", cuiban_event_log_sqlite::head(config)?.raw());
    let audit = cuiban_event_log_sqlite::audit(config, |commit| {
        tick(&bar, commit.position.raw());
        is_missing &= noted_seal != Some(commit.seal);
        let linked = chain.link(commit.stream_kind, commit.stream_id, commit.payload, commit.payload_hash);
        let said = revision(commit.payload);
        let what = match linked {
            Err(fault) => fault.to_string(),
            Ok(()) if said != Some(commit.revision) => {
                format!("stored as revision {}, but says another", commit.revision)
            }
            Ok(()) => return,
        };
        faults.push(Fault {
            position: Some(commit.position.raw()),
            stream: Some(format!("{}.{}", commit.stream_kind, commit.stream_id)),
            revision: Some(commit.revision),
            sha256: Some(commit.payload_hash),
            what,
        });
    })?;
    bar.finish_and_clear();
    let mut verdict = Verdict {
        commits: audit.commits,
        streams: chain.streams(),
        // Nobody but us writes into the file: what is none of ours breaks its seals.
        foreign: 0,
        stepped_over: 0,
        faults: Vec::new(),
        seal: Some(audit.seal.to_string()),
    };
    // The audit's words first: of two that name the same commit they say more.
    verdict.faults.extend(audit.faults.into_iter().map(Fault::from));
    verdict.faults.extend(faults);
    verdict.leave_out_stepped_over(&chain);
    if is_missing {
        let what = "the noted seal is nowhere in it: its end was cut off, or it is another log".to_owned();
        verdict.faults.push(Fault { what, ..Fault::default() });
    }
    Ok(verdict)
}

fn exported(bytes: &[u8]) -> Result<Verdict, Failure> {
    let mut reader = ExportReader::new(bytes).or_usage()?;
    let (mut chain, mut verdict) = (Chain::default(), Verdict::default());
    let bar = output::progress("校验 verify", bytes.len() as u64);
    let end = loop {
        let commit = match reader.next_message() {
            Ok(Some(Exported::Commit(commit))) => commit,
            Ok(Some(Exported::Foreign(ExportedForeign { position, address, .. }))) => {
                verdict.foreign += 1;
                bar.suspend(|| {
                    output::note(format_args!("外来 foreign: {address:?} at position {position}"))
                });
                continue;
            }
            Ok(None) => break None,
            Err(fault) => break Some(fault),
        };
        verdict.commits += 1;
        if verdict.commits % COMMITS_PER_TICK == 0 {
            bar.set_position((bytes.len() - reader.bytes_left()) as u64);
        }
        let linked =
            chain.link(&commit.stream_kind, &commit.stream_id, &commit.payload, hash(&commit.payload));
        if linked.is_err() && !is_stream(&commit.stream_kind, &commit.stream_id) {
            (verdict.commits, verdict.foreign) = (verdict.commits - 1, verdict.foreign + 1);
            bar.suspend(|| {
                output::note(format_args!("外来 foreign: {}.{}", commit.stream_kind, commit.stream_id))
            });
        } else if let Err(fault) = linked {
            verdict.faults.push(Fault {
                position: Some(reader.records()),
                stream: Some(format!("{}.{}", commit.stream_kind, commit.stream_id)),
                revision: revision(&commit.payload),
                sha256: Some(hash(&commit.payload)),
                what: fault.to_string(),
            });
        }
    };
    bar.finish_and_clear();
    verdict.streams = chain.streams();
    verdict.leave_out_stepped_over(&chain);
    verdict.faults.extend(end.map(|fault| Fault::of_export(&fault, reader.records())));
    Ok(verdict)
}

fn tick(bar: &ProgressBar, position: u64) {
    if position.is_multiple_of(COMMITS_PER_TICK) {
        bar.set_position(position);
    }
}

impl From<AuditFault> for Fault {
    fn from(fault: AuditFault) -> Self {
        let AuditFault { position, stream, revision, detail } = fault;
        let position = position.map(cuiban_event_log::Position::raw);
        Self { position, stream, revision, sha256: None, what: detail }
    }
}

impl Fault {
    /// The record after those that were read.
    fn of_export(fault: &ExportFault, read: u64) -> Self {
        let said = match fault {
            ExportFault::Seal { said, .. } => said.as_deref(),
            _ => None,
        };
        let source = std::error::Error::source(fault).map(|source| format!(": {source}"));
        Self {
            position: Some(read + 1),
            stream: said.map(|said| format!("{}.{}", said.stream_kind, said.stream_id)),
            revision: said.and_then(|said| revision(&said.payload)),
            sha256: None,
            what: format!("{fault}{}", source.unwrap_or_default()),
        }
    }

    fn as_json(&self) -> Value {
        json!({ "position": self.position, "stream": self.stream, "revision": self.revision, "fault": self.what })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_unknown = |told: Option<u64>| told.map_or_else(|| "?".to_owned(), |told| told.to_string());
        let stream = self.stream.as_deref().unwrap_or("?");
        write!(
            f,
            "position {} ({stream} revision {}): {}",
            or_unknown(self.position),
            or_unknown(self.revision),
            self.what
        )
    }
}

impl Verdict {
    fn leave_out_stepped_over(&mut self, chain: &Chain) {
        let before = self.faults.len();
        self.faults.retain(|fault| !fault.sha256.is_some_and(|sha256| chain.is_stepped_over(&sha256)));
        self.stepped_over = (before - self.faults.len()) as u64;
    }

    fn print(&self, json: bool) -> Outcome {
        let first = self.faults.first();
        if json {
            output::json(&json!({
                "commits": self.commits, "streams": self.streams, "foreign": self.foreign,
                "stepped_over": self.stepped_over, "faults": self.faults.len(),
                "first_fault": first.map(Fault::as_json), "seal": self.seal,
                "faulty": self.faults.iter().take(FAULTS_TOLD_MAX).map(Fault::as_json).collect::<Vec<_>>(),
            }))?;
        } else {
            let seal = self.seal.as_ref().map_or_else(String::new, |seal| format!(" · 封印 seal {seal}"));
            let (commits, streams, faults) = (self.commits, self.streams, self.faults.len());
            let foreign =
                if self.foreign > 0 { format!(" · 外来 foreign {}", self.foreign) } else { String::new() };
            let stepped_over = match self.stepped_over {
                0 => String::new(),
                count => format!(" · 已跳过 stepped over {count}"),
            };
            output::line(&format!(
                "提交 commits {commits} · 流 streams {streams}{foreign}{stepped_over} · 错误 faults {faults}{seal}"
            ))?;
        }
        if !json && self.faults.len() > 1 {
            self.faults
                .iter()
                .take(FAULTS_TOLD_MAX)
                .for_each(|fault| output::note(format_args!("错误 fault: {fault}")));
        }
        match first {
            Some(fault) => Err(Failure::Failed(anyhow!("the first bad commit is at {fault}"))),
            None => Ok(()),
        }
    }
}
