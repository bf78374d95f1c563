//! `cuiban simulate`: random days by seed, judged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use anyhow::anyhow;
use cuiban_simulation::simulate::{Fault, Options, SeedReport, SimulationError, Struck, shrink, simulate};

use crate::args::Simulate;
use crate::exit::{Failure, Outcome};
use crate::output;

/// What all seeds came to.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    virtual_minutes: u64,
    commands: usize,
    faults: Struck,
    commits: usize,
    notices: usize,
    alerts: usize,
    failed: u64,
}

pub(crate) fn run(args: &Simulate) -> Outcome {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let bar = output::progress("模拟 simulate", args.seeds);
    let mut sum = Sum::default();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (reports, received) = mpsc::sync_channel(threads);
        for _ in 0..threads.max(1) {
            let (reports, next) = (reports.clone(), &next);
            scope.spawn(move || {
                while let Some(seed) = next_seed(next, args) {
                    if reports.send(simulate(&options(seed, args))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(reports);
        for report in received {
            bar.inc(1);
            sum.take(&report?, args)?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    bar.finish_and_clear();
    if !args.json {
        sum.print()?;
    }
    match sum.failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(anyhow!("{failed} 个种子违约 / {failed} seeds broke a promise"))),
    }
}

fn next_seed(next: &AtomicU64, args: &Simulate) -> Option<u64> {
    let nth = next.fetch_add(1, Ordering::Relaxed);
    (nth < args.seeds).then(|| args.from.saturating_add(nth))
}

fn options(seed: u64, args: &Simulate) -> Options {
    Options {
        seed,
        without: args.without.iter().copied().collect(),
        acts: args.acts.as_ref().map(|acts| acts.iter().copied().collect()),
        trace: args.trace,
    }
}

impl Sum {
    fn take(&mut self, report: &SeedReport, args: &Simulate) -> anyhow::Result<()> {
        self.seeds += 1;
        self.virtual_minutes += report.virtual_minutes;
        self.commands += report.commands;
        self.commits += report.commits;
        self.notices += report.notices;
        self.alerts += report.alerts;
        self.faults.resize(report.faults.len(), 0);
        for (all, one) in self.faults.iter_mut().zip(&report.faults) {
            *all += one;
        }
        if args.json {
            output::json(report)?;
        } else {
            report.trace.iter().try_for_each(|line| output::line(line))?;
        }
        if !report.violations.is_empty() {
            self.failed += 1;
            complain(report, &options(report.seed, args), args.no_shrink)?;
        }
        Ok(())
    }

    fn print(&self) -> anyhow::Result<()> {
        let row = |what: &str, count: u64| [what.to_owned(), count.to_string(), String::new()];
        let mut rows = vec![
            row("种子 seeds", self.seeds),
            row("虚拟天数 virtual days", self.virtual_minutes / 1440),
            row("命令 commands", self.commands as u64),
            row("提交 commits", self.commits as u64),
            row("催办 notices", self.notices as u64),
            row("提醒 alerts", self.alerts as u64),
            row("故障 faults", self.faults.iter().sum::<u64>()),
        ];
        let kind = |(fault, struck): (Fault, u64)| {
            [format!("  {fault}"), struck.to_string(), fault.describe().to_owned()]
        };
        rows.extend(Fault::all().zip(self.faults.iter().copied()).map(kind));
        rows.push(row("违约种子 failing seeds", self.failed));
        output::table(["项目 what", "数量 count", "说明 meaning"], rows)
    }
}

/// Says what a seed broke, and how to see it again in the fewest steps.
fn complain(report: &SeedReport, options: &Options, no_shrink: bool) -> Result<(), SimulationError> {
    output::note(format_args!(
        "种子 seed {}: {:#?}\n→ {}",
        report.seed,
        report.violations,
        options.command()
    ));
    if no_shrink {
        return Ok(());
    }
    let (shorter, runs) = shrink(options)?;
    let report = simulate(&shorter)?;
    output::note(format_args!("缩短后（{runs} 次运行）/ made shorter in {runs} runs:"));
    report.trace.iter().for_each(output::note);
    output::note(format_args!("{:#?}\n→ {}", report.violations, shorter.command()));
    Ok(())
}
