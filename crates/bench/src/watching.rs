//! The watchdog: from due instant to durable notice, a mass breach while intake goes on, and a restart.

use std::path::Path;
use std::time::Duration;

use cuiban_domain::ticket::TicketEvent;
use cuiban_domain::{Event, Instant};
use cuiban_event_log::{EventLog, Filter, Pattern, Subscription, Token};
use cuiban_watchdog::{Config, Watchdog};
use tempfile::TempDir;

use crate::figure::{AnyError, failed};
use crate::office::{FILLING_WRITERS, Office};
use crate::stopwatch::{moment, percentile_ms};
use crate::table::Progress;
use crate::{BenchError, Figure, Goal};

/// How many clocks run out a second while the lag is measured, and for how long.
const DUE_A_SECOND: usize = 1_000;
const LAG_SECONDS: usize = 4;
/// Calls a second while a mass breach is recorded.
const CALLS_A_SECOND: usize = 200;
/// How long intake is watched before the breach.
const IDLE: Duration = Duration::from_secs(4);
/// How many urgent calls a second can be entered at least, and how long everything else may take meanwhile.
const ENTERED_A_SECOND_MIN: usize = 2_500;
const SETTLING: Duration = Duration::from_secs(3);

/// An office whose clocks are watched.
pub(crate) struct Watched {
    folder: TempDir,
    office: Office,
    watchdog: Watchdog,
}

impl Watched {
    /// With so many open clocks that run out hours from now.
    pub(crate) async fn begin(open_clocks: usize, progress: &Progress<'_>) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let office = Office::embedded(folder.path()).await?;
        progress.said(&format!("{open_clocks} open clocks into the log"));
        // Each repair has two: the answer and the visit.
        office.registrations(FILLING_WRITERS, open_clocks / 2).await?;
        progress.said("the watchdog reads them");
        let watchdog = watch(&office, folder.path());
        let watched = Self { folder, office, watchdog };
        watched.caught_up(open_clocks / 2 * 2).await?;
        Ok(watched)
    }

    async fn caught_up(&self, open_clocks: usize) -> Result<(), AnyError> {
        let mut status = self.watchdog.status();
        status.wait_for(|status| status.caught_up && status.open_clocks >= open_clocks).await?;
        Ok(())
    }

    fn now(&self) -> Instant {
        self.office.handlers.clock().now()
    }

    /// How long each of so many notices took from its due instant until a subscriber heard of it.
    async fn lags(&self) -> Result<Vec<Duration>, AnyError> {
        let count = DUE_A_SECOND * LAG_SECONDS;
        let first = self.now() + SETTLING + share_of_a_second(count, ENTERED_A_SECOND_MIN);
        let mut notices = Notices::listen(self.office.log.as_ref()).await?;
        self.office.due_calls(count, move |n| first + share_of_a_second(n, DUE_A_SECOND)).await?;
        check_before(self.now(), first)?;
        let mut lags = Vec::with_capacity(count);
        while lags.len() < count {
            let due = notices.next().await?;
            let heard_at = self.now();
            for due_at in due {
                lags.push((heard_at - due_at).to_std().map_err(|_| "a notice came before its due instant")?);
            }
        }
        Ok(lags)
    }

    /// A breach of so many limits at one instant, while calls go on coming in.
    async fn mass_breach(&self, count: usize) -> Result<MassBreach, AnyError> {
        let entering = share_of_a_second(count, ENTERED_A_SECOND_MIN);
        let at = self.now() + SETTLING + IDLE + entering;
        let mut notices = Notices::listen(self.office.log.as_ref()).await?;
        self.office.due_calls(count, move |_| at).await?;
        self.caught_up(count).await?;
        check_before(self.now() + IDLE, at)?;
        let calls = Calls::begin(self.office.clone());
        self.office.handlers.clock().sleep_until(at).await;
        let (mut heard, mut recorded_in) = (0, Duration::ZERO);
        while heard < count {
            let due = notices.next().await?;
            heard += due.iter().filter(|due_at| **due_at == at).count();
            recorded_in = (self.now() - at).to_std().map_err(|_| "a notice came before its due instant")?;
        }
        let (mut idle, mut meanwhile) = calls.end(at).await?;
        Ok(MassBreach {
            recorded_in,
            idle_p99_ms: percentile_ms(&mut idle, 0.99),
            meanwhile_p99_ms: percentile_ms(&mut meanwhile, 0.99),
        })
    }

