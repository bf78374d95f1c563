//! The log's own time: the wall clock, checked against one that nobody can set.
//!
//! The boot clock runs through a machine's sleep, so a difference between its pace and the wall clock's is a clock that was
//! set. A small step forward is followed, and after a small step back the time stands until the wall clock has reached it:
//! NTP does such things. A large one is not: the old time runs on by the boot clock, and 时钟待确认 is said until a person
//! confirms the wall clock, it is put right, or the log is opened anew. Early is worse than late, and a year is not missed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cuiban_event_log::{ClockStep, LogError, TimeSource};

/// A difference between the wall clock's and the boot clock's pace that is a step, not drift.
const STEP_MIN: TimeDelta = TimeDelta::milliseconds(500);
/// The largest step that is followed unasked. NTP steps a clock that nobody minded by minutes; a wrong date or time zone is
/// an hour at least.
const STEP_MAX: TimeDelta = TimeDelta::minutes(10);
/// How far the wall clock may be ahead of the log's last commit at a start before it is said: no office is closed so long
/// every week.
const AHEAD_SAID: TimeDelta = TimeDelta::days(1);
/// How far the wall clock may be ahead of the log's last commit at a start before a person must confirm it: the longest
/// holidays are over by then.
pub const CLOCK_AHEAD_MAX: TimeDelta = TimeDelta::days(30);
/// How near to the wall clock a confirmed time must be: then it is this clock, and now, that somebody has looked at.
const CONFIRMED_WITHIN: TimeDelta = TimeDelta::minutes(10);

type BootClock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Tells a time that never goes back.
pub(crate) struct LogTime {
    wall: TimeSource,
    boot: BootClock,
    /// Whether large steps are waited with; a scaled clock is nothing but steps.
    is_checked: bool,
    /// Where a confirmation is put down.
    confirmation: PathBuf,
    told: Mutex<Told>,
}

struct Told {
    last: DateTime<Utc>,
    /// The time that was followed last, and when by the boot clock.
    followed: DateTime<Utc>,
    followed_at: Duration,
    /// When the log's last commit was recorded, until the wall clock is found plausible beside it.
    last_commit: Option<DateTime<Utc>>,
    doubt: Option<ClockStep>,
}

#[expect(clippy::disallowed_methods, reason = "the log's own time is a source, not a reader, of `Clock`")]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// Time since the machine was started, asleep or awake.
#[expect(clippy::disallowed_methods, reason = "the clock that the wall clock is checked against")]
fn boot_clock() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // Elsewhere the monotonic clock is the nearest; on macOS it runs through sleep, too.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(CLOCK);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

impl LogTime {
    /// The system's clocks, for the log in this file.
    pub(crate) fn system(log: &Path) -> Self {
        Self::new(Arc::new(wall_clock), Box::new(boot_clock), true, confirmation_of(log))
    }

    /// A given wall clock, which may run at any pace.
    pub(crate) fn with_wall(wall: TimeSource, log: &Path) -> Self {
        Self::new(wall, Box::new(boot_clock), false, confirmation_of(log))
    }

    fn new(wall: TimeSource, boot: BootClock, is_checked: bool, confirmation: PathBuf) -> Self {
        let (now, followed_at) = (wall(), boot());
        let told = Told { last: now, followed: now, followed_at, last_commit: None, doubt: None };
        Self { wall, boot, is_checked, confirmation, told: Mutex::new(told) }
    }

    /// Has the wall clock compared with the time at which the log's last commit was recorded, as it is at a start.
    pub(crate) fn begins_after(&self, last_commit: DateTime<Utc>) {
        let (wall, mut told) = ((self.wall)(), self.told());
        let ahead = wall - last_commit;
        if ahead > AHEAD_SAID || ahead < -STEP_MAX {
            tracing::warn!(%wall, %last_commit, "the wall clock is far from the log's last commit: is it right?");
        }
        told.last_commit = Some(last_commit);
        drop(told);
        if let Err(error) = self.now() {
            tracing::error!(%error, "时钟待确认: nothing is decided until the clock is right or `cuiban clock accept` was run");
        }
    }

