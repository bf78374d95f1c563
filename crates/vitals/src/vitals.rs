//! The registry of one process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::metrics::{Follows, LoopReading};
use crate::pulse::Loop;
use crate::ticks::ticks;
use crate::{BEAT_VERSION, Beat, LoopBeat, Metrics, Problem, Pulse, Reading};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes commands.
    Gateway,
    /// Folds read models, answers queries.
    Projector,
    /// Issues 催办.
    Watchdog,
    /// Pushes alerts.
    Notifier,
    /// All of it in one process.
    All,
}

impl Role {
    /// Its one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Projector => "projector",
            Self::Watchdog => "watchdog",
            Self::Notifier => "notifier",
            Self::All => "all",
        }
    }

    /// Whether its own work is to record something: a log that takes nothing stops it.
    pub fn writes(self) -> bool {
        match self {
            Self::Gateway | Self::Watchdog | Self::Notifier | Self::All => true,
            Self::Projector => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The registry of one process, handed to every loop. The default is that of a process whose vitals nobody reads:
/// writing into it does nothing.
#[derive(Clone, Debug, Default)]
pub struct Vitals(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    role: Role,
    instance: String,
    build: &'static str,
    loops: Mutex<BTreeMap<String, Arc<Loop>>>,
    problems: Mutex<BTreeMap<&'static str, Vec<Problem>>>,
    head: Mutex<Head>,
    metrics: Metrics,
}

/// The log's last position, as last seen.
#[derive(Clone, Copy, Debug)]
struct Head {
    position: u64,
    /// When it was first seen to be this.
    seen_at: Instant,
}

impl Vitals {
    /// The vitals of a process: its role, a name that no other process has (of the alphabet `A-Z a-z 0-9 _ -`; other
    /// characters are replaced), and its build.
    pub fn new(role: Role, instance: &str, build: &'static str) -> Self {
        let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
        let instance: String = instance.chars().map(fits).collect();
        let metrics = Metrics::new(role, &instance, build);
        let head = Mutex::new(Head { position: 0, seen_at: ticks() });
        let (loops, problems) = (Mutex::default(), Mutex::default());
        Self(Some(Arc::new(Inner { role, instance, build, loops, problems, head, metrics })))
    }

    /// What the process is there for; none where nobody reads.
    pub fn role(&self) -> Option<Role> {
        self.0.as_ref().map(|inner| inner.role)
    }

    /// `watchdog/host-1`; empty where nobody reads.
    pub fn who(&self) -> String {
        self.0.as_ref().map(|inner| format!("{}/{}", inner.role, inner.instance)).unwrap_or_default()
    }

    /// Which build this is; empty where nobody reads.
    pub fn build(&self) -> &'static str {
        self.0.as_ref().map_or("", |inner| inner.build)
    }

    /// The pulse of a loop, which may be silent for so long. A loop that is begun again has the same one.
    pub fn pulse(&self, name: &str, silent_max: Duration) -> Pulse {
        let Some(inner) = &self.0 else { return Pulse::default() };
        let mut loops = inner.loops();
        let known = || Arc::new(Loop::new(name.to_owned(), silent_max));
        Pulse::of(loops.entry(name.to_owned()).or_insert_with(known).clone())
    }

    /// A drill: the loop stands still at its next turn, until it is released. Everything else goes on. Whoever has to
    /// notice a loop that hangs is tried with it.
    pub fn hold(&self, name: &str, held: bool) {
        if let Some(known) = self.0.as_ref().and_then(|inner| inner.loops().get(name).cloned()) {
            known.hold(held);
        }
    }

    /// What `source` finds wrong now, in place of what it found before; nothing, once all is well.
    pub fn set_problems(&self, source: &'static str, problems: Vec<Problem>) {
        if let Some(inner) = &self.0 {
            inner.problems().insert(source, problems);
        }
    }

    /// Everything that is wrong now: what was found, loops that are silent, followers that are catching up.
    pub fn problems(&self) -> Vec<Problem> {
        let Some(inner) = &self.0 else { return Vec::new() };
        let mut problems: Vec<_> = inner.problems().values().flatten().cloned().collect();
        for known in inner.known_loops() {
            let name = &known.name;
            if known.is_silent() {
                let seconds = known.age().as_secs();
                let detail = format!(
                    "循环 {name} 已 {seconds} 秒没有动静 / the loop {name} is silent for {seconds} s"
                );
                problems.push(Problem::stopping("loop_silent", detail));
            } else if known.caught_up() == Some(false) {
                let detail = format!("{name} 正在追赶日志 / {name} is catching up with the log");
                problems.push(Problem::stopping("catching_up", detail));
            }
        }
        problems.sort_by_key(|problem| !problem.stops);
        problems
    }

    /// Where figures are written; none where nobody reads.
    pub fn metrics(&self) -> Option<&Metrics> {
        self.0.as_ref().map(|inner| &inner.metrics)
    }

    /// What a figure is now.
    pub fn set(&self, reading: Reading<'_>, value: f64) {
        if let Some(metrics) = self.metrics() {
            metrics.set(reading, value);
        }
    }

    /// The log's last position, as just seen: what followers are behind is measured against it.
    pub fn see_head(&self, position: u64) {
        let Some(inner) = &self.0 else { return };
        let mut head = inner.head();
        for known in inner.known_loops() {
            if known.behind(head.position, head.seen_at) == 0 {
                known.is_level();
            }
        }
        if position != head.position {
            *head = Head { position, seen_at: ticks() };
        }
        drop(head);
        #[expect(clippy::cast_precision_loss, reason = "a figure of a graph")]
        self.set(Reading::Head, position as f64);
    }

    /// What the process says of itself now; `at` by its own clock. None where nobody reads.
    pub fn beat(&self, at: DateTime<Utc>, leaving: bool) -> Option<Beat> {
        let inner = self.0.as_ref()?;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let loops = inner.known_loops();
        let loops = loops.iter().map(|known| LoopBeat {
            name: known.name.clone(),
            age_ms: millis(known.age()),
            silent_ms_max: millis(known.silent_max),
            position: known.position(),
            caught_up: known.caught_up(),
        });
        Some(Beat {
            v: BEAT_VERSION,
            role: inner.role.to_string(),
            instance: inner.instance.clone(),
            build: inner.build.to_owned(),
            at,
            leaving,
            loops: loops.collect(),
            problems: self.problems().into_iter().filter(|problem| problem.from.is_none()).collect(),
        })
    }

    /// All figures, in the form that Prometheus reads.
    pub fn render(&self) -> String {
        let Some(inner) = &self.0 else { return String::new() };
        let head = *inner.head();
        let reading = |known: &Arc<Loop>| LoopReading {
            name: known.name.clone(),
            age: known.age(),
            silent: known.is_silent(),
            follows: known.position().map(|position| {
                let lag_events = known.behind(head.position, head.seen_at);
                let lag = if lag_events > 0 { known.behind_for() } else { Duration::ZERO };
                Follows { position, lag_events, lag }
            }),
        };
        let loops = inner.known_loops().iter().map(reading).collect();
        inner.metrics.render(loops, &self.problems())
    }
}

impl Inner {
    fn known_loops(&self) -> Vec<Arc<Loop>> {
        self.loops().values().cloned().collect()
    }

    fn loops(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Loop>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn problems(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<Problem>>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