    /// Stops everything, lets a limit run out, and starts again: how long until its notice is heard of.
    async fn restart(self) -> Result<(Self, Duration), AnyError> {
        let Self { folder, office, watchdog } = self;
        watchdog.stop().await;
        let due_at = office.handlers.clock().now() + Duration::from_millis(20);
        office.register_due(due_at).await?;
        office.handlers.clock().sleep_until(due_at + Duration::from_millis(1)).await;
        drop(office);
        let began = moment();
        let office = Office::embedded(folder.path()).await?;
        let mut notices = Notices::listen(office.log.as_ref()).await?;
        let watchdog = watch(&office, folder.path());
        while !notices.next().await?.contains(&due_at) {}
        Ok((Self { folder, office, watchdog }, began.elapsed()))
    }
}

/// What a mass breach came to.
struct MassBreach {
    recorded_in: Duration,
    idle_p99_ms: f64,
    meanwhile_p99_ms: f64,
}

fn watch(office: &Office, folder: &Path) -> Watchdog {
    let dir = folder.join("watchdog");
    Watchdog::start(office.handlers.clone(), office.log.clone(), &dir, Config::default())
}

fn share_of_a_second(n: usize, a_second: usize) -> Duration {
    Duration::from_secs_f64(n as f64 / a_second as f64)
}

fn check_before(now: Instant, at: Instant) -> Result<(), AnyError> {
    if now < at { Ok(()) } else { Err("the calls could not be entered before their limits ran out".into()) }
}

/// The notices of a log from now on.
struct Notices(Subscription);

impl Notices {
    async fn listen(log: &dyn EventLog) -> Result<Self, AnyError> {
        let expedite = Pattern { class: Some(Token::new("expedite")?), ..Pattern::default() };
        Ok(Self(log.subscribe(Filter { any_of: vec![expedite] }, log.head().await?).await?))
    }

    /// The due instants of the next notices that are stored.
    async fn next(&mut self) -> Result<Vec<Instant>, AnyError> {
        let batch = self.0.next_batch(1024).await.ok_or("the log was closed")??;
        let mut due = Vec::new();
        for recorded in &batch.commits {
            let commit = cuiban_event_schema::decode(&recorded.payload)?;
            let of_notice = |event: &Event| match event {
                Event::Ticket(TicketEvent::ExpediteNoticeIssued { due_at, .. }) => Some(*due_at),
                _ => None,
            };
            due.extend(commit.events.iter().filter_map(of_notice));
        }
        Ok(due)
    }
}

/// Calls that come in at a steady rate, whether or not the ones before were answered.
struct Calls {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<Result<Vec<(Instant, Duration)>, AnyError>>,
}

impl Calls {
    fn begin(office: Office) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(share_of_a_second(1, CALLS_A_SECOND));
            let mut under_way = tokio::task::JoinSet::new();
            while let Some(due) = stopped.run_until_cancelled(ticks.tick()).await {
                let office = office.clone();
                let called_at = office.handlers.clock().now();
                under_way.spawn(async move {
                    Box::pin(office.register()).await?;
                    Ok::<_, AnyError>((called_at, due.elapsed()))
                });
            }
            under_way.join_all().await.into_iter().collect()
        });
        Self { stop, task }
    }

    /// How long those of before and those of from `at` on took.
    async fn end(self, at: Instant) -> Result<(Vec<Duration>, Vec<Duration>), AnyError> {
        self.stop.cancel();
        let answered = self.task.await??;
        let (before, after): (Vec<_>, Vec<_>) =
            answered.into_iter().partition(|(called_at, _)| *called_at < at);
        let times = |calls: Vec<(Instant, Duration)>| calls.into_iter().map(|(_, took)| took).collect();
        Ok((times(before), times(after)))
    }
}

