//! The clock of decisions: the process's own where it agrees with the log's time, else the log's.
//!
//! The log's own time is the time. It is asked for every so often, and in between it runs on by the runtime's ticks, which
//! nobody can set. The process's clock is believed between that and a bound ahead of it, for it is the finer one; what it
//! shows outside is nothing to decide by. So `now` is never before the log's time (but for what the question took), and never
//! ahead of it by more than the bound, whatever anybody sets this machine's clock to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{SubsecRound, TimeDelta};
use cuiban_domain::Instant;
use cuiban_event_log::{ClockStep, EventLog, LogError};

use crate::{Clock, Config, Ticks};

/// The longest that a sleeper goes on by an answer about the log's time, or half of what is left, if that is longer: an
/// oscillator that is off by 2 % makes it late by 0.6 s then.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A clock that is set back while the last of it is slept makes a sleeper late by so much; a clock that stands still has it
/// look so often.
const LEFT_MIN: Duration = Duration::from_secs(1);

/// Tells the time by which everything is decided and recorded. Shared by all handlers of a process.
#[derive(Debug)]
pub struct ClockGuard {
    clock: Arc<dyn Clock>,
    log: Arc<dyn EventLog>,
    bound: Option<TimeDelta>,
    fresh_for: TimeDelta,
    /// Held while the log is asked: one asks, the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

/// How a process's clock stands, for people and probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockStanding {
    /// The process's clock differs from the log's time by more than the bound; the log's time is used.
    pub suspect: Option<Apart>,
    /// The server that tells the log's time differs from the others by so much (ahead, if positive); the lower time is used.
    pub leader_apart: Option<TimeDelta>,
    /// 时钟待确认: the wall clock of an embedded log shows what is not followed until a person confirms it.
    pub to_be_confirmed: Option<ClockStep>,
}

/// By how much a clock differs from the log's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// It is ahead.
    Ahead(TimeDelta),
    /// It is behind.
    Behind(TimeDelta),
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Ahead(by) | Self::Behind(by)) = self;
        let direction = if matches!(self, Self::Ahead(_)) { "ahead of" } else { "behind" };
        write!(f, "{} ms {direction} the log's time", by.num_milliseconds())
    }
}

#[derive(Debug, Default)]
struct Known {
    answer: Option<Answer>,
    suspect: Option<Apart>,
    /// The latest time told.
    latest: Option<Instant>,
}

/// What the log answered when it was asked for its time.
#[derive(Clone, Copy, Debug)]
struct Answer {
    log_time: Instant,
    /// What the process's clock showed when the answer came.
    shown: Instant,
    came_at: Ticks,
}

impl Answer {
    fn age(&self, at: Ticks) -> TimeDelta {
        TimeDelta::from_std(at.saturating_duration_since(self.came_at)).unwrap_or(TimeDelta::MAX)
    }

    /// Whether somebody has set the process's clock since: it has not gone on as time has passed.
    fn clock_was_set(&self, shown: Instant, at: Ticks, bound: TimeDelta) -> bool {
        ((shown - self.shown) - self.age(at)).abs() > bound
    }

    fn judge(&self, shown: Instant, at: Ticks, bound: TimeDelta) -> Instant {
        // Or a little before it, as the answer took its time.
        let log_time = (self.log_time + self.age(at)).trunc_subsecs(6);
        if (log_time..=log_time + bound).contains(&shown) { shown } else { log_time }
    }
}

