//! `cuiban simulate`: random days by seed, judged.

use anyhow::anyhow;
use cuiban_simulation::simulate::{SeedReport, simulate};

use crate::args::Simulate;
use crate::exit::{Failure, Outcome};
use crate::output;

pub(crate) fn run(args: &Simulate) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = output::progress("模拟 simulate", args.seeds);
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    for seed in args.from..args.from.saturating_add(args.seeds) {
        let report = runtime.block_on(simulate(seed))?;
        bar.inc(1);
        if !report.violations.is_empty() {
            failed.push(seed);
            eprintln!(
                "种子 seed {seed}: {:#?}\n→ cuiban simulate --from {seed} --seeds 1",
                report.violations
            );
        }
        if args.json {
            output::json(&report)?;
        }
        reports.push(report);
    }
    bar.finish_and_clear();
    if !args.json {
        print(&reports)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(anyhow!(
            "{} 个种子违约 / {} seeds broke a promise",
            failed.len(),
            failed.len()
        ))),
    }
}

fn print(reports: &[SeedReport]) -> anyhow::Result<()> {
    let sum = |of: fn(&SeedReport) -> u64| reports.iter().map(of).sum::<u64>();
    let count = |of: fn(&SeedReport) -> usize| reports.iter().map(of).sum::<usize>().to_string();
    let rows = [
        ["种子 seeds".to_owned(), reports.len().to_string()],
        ["虚拟天数 virtual days".to_owned(), (sum(|report| report.virtual_minutes) / 1440).to_string()],
        ["命令 commands".to_owned(), count(|report| report.commands)],
        ["故障 faults".to_owned(), count(|report| report.faults)],
        ["提交 commits".to_owned(), count(|report| report.commits)],
        ["催办 notices".to_owned(), count(|report| report.notices)],
        ["违约 violations".to_owned(), count(|report| report.violations.len())],
    ];
    output::table(["项目 what", "数量 count"], rows)
}
