//! A clock of a ticket: kind, cycle, limit, consumed time and state (DOMAIN.md, section 4).

use std::time::Duration;

use crate::aggregate::Instant;
use crate::people::words;
use crate::sla::{Limit, Notice, Rung};
use crate::working_time::{WorkingCalendar, WorkingTimeError};

words! {
    /// What a clock counts towards.
    ClockKind {
        /// 24 小时响应: the customer's first answer (R30).
        Response = "response",
        /// 6/7 小时派工: the technician's arrival (R31).
        Dispatch = "dispatch",
        /// 处理期限: set per case (R32).
        Resolution = "resolution",
    }
}

/// One clock in one cycle (R39).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it counts towards.
    pub kind: ClockKind,
    /// Counted from 1; a reopening starts the next.
    pub cycle: u32,
    /// How long it may run.
    pub limit: Limit,
    /// When it began.
    pub started_at: Instant,
    /// What was used up before `running_since` (R37).
    pub consumed: Duration,
    /// When it last began to run: its start, or the end of its last pause.
    pub running_since: Instant,
    /// How it stands.
    pub state: ClockState,
    /// The notices that went out.
    pub notices: Vec<Notice>,
    /// Those of them that count no more: the limit turned out to be kept (R40).
    pub superseded: Vec<Notice>,
}

/// How a clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockState {
    /// Counting down.
    Running {
        /// When the limit is used up; meeting it then is still in time (R38).
        due_at: Instant,
    },
    /// Standing still; it cannot breach (R37).
    Paused {
        /// Since when.
        since: Instant,
    },
    /// Fulfilled in time.
    Met {
        /// When.
        at: Instant,
        /// Recorded only after the due instant had passed (R40).
        late_recorded: bool,
    },
    /// The limit was broken.
    Breached {
        /// The instant that passed.
        due_at: Instant,
        /// When the thing owed was done after all.
        ended_at: Option<Instant>,
    },
    /// Not owed any more: cancelled, merged, reclassified.
    Cancelled,
}

impl Clock {
    /// Whether the clock still waits for something: running, paused, or broken and not made good.
    pub fn is_open(&self) -> bool {
        matches!(
            self.state,
            ClockState::Running { .. }
                | ClockState::Paused { .. }
                | ClockState::Breached { ended_at: None, .. }
        )
    }

    /// Which episode of this clock a breach now belongs to, from 0: each superseding begins the next (R61).
    pub fn episode(&self) -> u32 {
        self.superseded.iter().map(|notice| notice.episode.saturating_add(1)).max().unwrap_or(0)
    }

    /// The notices of the present episode, which would be superseded together.
    pub fn standing_notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter().filter(|notice| !self.superseded.contains(notice))
    }

    /// The notice to be issued when this clock's limit is broken: the first of its episode is repetition 0.
    ///
    /// Earlier builds counted a limit that was broken again by the repetition, within episode 0. Such notices keep their
    /// identities, and none is used twice: the episode lies beyond that of every superseded one (R61).
    pub fn next_notice(&self) -> Notice {
        let issued = self.standing_notices().filter(|notice| notice.rung == Rung::Breach).count();
        let repetition = u32::try_from(issued).unwrap_or(u32::MAX);
        let episode = self.episode();
        Notice { clock: self.kind, cycle: self.cycle, episode, rung: Rung::Breach, repetition }
    }

    /// What is left of the limit when the clock (next) runs from `running_since`.
    pub fn left(&self) -> Duration {
        self.limit.span.duration().saturating_sub(self.consumed)
    }

    /// What is used up if the clock stops at `at`.
    pub fn consumed_at(&self, at: Instant, calendar: &WorkingCalendar) -> Duration {
        self.consumed.saturating_add(self.limit.consumed(self.running_since, at, calendar))
    }

    /// The due instant if the clock goes on at `at` with this limit.
    pub fn due_from(
        &self,
        at: Instant,
        limit: Limit,
        calendar: &WorkingCalendar,
    ) -> Result<Instant, WorkingTimeError> {
        limit.due_at(at, limit.span.duration().saturating_sub(self.consumed), calendar)
    }
}
