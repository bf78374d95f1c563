//! `cuiban log`: follow it, check it, carry it to another place, read one message of it.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use cuiban_domain::is_stream;
use cuiban_event_log::{
    Append, EventLog, Expected, Filter, Foreign, Pattern, Position, RecordedCommit, Route, Stored, StreamId,
    StreamVersion, Token,
};
use cuiban_event_schema::proto::{ExportedCommit, ExportedForeign};
use cuiban_event_schema::{
    Chain, EXPORT_MAGIC, ExportReader, ExportWriter, Exported, commit_id, decode_stored, hash, to_json,
    to_line,
};
use serde_json::json;
use uuid::Uuid;

use super::runtime;
use super::step_over::StepOver;
use super::verify::verify;
use crate::args::{Log, LogPlace, LogWhat};
use crate::exit::{Failure, OrFailure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::{Access, open_log};

/// How many commits a tail begins with.
const TAIL_COMMITS: u64 = 20;
/// How many commits are taken from the log at a time.
const BATCH_COMMITS_MAX: usize = 1024;

pub(crate) fn run(args: Log, settings: Settings) -> Outcome {
    match args.what {
        LogWhat::Decode { file, json } => decode(&file, json),
        LogWhat::Tail { place, after, branch, class, no_follow, json } => {
            let tail = Tail { filter: filter(branch, class).or_usage()?, after, follow: !no_follow, json };
            runtime()?.block_on(async { tail.print(open_log(&place, settings, Access::Read).await?).await })
        }
        LogWhat::Verify { place, file, seal, json } => {
            runtime()?.block_on(verify(&place, file.as_deref(), seal.as_deref(), settings, json))
        }
        LogWhat::StepOver { place, position, reason, by, even_newer, next, json } => {
            let step = StepOver { position, reason, by, even_newer, next, json };
            runtime()?.block_on(async { step.run(open_log(&place, settings, Access::Write).await?).await })
        }
        LogWhat::Export { place, file } => runtime()?.block_on(export(&place, settings, &file)),
        LogWhat::Import { place, file, leave_out_foreign } => {
            runtime()?.block_on(import(&place, settings, &file, leave_out_foreign))
        }
    }
}

fn filter(branch: Option<String>, class: Option<String>) -> anyhow::Result<Filter> {
    if branch.is_none() && class.is_none() {
        return Ok(Filter::everything());
    }
    let (branch, class) = (branch.map(Token::new).transpose()?, class.map(Token::new).transpose()?);
    Ok(Filter { any_of: vec![Pattern { branch, class, ..Pattern::default() }] })
}

struct Tail {
    filter: Filter,
    after: Option<String>,
    follow: bool,
    json: bool,
}

impl Tail {
    async fn print(self, log: std::sync::Arc<dyn EventLog>) -> Outcome {
        let after = match self.after {
            Some(text) => text.parse().or_usage()?,
            None => Position::from_raw(log.head().await.or_unreachable()?.raw().saturating_sub(TAIL_COMMITS)),
        };
        let mut subscription = log.subscribe(self.filter, after).await.or_unreachable()?;
        while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
            let batch = batch.or_unreachable()?;
            let is_the_end = batch.caught_up && !self.follow;
            for stored in batch.into_stored() {
                output::line(&match stored {
                    Stored::Commit(commit) => commit_text(&commit, self.json),
                    Stored::Foreign(foreign) => foreign_text(&foreign, self.json),
                })?;
            }
            if is_the_end {
                break;
            }
        }
        Ok(())
    }
}

/// A line for a commit. Where this build cannot read it in its stream, the line says why, and shows its fields or bytes.
fn commit_text(commit: &RecordedCommit, json: bool) -> String {
    let RecordedCommit { position, stream, payload, .. } = commit;
    let (kind, id) = (stream.kind.as_str(), stream.id.as_str());
    match (decode_stored(kind, id, payload), json) {
        (Ok(_), true) => to_json(payload)
            .map(|mut commit| {
                commit["position"] = position.raw().into();
                commit.to_string()
            })
            .unwrap_or_default(),
        (Ok(_), false) => format!("{position:>8} {}", to_line(payload).unwrap_or_default()),
        (Err(error), true) => json!({
            "position": position, "stream": stream.to_string(), "error": error.to_string(),
            "readable": to_json(payload).ok(), "bytes": hex::encode(payload),
        })
        .to_string(),
        (Err(error), false) => {
            let readable = to_line(payload).unwrap_or_else(|_| hex::encode(payload));
            format!("{position:>8} (不可读 unreadable: {stream}: {error}) {readable}")
        }
    }
}

/// A line for a message that is none of ours. Its address is whatever somebody wrote.
fn foreign_text(foreign: &Foreign, json: bool) -> String {
    let Foreign { position, address, payload, .. } = foreign;
    let bytes = hex::encode(payload);
    match json {
        true => json!({ "position": position, "foreign": address, "bytes": bytes }).to_string(),
        false => format!("{position:>8} (外来 foreign: {address:?}) {bytes}"),
    }
}

fn decode(file: &Path, json: bool) -> Outcome {
    let bytes = read_all(file).or_usage()?;
    let readable = if json { to_json(&bytes).map(|json| json.to_string()) } else { to_line(&bytes) };
    Ok(output::line(&readable.or_usage()?)?)
}

