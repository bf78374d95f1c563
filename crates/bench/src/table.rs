//! The rows of the table, in order, and how they are run.

use tokio::runtime::Runtime;

use crate::folding::Models;
use crate::jetstream::Broker;
use crate::machine::{forget_peak, peak_mib};
use crate::{
    BenchError, Figure, clocks, embedded, folding, intake, jetstream, rebuilding, watching, working_time,
};

/// What is wanted of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Measured rounds of each row.
    pub rounds: u32,
    /// Only rows whose name contains this.
    pub only: Option<String>,
    /// The rows that take minutes, too.
    pub long: bool,
}

/// Is told what is measured next, and how much of it is done.
pub type Hear<'a> = dyn Fn(&str, Option<(u64, u64)>) + 'a;

/// Tells how far the measuring is.
pub(crate) struct Progress<'a> {
    hear: &'a Hear<'a>,
}

impl<'a> Progress<'a> {
    pub(crate) fn to(hear: &'a Hear<'a>) -> Self {
        Self { hear }
    }

    /// What comes next.
    pub(crate) fn said(&self, what: &str) {
        (self.hear)(what, None);
    }

    /// How much of it is done.
    pub(crate) fn share(&self, what: &str, done: u64, of: u64) {
        (self.hear)(what, Some((done, of)));
    }
}

/// What rows are measured with.
struct Bench<'a> {
    runtime: Runtime,
    rounds: u32,
    progress: Progress<'a>,
    broker: Option<Broker>,
}

impl Bench<'_> {
    /// One figure, waited for.
    fn one<'b>(
        &'b self,
        row: impl Future<Output = Result<Figure, BenchError>> + 'b,
    ) -> Result<Vec<Figure>, BenchError> {
        self.runtime.block_on(row).map(|figure| vec![figure])
    }

    /// One figure that needs a broker; none without one.
    fn on_broker<'b, F>(&'b self, row: impl FnOnce(&'b Broker) -> F) -> Result<Vec<Figure>, BenchError>
    where
        F: Future<Output = Result<Figure, BenchError>> + 'b,
    {
        match &self.broker {
            Some(broker) => self.one(row(broker)),
            None => Ok(Vec::new()),
        }
    }
}

/// A row: its name, what it needs, and how it is measured.
struct Row {
    name: &'static str,
    needs: Needs,
    measure: fn(&Bench<'_>) -> Result<Vec<Figure>, BenchError>,
}

/// What a row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Seconds,
    Broker,
    Minutes,
    /// More than an hour: measured only when it is named.
    Hour,
}

impl Row {
    fn is_wanted(&self, options: &Options) -> bool {
        let only = options.only.as_deref();
        let fits = only.is_none_or(|pattern| self.name.contains(pattern));
        match self.needs {
            _ if only == Some(self.name) => true,
            Needs::Seconds | Needs::Broker => fits,
            Needs::Minutes => fits && options.long,
            Needs::Hour => false,
        }
    }
}

