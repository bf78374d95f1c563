//! What rounds came to, for people: a line each, and a table of all.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Fault;
use crate::stopwatch::median_and_max;

/// What one round came to.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) fault: Fault,
    pub(crate) lasted: Duration,
    pub(crate) commands: usize,
    pub(crate) notices: usize,
    pub(crate) refused: usize,
    /// The longest stretch without an acknowledged command since the fault began.
    pub(crate) without_service: Duration,
    /// From when one began to put it right to the first acknowledged command.
    pub(crate) until_back: Duration,
    pub(crate) longest_wait: Duration,
    pub(crate) latest_notice: Duration,
    pub(crate) violations: Vec<String>,
}

/// Tells whoever runs the tests.
#[expect(clippy::print_stdout, reason = "what a long run has to tell goes to its terminal")]
pub fn say(line: &str) {
    println!("{line}");
}

/// The line of each round.
impl Round {
    pub(crate) fn line(&self, number: usize) -> String {
        let verdict = match self.violations.as_slice() {
            [] => "holds".to_owned(),
            broken => format!("BROKEN: {}", broken.join("; ")),
        };
        format!(
            "#{number:<3} {:<28} {:>5.2} s | {:>3} commands, {:>3} notices, {:>3} × 503 | silence {:>5.2} s, back after {:>5.2} s, longest wait {:>5.2} s, latest notice {:>5.2} s | {verdict}",
            self.fault,
            self.lasted.as_secs_f64(),
            self.commands,
            self.notices,
            self.refused,
            self.without_service.as_secs_f64(),
            self.until_back.as_secs_f64(),
            self.longest_wait.as_secs_f64(),
            self.latest_notice.as_secs_f64(),
        )
    }
}

/// The rounds by fault, and all of them.
pub(crate) fn table(name: &str, rounds: &[Round], violations: &[String]) {
    let mut by_fault: BTreeMap<Fault, Vec<&Round>> = BTreeMap::new();
    for round in rounds {
        by_fault.entry(round.fault).or_default().push(round);
    }
    say(&format!(
        "\n{name:<28} rounds commands notices  503s | longest silence: median   max |        back after: median   max | longest wait | violations"
    ));
    for (fault, rounds) in &by_fault {
        say(&row(&fault.to_string(), rounds, 0));
    }
    say(&row("all", &rounds.iter().collect::<Vec<_>>(), violations.len()));
}

fn row(name: &str, rounds: &[&Round], further_violations: usize) -> String {
    let sum = |of: fn(&Round) -> usize| rounds.iter().map(|round| of(round)).sum::<usize>();
    let spread = |of: fn(&Round) -> Duration| {
        median_and_max(rounds.iter().map(|round| of(round)).collect()).unwrap_or_default()
    };
    let (without, back) = (spread(|round| round.without_service), spread(|round| round.until_back));
    format!(
        "{name:<28} {:>6} {:>8} {:>7} {:>5} | {:>16.2} s {:>5.2} s | {:>24.2} s {:>5.2} s | {:>10.2} s | {:>10}",
        rounds.len(),
        sum(|round| round.commands),
        sum(|round| round.notices),
        sum(|round| round.refused),
        without.0.as_secs_f64(),
        without.1.as_secs_f64(),
        back.0.as_secs_f64(),
        back.1.as_secs_f64(),
        spread(|round| round.longest_wait).1.as_secs_f64(),
        sum(|round| round.violations.len()) + further_violations,
    )
}