impl ClockGuard {
    /// A guard over this clock and this log.
    pub fn new(clock: Arc<dyn Clock>, log: Arc<dyn EventLog>, config: &Config) -> Self {
        let delta =
            |millis: u64| TimeDelta::from_std(Duration::from_millis(millis)).unwrap_or(TimeDelta::MAX);
        Self {
            clock,
            log,
            bound: config.clock_ahead_max_ms.map(delta),
            fresh_for: delta(config.log_time_fresh_ms.max(1)),
            asking: tokio::sync::Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Now: the log's own time, or the process's clock where the two agree. Never goes back.
    ///
    /// While the log does not tell its time there is none: the clock may have been set since it last did, and what is
    /// decided now could be recorded the moment the log is back.
    pub async fn now(&self) -> Result<Instant, LogError> {
        while let (Some(bound), true) = (self.bound, self.is_stale()) {
            let _asking = self.asking.lock().await;
            if self.is_stale() {
                self.ask(bound).await?;
            }
        }
        Ok(self.judged())
    }

    /// Returns when [`ClockGuard::now`] is `at` or later, as far as is known; at once if it is already.
    ///
    /// The log's time is asked for meanwhile, so that a clock that runs slow does not oversleep; while the log is away,
    /// sleeping goes on by what was known last.
    pub async fn sleep_until(&self, at: Instant) {
        if self.bound.is_none() {
            return self.clock.sleep_until(at).await;
        }
        loop {
            let (judged, shown) = (self.judged(), self.clock.now());
            let Some(left) = (at - judged).to_std().ok().filter(|left| !left.is_zero()) else { return };
            tokio::select! {
                biased;
                () = self.clock.sleep_until(shown + (at - judged)) => {}
                () = tokio::time::sleep(ASKED_AGAIN_AFTER.max(left / 2).min(left.max(LEFT_MIN))) => {}
            }
            // Without an answer it goes on by what is known; whoever decides afterwards asks again.
            let _ = self.now().await;
        }
    }

    /// How process's clock and log's time stand, as of the last answer; nothing is asked.
    pub fn standing(&self) -> ClockStanding {
        let log = self.log.time_standing();
        ClockStanding {
            suspect: self.known().suspect,
            leader_apart: log.leader_apart,
            to_be_confirmed: log.to_be_confirmed,
        }
    }

    /// Whether the process's clock differs from the log's time by more than the bound: an alarm for people.
    pub fn clock_suspect(&self) -> bool {
        self.known().suspect.is_some()
    }

    /// Now, by what is known: nothing is asked.
    fn judged(&self) -> Instant {
        let (shown, at) = (self.clock.now(), self.clock.ticks());
        let mut known = self.known();
        // Nothing is known yet, or there is nothing to know: nobody has been told a time to go back from.
        let (Some(bound), Some(answer)) = (self.bound, known.answer) else { return shown };
        let judged = answer.judge(shown, at, bound);
        let judged = known.latest.map_or(judged, |latest| latest.max(judged));
        known.latest = Some(judged);
        judged
    }

    fn is_stale(&self) -> bool {
        let (shown, at, known) = (self.clock.now(), self.clock.ticks(), self.known());
        let bound = self.bound.unwrap_or(TimeDelta::MAX);
        known
            .answer
            .is_none_or(|answer| answer.age(at) >= self.fresh_for || answer.clock_was_set(shown, at, bound))
    }

    async fn ask(&self, bound: TimeDelta) -> Result<(), LogError> {
        let (asked_at, asked) = (self.clock.now(), self.clock.ticks());
        let log_time = self.log.time().await?;
        let (shown, came_at) = (self.clock.now(), self.clock.ticks());
        let waited = TimeDelta::from_std(came_at - asked).unwrap_or(TimeDelta::MAX);
        // The log answered at some instant in between: a slow answer is no clock that is off. But one that went on by
        // more than was waited was set meanwhile.
        let ahead = asked_at.max(shown - waited) - log_time;
        let behind = log_time - shown;
        let suspect = match () {
            () if ahead > bound => Some(Apart::Ahead(ahead)),
            () if behind > bound => Some(Apart::Behind(behind)),
            () => None,
        };
        let mut known = self.known();
        known.answer = Some(Answer { log_time, shown, came_at });
        let before = std::mem::replace(&mut known.suspect, suspect);
        drop(known);
        tell_of_change(before, suspect);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Once when it begins, once when the direction changes, and once when it is over.
fn tell_of_change(before: Option<Apart>, now: Option<Apart>) {
    let direction = |apart: Option<Apart>| apart.map(|apart| matches!(apart, Apart::Ahead(_)));
    match now {
        _ if direction(before) == direction(now) => {}
        Some(apart) => {
            tracing::error!("clock_suspect: this clock is {apart}, by which everything is decided")
        }
        None => tracing::info!("clock_suspect is over: this clock agrees with the log's time"),
    }
}

/// The guard as a [`Clock`], for everybody in the process who does not decide: what people see and what waits goes by the
/// same time. It asks nothing to tell the time, so before the log first answers it shows the process's own.
#[derive(Debug)]
pub(crate) struct GuardedClock(pub(crate) Arc<ClockGuard>);

#[async_trait]
impl Clock for GuardedClock {
    fn now(&self) -> Instant {
        self.0.judged()
    }

    async fn sleep_until(&self, at: Instant) {
        self.0.sleep_until(at).await;
    }

    fn ticks(&self) -> Ticks {
        self.0.clock.ticks()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

    use chrono::DateTime;
    use cuiban_event_log::MemoryLog;

    use super::*;
    use crate::ManualClock;

    /// A machine's clock that can be set, and the time of a log that is right; both run by the runtime's ticks.
    #[derive(Debug)]
    struct World {
        began: Ticks,
        off_by_ms: AtomicI64,
        asked: AtomicU32,
    }

    fn start() -> Instant {
        DateTime::from_timestamp(1_000_000, 0).unwrap()
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                began: ManualClock::new(start()).ticks(),
                off_by_ms: AtomicI64::new(0),
                asked: AtomicU32::new(0),
            })
        }

        fn time(&self) -> Instant {
            start() + self.began.elapsed()
        }

        fn set_off_by(&self, seconds: i64) {
            self.off_by_ms.store(seconds * 1_000, Ordering::Relaxed);
        }

        fn guard(self: &Arc<Self>) -> ClockGuard {
            let world = self.clone();
            let log = MemoryLog::with_time(Arc::new(move || {
                world.asked.fetch_add(1, Ordering::Relaxed);
                world.time()
            }));
            ClockGuard::new(self.clone(), Arc::new(log), &Config::default())
        }
    }

    #[async_trait]
    impl Clock for World {
        fn now(&self) -> Instant {
            self.time() + TimeDelta::milliseconds(self.off_by_ms.load(Ordering::Relaxed))
        }

        async fn sleep_until(&self, at: Instant) {
            while let Ok(left) = (at - self.now()).to_std() {
                tokio::time::sleep(left.max(Duration::from_millis(1))).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_off_either_way_gives_the_logs_time_and_is_suspect() {
        for (off_by, suspect) in
            [(3_600, Apart::Ahead(TimeDelta::hours(1))), (-90, Apart::Behind(TimeDelta::seconds(90)))]
        {
            let world = World::new();
            let guard = world.guard();
            assert_eq!(guard.now().await.unwrap(), world.time());
            assert_eq!(guard.standing(), ClockStanding::default());
            world.set_off_by(off_by);
            assert_eq!(guard.now().await.unwrap(), world.time());
            assert_eq!(guard.standing().suspect, Some(suspect));
            tokio::time::advance(Duration::from_millis(1_500)).await;
            assert_eq!(guard.now().await.unwrap(), world.time(), "between two questions, by the ticks");
            world.set_off_by(0);
            assert_eq!(guard.now().await.unwrap(), world.time());
            assert!(!guard.clock_suspect());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_logs_time_is_told_to_the_microsecond() {
        let world = World::new();
        world.set_off_by(3_600);
        let guard = world.guard();
        guard.now().await.unwrap();
        tokio::time::advance(Duration::from_nanos(1_234_567)).await;
        assert_eq!(guard.now().await.unwrap(), world.time().trunc_subsecs(6));
        assert_ne!(world.time(), world.time().trunc_subsecs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_within_the_bound_is_believed_if_it_is_ahead_and_lifted_if_it_is_behind() {
        let world = World::new();
        world.off_by_ms.store(900, Ordering::Relaxed);
        let guard = world.guard();
        assert_eq!(guard.now().await.unwrap(), world.now());
        let world = World::new();
        world.off_by_ms.store(-900, Ordering::Relaxed);
        let guard = world.guard();
        assert_eq!(guard.now().await.unwrap(), world.time());
        assert!(!guard.clock_suspect());
    }

    #[tokio::test(start_paused = true)]
    async fn time_never_goes_back_when_a_clock_is_set_back_within_the_bound() {
        let world = World::new();
        world.off_by_ms.store(900, Ordering::Relaxed);
        let guard = world.guard();
        let before = guard.now().await.unwrap();
        world.set_off_by(-7_200);
        assert_eq!(guard.now().await.unwrap(), before);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(guard.now().await.unwrap(), world.time());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_wakes_at_the_logs_instant_though_its_clock_is_behind_or_ahead() {
        for off_by in [-90, -36_000, 3_600] {
            let world = World::new();
            world.set_off_by(off_by);
            let guard = world.guard();
            guard.now().await.unwrap();
            let at = world.time() + TimeDelta::seconds(600);
            guard.sleep_until(at).await;
            let late = world.time() - at;
            assert!((TimeDelta::zero()..TimeDelta::milliseconds(5)).contains(&late), "{off_by}: {late}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sleeper_whose_clock_is_set_meanwhile_wakes_at_the_logs_instant() {
        for off_by in [-3_600, 3_600] {
            let world = World::new();
            let guard = world.guard();
            guard.now().await.unwrap();
            let at = world.time() + TimeDelta::seconds(600);
            let set = async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                world.set_off_by(off_by);
            };
            tokio::join!(guard.sleep_until(at), set);
            let late = world.time() - at;
            assert!((TimeDelta::zero()..TimeDelta::milliseconds(5)).contains(&late), "{off_by}: {late}");
            assert!(world.asked.load(Ordering::Relaxed) < 60, "the log is not asked all the time");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_while_the_log_is_asked_is_not_believed() {
        let world = World::new();
        let set = world.clone();
        let log = MemoryLog::with_time(Arc::new(move || {
            set.set_off_by(3_600);
            set.time()
        }));
        let guard = ClockGuard::new(world.clone(), Arc::new(log), &Config::default());
        assert_eq!(guard.now().await.unwrap(), world.time());
        assert_eq!(guard.standing().suspect, Some(Apart::Ahead(TimeDelta::hours(1))));
    }
}