const fn row(
    name: &'static str,
    needs: Needs,
    measure: fn(&Bench<'_>) -> Result<Vec<Figure>, BenchError>,
) -> Row {
    Row { name, needs, measure }
}

/// Memory comes first, while the process is small.
const ROWS: [Row; 29] = [
    row("clock-memory", Needs::Seconds, |b| clocks::in_memory(b.rounds).map(|figure| vec![figure])),
    row("due-instants", Needs::Seconds, |b| working_time::due_instants(b.rounds).map(|figure| vec![figure])),
    row("command-embedded-1", Needs::Seconds, |b| b.one(embedded::durable_commands(b.rounds, 1))),
    row("command-embedded-8", Needs::Seconds, |b| b.one(embedded::durable_commands(b.rounds, 8))),
    row("command-embedded-32", Needs::Seconds, |b| b.one(embedded::durable_commands(b.rounds, 32))),
    row("command-embedded-64", Needs::Seconds, |b| b.one(embedded::durable_commands(b.rounds, 64))),
    row("command-embedded-256", Needs::Seconds, |b| b.one(embedded::durable_commands(b.rounds, 256))),
    row("life-embedded-1", Needs::Seconds, |b| b.one(embedded::durable_lives(b.rounds, 1))),
    row("life-embedded-8", Needs::Seconds, |b| b.one(embedded::durable_lives(b.rounds, 8))),
    row("life-embedded-32", Needs::Seconds, |b| b.one(embedded::durable_lives(b.rounds, 32))),
    row("command-jetstream-1", Needs::Broker, |b| {
        b.on_broker(|nats| jetstream::durable_commands(b.rounds, 1, nats))
    }),
    row("command-jetstream-8", Needs::Broker, |b| {
        b.on_broker(|nats| jetstream::durable_commands(b.rounds, 8, nats))
    }),
    row("command-jetstream-32", Needs::Broker, |b| {
        b.on_broker(|nats| jetstream::durable_commands(b.rounds, 32, nats))
    }),
    row("command-jetstream-64", Needs::Broker, |b| {
        b.on_broker(|nats| jetstream::durable_commands(b.rounds, 64, nats))
    }),
    row("command-jetstream-256", Needs::Broker, |b| {
        b.on_broker(|nats| jetstream::durable_commands(b.rounds, 256, nats))
    }),
    row("fold-embedded-one", Needs::Seconds, |b| b.one(folding::embedded(b.rounds, Models::One, 20_000))),
    row("fold-embedded-all", Needs::Seconds, |b| b.one(folding::embedded(b.rounds, Models::All, 20_000))),
    row("fold-jetstream-one", Needs::Broker, |b| {
        b.on_broker(|nats| folding::on_jetstream(b.rounds, Models::One, 10_000, nats))
    }),
    row("fold-jetstream-all", Needs::Broker, |b| {
        b.on_broker(|nats| folding::on_jetstream(b.rounds, Models::All, 10_000, nats))
    }),
    row("rebuild", Needs::Seconds, |b| b.one(rebuilding::rebuild(b.rounds, 50_000, &b.progress))),
    row("rebuild-1m", Needs::Minutes, |b| b.one(rebuilding::rebuild(b.rounds, 1_000_000, &b.progress))),
    row("lag-100k", Needs::Seconds, |b| b.one(watching::lag(b.rounds, 100_000, &b.progress))),
    row("lag-1m", Needs::Minutes, |b| b.one(watching::lag(b.rounds, 1_000_000, &b.progress))),
    row("mass-breach-10k", Needs::Seconds, |b| {
        b.runtime.block_on(watching::mass_breach(b.rounds, 10_000, &b.progress))
    }),
    row("mass-breach-100k", Needs::Minutes, |b| {
        b.runtime.block_on(watching::mass_breach(b.rounds, 100_000, &b.progress))
    }),
    row("restart-100k", Needs::Seconds, |b| b.one(watching::restart(b.rounds, 100_000, &b.progress))),
    row("restart-1m", Needs::Minutes, |b| b.one(watching::restart(b.rounds, 1_000_000, &b.progress))),
    row("intake", Needs::Seconds, |b| b.runtime.block_on(intake::over_http(b.rounds, &[1, 16, 64, 256]))),
    row("soak", Needs::Hour, |b| b.one(intake::soak(&b.progress))),
];

/// The names of all rows; those that take long are marked.
pub fn rows() -> impl Iterator<Item = (&'static str, bool)> {
    ROWS.iter().map(|row| (row.name, matches!(row.needs, Needs::Minutes | Needs::Hour)))
}

/// Measures the wanted rows, in turn. `hear` is told what is measured next and how far it is, `see` gets each figure.
pub fn run(
    options: &Options,
    hear: &Hear<'_>,
    mut see: impl FnMut(&Figure),
) -> Result<Vec<Figure>, BenchError> {
    let rows: Vec<_> = ROWS.iter().filter(|row| row.is_wanted(options)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(crate::figure::failed("anything"))?;
    let needs_broker = rows.iter().any(|row| row.needs == Needs::Broker);
    let broker = Broker::program().filter(|_| needs_broker).map(|_| runtime.block_on(Broker::start()));
    let bench = Bench { runtime, rounds: options.rounds, progress: Progress::to(hear), broker };
    let mut figures = Vec::new();
    for row in rows {
        if row.needs == Needs::Broker && bench.broker.is_none() {
            bench
                .progress
                .said(&format!("{}: left out, as there is no nats-server (set NATS_SERVER)", row.name));
            continue;
        }
        bench.progress.said(row.name);
        forget_peak();
        for mut figure in (row.measure)(&bench)? {
            figure.peak_memory_mib = peak_mib();
            see(&figure);
            figures.push(figure);
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(only: Option<&str>, long: bool) -> Vec<&'static str> {
        let options = Options { rounds: 1, only: only.map(str::to_owned), long };
        ROWS.iter().filter(|row| row.is_wanted(&options)).map(|row| row.name).collect()
    }

    #[test]
    fn what_takes_minutes_is_measured_when_asked_for_and_an_hour_only_by_name() {
        assert_eq!(wanted(Some("lag"), false), ["lag-100k"]);
        assert_eq!(wanted(Some("lag"), true), ["lag-100k", "lag-1m"]);
        assert_eq!(wanted(Some("lag-1m"), false), ["lag-1m"]);
        assert_eq!(wanted(Some("soak"), false), ["soak"]);
        assert!(!wanted(None, true).contains(&"soak"));
    }
}
