//! `cuiban replay`: a history through the whole system on a virtual clock.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use cuiban_domain::sla::Policy;
use cuiban_simulation::Summary;
use cuiban_simulation::history::{History, Mapping};

use super::deadline::read_calendar;
use crate::args::Replay;
use crate::exit::{OrFailure, Outcome};
use crate::output;

pub(crate) fn run(args: &Replay) -> Outcome {
    let (mapping, history) = read_history(&args.file, &args.mapping).or_usage()?;
    let folder = args.mapping.parent().unwrap_or(Path::new("."));
    let calendar = read_calendar(&folder.join(&mapping.calendar)).or_usage()?.calendar;
    let policy = match &args.policy {
        Some(path) => read_policy(path).or_usage()?,
        None => mapping.policy.unwrap_or_default(),
    };
    let bar = output::progress("重放 replay", history.steps.len() as u64);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replayed =
        cuiban_simulation::replay(&history, &calendar, &policy, |done| bar.set_position(done as u64));
    let summary = runtime.block_on(replayed)?;
    bar.finish_and_clear();
    if args.json { Ok(output::json(&summary)?) } else { print(&summary) }
}

/// A history by its mapping.
pub(crate) fn read_history(file: &Path, mapping: &Path) -> anyhow::Result<(Mapping, History)> {
    let text = std::fs::read_to_string(mapping).with_context(|| format!("read {}", mapping.display()))?;
    let mapping = Mapping::parse(&text).with_context(|| format!("read {}", mapping.display()))?;
    let rows = File::open(file).with_context(|| format!("read {}", file.display()))?;
    let history = History::read(rows, &mapping).with_context(|| format!("read {}", file.display()))?;
    Ok((mapping, history))
}

fn read_policy(path: &Path) -> anyhow::Result<Policy> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read the policy {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read the policy {}", path.display()))
}

fn print(summary: &Summary) -> Outcome {
    let rows = summary.clocks.iter().map(|(kind, counts)| {
        let name = match kind.as_str() {
            "response" => "响应 response",
            "dispatch" => "派工 dispatch",
            _ => "处理 resolution",
        };
        let [started, met, breached, cancelled, open] =
            [counts.started, counts.met, counts.breached, counts.cancelled, counts.open]
                .map(|count| count.to_string());
        [name.to_owned(), started, met, breached, cancelled, open]
    });
    let headers = ["时钟 clock", "开始 started", "达标 met", "逾期 breached", "取消 cancelled", "未结 open"];
    output::table(headers, rows)?;
    let Summary { tickets, breaches, notices, .. } = summary;
    Ok(output::line(&format!("工单 tickets {tickets} · 逾期 breaches {breaches} · 催办 notices {notices}"))?)
}
