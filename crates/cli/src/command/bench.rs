//! `cuiban bench`: the table of figures, beside the machine's own limits.

use cuiban_bench::{Figure, Spread};
use serde_json::json;

use crate::args::Bench;
use crate::exit::Outcome;
use crate::output;

pub(crate) fn run(args: &Bench) -> Outcome {
    let figures = cuiban_bench::run(args.rounds, |next| eprintln!("测量 measuring: {next}"))?;
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    if args.json {
        return Ok(output::json(&json!({ "cores": cores, "rounds": args.rounds, "figures": figures }))?);
    }
    output::line(&format!("{cores} 核 cores · {} 轮 rounds · {}", args.rounds, std::env::consts::ARCH))?;
    let headers = ["项目 what", "单位 unit", "中位 median", "范围 spread", "极限 limit", "比值 ratio"];
    output::table(headers, figures.iter().map(row))?;
    for figure in figures.iter().filter(|figure| !figure.limit_is.is_empty()) {
        output::line(&format!("{}: 极限 limit = {}", figure.what, figure.limit_is))?;
    }
    Ok(())
}

fn row(figure: &Figure) -> [String; 6] {
    let median = |spread: &Option<Spread>, decimals: usize| {
        spread.map_or_else(String::new, |spread| format!("{:.decimals$}", spread.median))
    };
    let Spread { min, median: middle, max } = figure.ours;
    [
        figure.what.clone(),
        figure.unit.to_owned(),
        format!("{middle:.0}"),
        format!("{min:.0} – {max:.0}"),
        median(&figure.limit, 0),
        median(&figure.ratio, 2),
    ]
}