    /// The time now; never before a time told earlier. None while the wall clock at a start is not confirmed.
    pub(crate) fn now(&self) -> Result<DateTime<Utc>, LogError> {
        let mut told = self.told();
        let (wall, boot) = ((self.wall)(), (self.boot)());
        if let Some(last_commit) = told.last_commit {
            let step = ClockStep { wall, expected: last_commit };
            if wall - last_commit > CLOCK_AHEAD_MAX && !self.is_confirmed(wall) {
                told.doubt = Some(step);
                return Err(LogError::ClockToBeConfirmed { attempted: "ask for the log's time", step });
            }
            // Here the time begins: none was told before.
            *told = Told { last: wall, followed: wall, followed_at: boot, last_commit: None, doubt: None };
        }
        let passed = boot.saturating_sub(told.followed_at);
        let expected = told.followed + TimeDelta::from_std(passed).unwrap_or(TimeDelta::MAX);
        let time = self.follow(&mut told, ClockStep { wall, expected });
        (told.followed, told.followed_at) = (time, boot);
        told.last = told.last.max(time);
        Ok(told.last)
    }

    /// What people must confirm, if anything.
    pub(crate) fn to_be_confirmed(&self) -> Option<ClockStep> {
        self.told().doubt
    }

    /// The wall clock's time, or the one that was expected where the wall clock is doubted.
    fn follow(&self, told: &mut Told, step: ClockStep) -> DateTime<Utc> {
        let by = step.wall - step.expected;
        if self.is_checked && by.abs() > STEP_MAX && !self.is_confirmed(step.wall) {
            if told.doubt.replace(step).is_none() {
                tracing::error!(%step, "时钟待确认: the wall clock was set and is not followed; the old time runs on until it is put right, `cuiban clock accept` was run, or a restart");
            }
            return step.expected;
        }
        if told.doubt.take().is_some() {
            tracing::warn!(%step, "the wall clock is followed again");
        } else if by.abs() > STEP_MIN {
            tracing::warn!(step_ms = by.num_milliseconds(), "the wall clock was set");
        }
        step.wall
    }

