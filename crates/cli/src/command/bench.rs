//! `cuiban bench`: the table of figures, beside the machine's own limits; and how cost grows.

use std::cell::RefCell;
use std::path::Path;

use anyhow::Context;
use cuiban_bench::{Figure, Growth, Machine, Options, Spread};
use indicatif::ProgressBar;
use serde_json::json;

use crate::args::Bench;
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(args: &Bench) -> Outcome {
    if args.list {
        return list(args);
    }
    let bar = RefCell::new(None);
    let hear = |what: &str, share: Option<(u64, u64)>| hear(&mut bar.borrow_mut(), what, share);
    let machine = Machine::here().context("look at the machine")?;
    if args.growth {
        return grown(args, &machine, &cuiban_bench::grow(&args.sizes, &hear)?);
    }
    let options = Options { rounds: args.rounds, only: args.only.clone(), long: args.long };
    let see = |figure: &Figure| output::note(format_args!("  {}", one_line(figure)));
    let figures = cuiban_bench::run(&options, &hear, see)?;
    if args.json {
        return Ok(output::json(&json!({ "machine": machine, "rounds": args.rounds, "figures": figures }))?);
    }
    output::line(&machine_line(&machine, Some(args.rounds)))?;
    let headers = [
        "项目 what",
        "单位 unit",
        "中位 median",
        "范围 spread",
        "极限 limit",
        "比值 ratio",
        "目标 goal",
        "内存 MiB",
    ];
    output::table(headers, figures.iter().map(row))?;
    for figure in &figures {
        let limit = figure.limit.as_ref().map(|limit| format!("极限 limit = {}", limit.is));
        let said: Vec<_> = limit.into_iter().chain(figure.notes.iter().cloned()).collect();
        if !said.is_empty() {
            output::line(&format!("{}: {}", figure.what, said.join("; ")))?;
        }
    }
    Ok(())
}

fn list(args: &Bench) -> Outcome {
    let rows: Vec<_> = cuiban_bench::rows().collect();
    if args.json {
        let rows: Vec<_> = rows.iter().map(|(name, long)| json!({ "name": name, "long": long })).collect();
        return Ok(output::json(&rows)?);
    }
    for (name, long) in rows {
        output::line(&format!("{name}{}", if long { "  (--long)" } else { "" }))?;
    }
    Ok(())
}

fn grown(args: &Bench, machine: &Machine, growth: &Growth) -> Outcome {
    if let Some(folder) = &args.svg {
        write_pictures(folder, growth)?;
    }
    if args.json {
        return Ok(output::json(&json!({ "machine": machine, "growth": growth }))?);
    }
    output::line(&machine_line(machine, None))?;
    let headers = ["工单 tickets", "命令 commands/s", "折叠 commits/s", "重启 restart s", "内存 MiB"];
    let row = |stage: &cuiban_bench::Stage| {
        [
            stage.tickets.to_string(),
            short(stage.commands_per_s),
            short(stage.fold_commits_per_s),
            short(stage.restart_s),
            stage.peak_memory_mib.to_string(),
        ]
    };
    Ok(output::table(headers, growth.stages.iter().map(row))?)
}

fn write_pictures(folder: &Path, growth: &Growth) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    for (name, svg) in cuiban_bench::draw(growth) {
        let path = folder.join(name).with_extension("svg");
        std::fs::write(&path, svg).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Says what is measured next; draws a bar while something long goes on.
fn hear(bar: &mut Option<ProgressBar>, what: &str, share: Option<(u64, u64)>) {
    match share {
        None => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            output::note(format_args!("测量 measuring: {what}"));
        }
        Some((done, of)) => {
            let bar = bar.get_or_insert_with(|| output::progress("", of));
            bar.set_message(what.to_owned());
            bar.set_length(of);
            bar.set_position(done);
        }
    }
}

fn machine_line(machine: &Machine, rounds: Option<u32>) -> String {
    let Machine { processor, cores, memory_mib, kernel, sync_us } = machine;
    let rounds = rounds.map_or_else(String::new, |rounds| format!(" · {rounds} 轮 rounds"));
    format!(
        "{processor} · {cores} 核 cores · {} GiB · Linux {kernel} · 4 KiB 落盘 synced in {:.0} µs ({:.0}–{:.0}){rounds}",
        memory_mib / 1024,
        sync_us.median,
        sync_us.min,
        sync_us.max
    )
}

fn row(figure: &Figure) -> [String; 8] {
    let Spread { min, median, max } = figure.ours;
    let limit = figure.limit.as_ref();
    let reached = match figure.reached {
        Some(true) => "✓",
        Some(false) => "✗",
        None => "",
    };
    [
        figure.what.clone(),
        figure.unit.to_owned(),
        short(median),
        format!("{} – {}", short(min), short(max)),
        limit.map_or_else(String::new, |limit| short(limit.spread.median)),
        limit.map_or_else(String::new, |limit| format!("{:.2}", limit.ratio.median)),
        figure.goal.map_or_else(String::new, |goal| format!("{goal} {reached}")),
        figure.peak_memory_mib.map_or_else(String::new, |peak| peak.to_string()),
    ]
}

fn one_line(figure: &Figure) -> String {
    let [what, unit, median, spread, limit, ratio, goal, _] = row(figure);
    let beside = if limit.is_empty() { String::new() } else { format!(" · limit {limit} · ratio {ratio}") };
    format!("{what}: {median} {unit} ({spread}){beside} {goal}")
}

/// As many digits as are of use.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