/// From due instant to durable notice, with so many open clocks.
pub(crate) async fn lag(
    rounds: u32,
    open_clocks: usize,
    progress: &Progress<'_>,
) -> Result<Figure, BenchError> {
    let what = format!("due instant to durable notice, p99, {open_clocks} open clocks, {DUE_A_SECOND} due/s");
    let measured = async {
        let watched = Watched::begin(open_clocks, progress).await?;
        let mut lags = Vec::new();
        for round in 0..rounds {
            progress.share("lag, rounds", round.into(), rounds.into());
            lags.push(watched.lags().await?);
        }
        watched.watchdog.stop().await;
        Ok::<_, AnyError>(lags)
    };
    let mut lags = measured.await.map_err(failed(&what))?;
    let p99s: Vec<_> = lags.iter_mut().map(|lags| percentile_ms(lags, 0.99)).collect();
    let mut all: Vec<_> = lags.into_iter().flatten().collect();
    let (median, p999) = (percentile_ms(&mut all, 0.5), percentile_ms(&mut all, 0.999));
    let least_us = all.first().copied().unwrap_or_default().as_micros();
    let note = format!(
        "median {median:.2} ms, p99.9 {p999:.1} ms, of {} notices; the earliest {least_us} µs after its instant",
        all.len()
    );
    Ok(Figure::new(what, "ms", p99s).goal(Goal::AtMost(50.0)).note(note))
}

/// So many limits broken at one instant: until all are recorded, and what intake feels of it.
pub(crate) async fn mass_breach(
    rounds: u32,
    count: usize,
    progress: &Progress<'_>,
) -> Result<Vec<Figure>, BenchError> {
    let what = format!("mass breach, {count} due at one instant, all recorded");
    let measured = async {
        let watched = Watched::begin(0, progress).await?;
        let mut breaches = Vec::new();
        for round in 0..rounds {
            progress.share("mass breach, rounds", round.into(), rounds.into());
            breaches.push(watched.mass_breach(count).await?);
        }
        watched.watchdog.stop().await;
        Ok::<_, AnyError>(breaches)
    };
    let breaches = measured.await.map_err(failed(&what))?;
    let recorded = breaches.iter().map(|breach| breach.recorded_in.as_secs_f64());
    let goal = Goal::AtMost(10.0 * count as f64 / 100_000.0);
    let slowdown = breaches.iter().map(|breach| breach.meanwhile_p99_ms / breach.idle_p99_ms);
    let idle = crate::Spread::of(breaches.iter().map(|breach| breach.idle_p99_ms));
    let meanwhile = crate::Spread::of(breaches.iter().map(|breach| breach.meanwhile_p99_ms));
    let note = format!(
        "{CALLS_A_SECOND} calls a second, open loop: p99 {:.1} ms meanwhile, {:.1} ms idle",
        meanwhile.median, idle.median
    );
    Ok(vec![
        Figure::new(what, "s", recorded).goal(goal),
        Figure::new("intake's p99 meanwhile, against idle", "times", slowdown)
            .goal(Goal::AtMost(2.0))
            .note(note),
    ])
}

/// How long a watchdog that has read this office's log takes from a start to its first notice.
pub(crate) async fn restarted(office: Office, folder: TempDir) -> Result<(Duration, TempDir), AnyError> {
    let watchdog = watch(&office, folder.path());
    let watched = Watched { folder, office, watchdog };
    watched.caught_up(0).await?;
    let (Watched { folder, watchdog, .. }, took) = watched.restart().await?;
    watchdog.stop().await;
    Ok((took, folder))
}

/// From the start of the watchdog's process to the first notice, with so many open clocks.
pub(crate) async fn restart(
    rounds: u32,
    open_clocks: usize,
    progress: &Progress<'_>,
) -> Result<Figure, BenchError> {
    let what = format!("restart with {open_clocks} open clocks, to the first notice");
    let measured = async {
        let mut watched = Watched::begin(open_clocks, progress).await?;
        let mut took = Vec::new();
        for round in 0..rounds {
            progress.share("restart, rounds", round.into(), rounds.into());
            let (again, round_took) = watched.restart().await?;
            watched = again;
            took.push(round_took.as_secs_f64());
        }
        watched.watchdog.stop().await;
        Ok::<_, AnyError>(took)
    };
    let took = measured.await.map_err(failed(&what))?;
    let note = "log, handlers and watchdog opened anew in this process; the files are in the system's cache";
    Ok(Figure::new(what, "s", took).goal(Goal::AtMost(3.0)).note(note))
}
