//! The figures of one process, in the form that Prometheus reads. Names, units and meanings: docs/operations.md.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::{Problem, Role};

/// A figure that may have a fraction.
type Figure = Gauge<f64, AtomicU64>;

/// The upper bounds of the buckets of the delay between a due instant and its notice, in seconds: fine below a second,
/// where it should be, and up to the hours that a watchdog may have been away.
const DELAY_BUCKETS: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 600.0, 3_600.0, 86_400.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoopLabels {
    r#loop: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    aggregate: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConflictLabels {
    aggregate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    channel: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProblemLabels {
    code: String,
    stops: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: String,
    role: &'static str,
    instance: String,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The receiver has it.
    Delivered,
    /// The attempt failed; there will be another one.
    Failed,
    /// There will be no further attempt.
    GivenUp,
    /// It may have been pushed twice.
    MaybeTwice,
}

impl DeliveryResult {
    fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
            Self::MaybeTwice => "maybe_twice",
        }
    }
}

/// A figure that is what it was when it was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<'a> {
    /// The log's last position.
    Head,
    /// Clocks that run or are paused.
    OpenClocks,
    /// Broken limits whose debt is open.
    OverdueClocks,
    /// Running clocks that are due and were not urged.
    UnurgedClocks,
    /// How long the oldest of those is due, in seconds.
    UnurgedOldestSeconds,
    /// Due clocks of tickets that cannot be read.
    UnreadableClocks,
    /// Whether the clock of the process is not believed: 0 or 1.
    ClockSuspect,
    /// Commits that a model has set aside.
    Parked(&'a str),
    /// Tickets that a loop has put aside because they cannot be read.
    PutAside(&'a str),
    /// Alerts that wait for their turn on a channel.
    AlertsWaiting(&'a str),
    /// The size of a store, in bytes.
    StoreBytes(&'a str),
}

/// Name and meaning of each [`Reading`].
const READINGS: [(&str, &str); 11] = [
    ("log_head_position", "The log's last position"),
    ("open_clocks", "Clocks that run or are paused"),
    ("overdue_clocks", "Broken limits whose debt is open"),
    ("unurged_clocks", "Running clocks that are due and were not urged"),
    ("unurged_oldest_seconds", "For how long the oldest unurged clock has been due"),
    ("unreadable_clocks", "Due clocks of tickets that cannot be read"),
    ("clock_suspect", "Whether the clock of the process is not believed"),
    ("parked_commits", "Commits that a read model has set aside"),
    ("put_aside_tickets", "Tickets that a loop has put aside because they cannot be read"),
    ("alerts_waiting", "Alerts that wait for their turn on a channel"),
    ("store_bytes", "The size of a store"),
];

impl<'a> Reading<'a> {
    fn name(self) -> &'static str {
        match self {
            Self::Head => "log_head_position",
            Self::OpenClocks => "open_clocks",
            Self::OverdueClocks => "overdue_clocks",
            Self::UnurgedClocks => "unurged_clocks",
            Self::UnurgedOldestSeconds => "unurged_oldest_seconds",
            Self::UnreadableClocks => "unreadable_clocks",
            Self::ClockSuspect => "clock_suspect",
            Self::Parked(_) => "parked_commits",
            Self::PutAside(_) => "put_aside_tickets",
            Self::AlertsWaiting(_) => "alerts_waiting",
            Self::StoreBytes(_) => "store_bytes",
        }
    }

    fn label(self) -> Option<(&'static str, &'a str)> {
        match self {
            Self::Parked(model) => Some(("model", model)),
            Self::PutAside(by) => Some(("loop", by)),
            Self::AlertsWaiting(channel) => Some(("channel", channel)),
            Self::StoreBytes(store) => Some(("store", store)),
            Self::Head
            | Self::OpenClocks
            | Self::OverdueClocks
            | Self::UnurgedClocks
            | Self::UnurgedOldestSeconds
            | Self::UnreadableClocks
            | Self::ClockSuspect => None,
        }
    }
}

/// Names and values.
type Labels = Vec<(&'static str, String)>;

/// What is counted and measured. Writing costs next to nothing, and never fails.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    commands: Family<CommandLabels, Counter>,
    conflicts: Family<ConflictLabels, Counter>,
    notice_delay: Histogram,
    deliveries: Family<DeliveryLabels, Counter>,
    readings: BTreeMap<&'static str, Family<Labels, Figure>>,
    loops: LoopFigures,
    problems: Family<ProblemLabels, Gauge>,
    /// Held while what is known only at the moment is put in and read out.
    rendering: Mutex<()>,
}

/// What is known of each loop when the figures are asked for.
#[derive(Debug, Default)]
struct LoopFigures {
    age: Family<LoopLabels, Figure>,
    silent: Family<LoopLabels, Gauge>,
    position: Family<LoopLabels, Figure>,
    lag_events: Family<LoopLabels, Figure>,
    lag: Family<LoopLabels, Figure>,
}

/// One loop's figures.
pub(crate) struct LoopReading {
    pub(crate) name: String,
    pub(crate) age: Duration,
    pub(crate) silent: bool,
    pub(crate) follows: Option<Follows>,
}

/// How far a loop that follows the log is.
pub(crate) struct Follows {
    pub(crate) position: u64,
    pub(crate) lag_events: u64,
    pub(crate) lag: Duration,
}

impl Metrics {
    pub(crate) fn new(role: Role, instance: &str, build: &str) -> Self {
        let mut registry = Registry::with_prefix("cuiban");
        let (commands, conflicts, deliveries) = <(Family<_, _>, Family<_, _>, Family<_, _>)>::default();
        let (notice_delay, loops) = (Histogram::new(DELAY_BUCKETS), LoopFigures::default());
        let (problems, info) = <(Family<_, _>, Family<BuildLabels, Gauge>)>::default();
        registry.register("build_info", "Role, instance and build of the process; always 1", info.clone());
        let labels =
            BuildLabels { version: build.to_owned(), role: role.as_str(), instance: instance.to_owned() };
        info.get_or_create(&labels).set(1);
        registry.register("commands", "Commands handled, by how they ended", commands.clone());
        registry.register("conflicts", "Appends that found the stream changed", conflicts.clone());
        registry.register(
            "notice_delay_seconds",
            "From the due instant of a limit to the recording of its notice, notices recorded by this process",
            notice_delay.clone(),
        );
        registry.register("deliveries", "Pushes of alerts, by channel and result", deliveries.clone());
        let readings = READINGS.map(|(name, help)| {
            let family = Family::default();
            registry.register(name, help, Family::clone(&family));
            (name, family)
        });
        registry.register("loop_tick_age_seconds", "How long ago a loop last went round", loops.age.clone());
        registry.register("loop_silent", "Whether a loop is silent for too long", loops.silent.clone());
        registry.register(
            "follower_position",
            "The last position that a follower of the log has taken in",
            loops.position.clone(),
        );
        registry.register(
            "follower_lag_events",
            "How many positions a follower is behind the log's last one",
            loops.lag_events.clone(),
        );
        registry.register(
            "follower_lag_seconds",
            "For how long a follower has been behind",
            loops.lag.clone(),
        );
        registry.register("problem", "What is wrong at the moment; always 1", problems.clone());
        Self {
            registry,
            commands,
            conflicts,
            notice_delay,
            deliveries,
            readings: readings.into_iter().collect(),
            loops,
            problems,
            rendering: Mutex::default(),
        }
    }

    /// A command was handled, and ended like this.
    pub fn command(&self, aggregate: &'static str, outcome: &'static str) {
        self.commands.get_or_create(&CommandLabels { aggregate, outcome }).inc();
    }

    /// An append found the stream changed.
    pub fn conflict(&self, aggregate: &'static str) {
        self.conflicts.get_or_create(&ConflictLabels { aggregate }).inc();
    }

    /// A notice was recorded, so long after its due instant.
    pub fn notice_delay(&self, delay: Duration) {
        self.notice_delay.observe(delay.as_secs_f64());
    }

    /// So many pushes ended like this.
    pub fn deliveries(&self, channel: &str, result: DeliveryResult, count: u64) {
        if count > 0 {
            let labels = DeliveryLabels { channel: channel.to_owned(), result: result.label() };
            self.deliveries.get_or_create(&labels).inc_by(count);
        }
    }

    /// What a figure is now.
    pub fn set(&self, reading: Reading<'_>, value: f64) {
        let labels = reading.label().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        if let Some(family) = self.readings.get(reading.name()) {
            family.get_or_create(&labels).set(value);
        }
    }

    /// Everything, as text; loops and problems as they are at the moment.
    pub(crate) fn render(&self, loops: Vec<LoopReading>, problems: &[Problem]) -> String {
        let _rendering = self.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        self.problems.clear();
        for problem in problems {
            let stops = if problem.stops { "true" } else { "false" };
            let labels = ProblemLabels { code: problem.code.clone().into_owned(), stops };
            self.problems.get_or_create(&labels).set(1);
        }
        for reading in loops {
            let LoopReading { name, age, silent, follows } = reading;
            let labels = LoopLabels { r#loop: name };
            self.loops.age.get_or_create(&labels).set(age.as_secs_f64());
            self.loops.silent.get_or_create(&labels).set(silent.into());
            if let Some(Follows { position, lag_events, lag }) = follows {
                self.loops.position.get_or_create(&labels).set(as_figure(position));
                self.loops.lag_events.get_or_create(&labels).set(as_figure(lag_events));
                self.loops.lag.get_or_create(&labels).set(lag.as_secs_f64());
            }
        }
        let mut rendered = String::new();
        if let Err(error) = text::encode(&mut rendered, &self.registry) {
            // Writing into a text does not fail.
            tracing::error!(error = &error as &dyn std::error::Error, "the figures cannot be written");
        }
        rendered
    }
}

/// Positions stay far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "a figure of a graph")]
fn as_figure(number: u64) -> f64 {
    number as f64
}