    /// Whether somebody has looked at this wall clock and found it right. A confirmation is good for once.
    fn is_confirmed(&self, wall: DateTime<Utc>) -> bool {
        let confirmed = std::fs::read_to_string(&self.confirmation).ok();
        let at: Option<DateTime<Utc>> = confirmed.and_then(|text| text.trim().parse().ok());
        let is_confirmed = at.is_some_and(|at| (wall - at).abs() <= CONFIRMED_WITHIN);
        if is_confirmed {
            tracing::warn!(%wall, "the clock was confirmed");
            if let Err(error) = std::fs::remove_file(&self.confirmation) {
                tracing::warn!(%error, "the clock's confirmation cannot be taken away");
            }
        }
        is_confirmed
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A person has looked at the wall clock and finds it right: the process that has this log open follows it, or the next that
/// opens it within ten minutes. Answers what was confirmed.
pub fn confirm_clock(log: &Path) -> std::io::Result<DateTime<Utc>> {
    let wall = wall_clock();
    let (place, beside) = (confirmation_of(log), log.with_extension("clock-accepted.new"));
    std::fs::write(&beside, format!("{}\n", wall.to_rfc3339()))?;
    std::fs::rename(beside, place)?;
    Ok(wall)
}

fn confirmation_of(log: &Path) -> PathBuf {
    log.with_extension("clock-accepted")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_772_413_200;

    /// The wall clock's and the boot clock's readings, in seconds from a start.
    struct Machine {
        reading: Arc<Mutex<(i64, u64)>>,
        time: LogTime,
        _folder: tempfile::TempDir,
        log: PathBuf,
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(START + seconds, 0).unwrap()
    }

    impl Machine {
        fn new() -> Self {
            Self::started_at(0)
        }

        fn started_at(wall: i64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let log = folder.path().join("log.sqlite");
            let reading = Arc::new(Mutex::new((wall, 0)));
            let (wall, boot) = (reading.clone(), reading.clone());
            let time = LogTime::new(
                Arc::new(move || at(wall.lock().unwrap().0)),
                Box::new(move || Duration::from_secs(boot.lock().unwrap().1)),
                true,
                confirmation_of(&log),
            );
            Self { reading, time, _folder: folder, log }
        }

        /// What is told, in seconds from the start.
        fn told(&self, wall: i64, boot: u64) -> i64 {
            *self.reading.lock().unwrap() = (wall, boot);
            self.time.now().unwrap().timestamp() - START
        }

        fn confirm(&self, wall: i64) {
            std::fs::write(confirmation_of(&self.log), at(wall).to_rfc3339()).unwrap();
        }
    }

    const YEARS: i64 = 73 * 365 * 86_400;

    #[test]
    fn a_small_step_back_holds_the_time_until_the_wall_clock_has_caught_up() {
        let machine = Machine::new();
        let told =
            [(10, 10), (11, 11), (5, 12), (10, 17), (12, 19)].map(|(wall, boot)| machine.told(wall, boot));
        assert_eq!(told, [10, 11, 11, 11, 12]);
        assert_eq!(machine.time.to_be_confirmed(), None);
    }

    #[test]
    fn a_small_step_forward_is_followed() {
        let machine = Machine::new();
        assert_eq!(machine.told(1, 1), 1);
        assert_eq!(machine.told(302, 2), 302);
        assert_eq!(machine.time.to_be_confirmed(), None);
    }

    #[test]
    fn a_machine_that_sleeps_has_not_set_its_clock() {
        let machine = Machine::new();
        assert_eq!(machine.told(86_400, 86_400), 86_400);
        assert_eq!(machine.time.to_be_confirmed(), None);
    }

    #[test]
    fn a_large_step_is_not_followed_and_the_old_time_runs_on_until_the_clock_is_put_right() {
        for wall in [YEARS, 3_600, -3_600] {
            let machine = Machine::new();
            assert_eq!(machine.told(wall + 5, 5), 5);
            assert_eq!(machine.told(wall + 1_000, 1_000), 1_000);
            let step = machine.time.to_be_confirmed().unwrap();
            assert_eq!(step, ClockStep { wall: at(wall + 1_000), expected: at(1_000) });
            assert_eq!(machine.told(2_000, 2_000), 2_000);
            assert_eq!(machine.time.to_be_confirmed(), None);
        }
    }

    #[test]
    fn a_large_step_is_followed_once_it_is_confirmed_and_the_next_one_is_not() {
        let machine = Machine::new();
        assert_eq!(machine.told(3_605, 5), 5);
        machine.confirm(3_606);
        assert_eq!(machine.told(3_607, 7), 3_607);
        assert_eq!(machine.time.to_be_confirmed(), None);
        assert_eq!(machine.told(7_208, 8), 3_608);
        machine.confirm(3_608);
        assert_eq!(machine.told(7_209, 9), 3_609, "what was confirmed is another time");
    }

    #[test]
    fn a_confirmed_step_back_holds_the_time() {
        let machine = Machine::new();
        assert_eq!(machine.told(-3_600 + 5, 5), 5);
        machine.confirm(-3_600 + 6);
        assert_eq!(machine.told(-3_600 + 7, 7), 5);
        assert_eq!(machine.told(6, 3_606), 6);
    }

    #[test]
    fn a_start_thirty_days_after_the_last_commit_waits_for_a_person() {
        let machine = Machine::started_at(31 * 86_400);
        machine.time.begins_after(at(0));
        let told = machine.time.now();
        assert!(
            matches!(told, Err(LogError::ClockToBeConfirmed { step, .. }) if step.expected == at(0)),
            "{told:?}"
        );
        assert!(machine.time.to_be_confirmed().is_some());
        machine.confirm(31 * 86_400 + 60);
        assert_eq!(machine.told(31 * 86_400 + 61, 62), 31 * 86_400 + 61);
        assert_eq!(machine.time.to_be_confirmed(), None);
        assert_eq!(machine.told(31 * 86_400 + 62, 63), 31 * 86_400 + 62, "it is asked about once");
    }

    #[test]
    fn a_start_with_a_wrong_clock_goes_on_when_the_clock_is_put_right() {
        let machine = Machine::started_at(YEARS);
        machine.time.begins_after(at(0));
        assert!(machine.time.now().is_err());
        assert_eq!(machine.told(100, 2), 100);
    }

    #[test]
    fn a_start_within_thirty_days_of_the_last_commit_or_before_it_goes_on() {
        for wall in [29 * 86_400, -86_400] {
            let machine = Machine::started_at(wall);
            machine.time.begins_after(at(0));
            assert_eq!(machine.told(wall + 1, 1), wall + 1);
            assert_eq!(machine.time.to_be_confirmed(), None);
        }
    }

    #[test]
    fn the_boot_clock_goes_on() {
        let before = boot_clock();
        assert!(boot_clock() >= before && before > Duration::ZERO);
    }
}