pub(super) fn read_all(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(file).with_context(|| format!("read {}", file.display()))?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Everything that is stored, in order, with a progress bar; each message that is none of ours is said on stderr.
pub(super) async fn each_stored(
    log: &dyn EventLog,
    what: &'static str,
    mut take: impl FnMut(Stored) -> anyhow::Result<()>,
) -> Result<Found, Failure> {
    let bar = output::progress(what, log.head().await.or_unreachable()?.raw());
    let mut subscription = log.subscribe(Filter::everything(), Position::START).await.or_unreachable()?;
    let mut found = Found::default();
    while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
        let batch = batch.or_unreachable()?;
        let is_the_end = batch.caught_up;
        for stored in batch.into_stored() {
            bar.set_position(stored.position().raw());
            match &stored {
                Stored::Commit(_) => found.commits += 1,
                Stored::Foreign(foreign) => {
                    found.foreign += 1;
                    bar.suspend(|| output::note(format_args!("外来 foreign: {foreign}")));
                }
            }
            take(stored)?;
        }
        if is_the_end {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

/// How much a log has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) commits: u64,
    pub(super) foreign: u64,
}

async fn export(place: &LogPlace, settings: Settings, file: &Path) -> Outcome {
    let log = open_log(place, settings, Access::Read).await?;
    let to: Box<dyn Write> = if file == Path::new("-") {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(File::create_new(file).with_context(|| format!("write {}", file.display())).or_usage()?)
    };
    let mut to = BufWriter::new(to);
    to.write_all(EXPORT_MAGIC)?;
    let mut writer = ExportWriter::default();
    let Found { commits, foreign } = each_stored(log.as_ref(), "导出 export", |stored| {
        let record = match stored {
            Stored::Commit(commit) => writer.commit(ExportedCommit {
                stream_kind: commit.stream.kind.to_string(),
                stream_id: commit.stream.id.to_string(),
                branch: commit.route.branch.to_string(),
                class: commit.route.class.to_string(),
                payload: commit.payload.to_vec(),
            }),
            Stored::Foreign(foreign) => writer.foreign(ExportedForeign {
                position: foreign.position.raw(),
                address: foreign.address,
                payload: foreign.payload.to_vec(),
            }),
        };
        Ok(to.write_all(&record)?)
    })
    .await?;
    to.write_all(&writer.trailer())?;
    to.flush()?;
    let strange = if foreign > 0 { format!(" · 外来 foreign {foreign}") } else { String::new() };
    output::note(format_args!("导出 exported {commits}{strange}"));
    Ok(())
}

async fn import(place: &LogPlace, settings: Settings, file: &Path, leave_out_foreign: bool) -> Outcome {
    let bytes = read_all(file).or_usage()?;
    let commits = checked(&bytes, leave_out_foreign).or_usage()?;
    let log = open_log(place, settings, Access::Restore).await?;
    if log.head().await.or_unreachable()? != Position::START {
        return Err(Failure::Conflict(anyhow!("the log is not empty: import into a new one")));
    }
    let bar = output::progress("导入 import", commits.len() as u64);
    let mut versions: std::collections::HashMap<StreamId, StreamVersion> = std::collections::HashMap::new();
    for commit in commits {
        let stream = StreamId { kind: Token::new(commit.stream_kind)?, id: Token::new(commit.stream_id)? };
        let route = Route { branch: Token::new(commit.branch)?, class: Token::new(commit.class)? };
        let expected = versions.get(&stream).map_or(Expected::NoStream, |version| Expected::At(*version));
        // What was stepped over has none; nobody sends it again.
        let commit_id =
            commit_id(&commit.payload).unwrap_or_else(|| Uuid::new_v5(&Uuid::nil(), &commit.payload));
        let append =
            Append { stream: stream.clone(), expected, route, commit_id, payload: commit.payload.into() };
        let appended = log.append(append).await.or_unreachable()?;
        versions.insert(stream, appended.version);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Every commit in an export, if every chain and the trailer hold: nothing is imported by halves. No log takes a message
/// that is none of ours; a file that has one is refused unless it shall be left out.
fn checked(bytes: &[u8], leave_out_foreign: bool) -> anyhow::Result<Vec<ExportedCommit>> {
    let mut reader = ExportReader::new(bytes)?;
    let (mut chain, mut commits, mut bad) = (Chain::default(), Vec::new(), Vec::new());
    let leave_out = |what: &str| {
        ensure!(leave_out_foreign, "{what} is none of cuiban's: import the rest with --leave-out-foreign");
        output::note(format_args!("外来 left out: {what}"));
        Ok(())
    };
    while let Some(message) = reader.next_message()? {
        let commit = match message {
            Exported::Commit(commit) => commit,
            Exported::Foreign(ExportedForeign { position, address, .. }) => {
                leave_out(&format!("the message at position {position} ({address:?})"))?;
                continue;
            }
        };
        let ExportedCommit { stream_kind, stream_id, payload, .. } = &commit;
        match chain.check(stream_kind, stream_id, payload) {
            Err(_) if !is_stream(stream_kind, stream_id) => {
                leave_out(&format!("record {} ({stream_kind}.{stream_id})", reader.records()))?;
                continue;
            }
            Err(fault) => bad.push((commits.len() + 1, hash(payload), fault)),
            Ok(()) => {}
        }
        commits.push(commit);
    }
    // What somebody has stepped over is as sound as the log that it was exported from.
    match bad.into_iter().find(|(_, sha256, _)| !chain.is_stepped_over(sha256)) {
        Some((nth, _, fault)) => Err(fault).with_context(|| format!("commit {nth} is bad")),
        None => Ok(commits),
    }
}
