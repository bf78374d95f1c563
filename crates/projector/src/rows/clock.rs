//! Clocks (R30–R40) as rows.

use std::time::Duration;

use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::BranchView;
use cuiban_domain::sla::{Clock, ClockKind, ClockState, Limit, Notice};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forms;

/// How a clock stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClockStanding {
    /// 计时中: counting down.
    Running,
    /// 暂停: standing still; it cannot breach (R37).
    Paused,
    /// 按时: fulfilled in time.
    Met,
    /// 逾期: the limit was broken, and what it waits for is still owed.
    Breached,
    /// 逾期完成: the limit was broken; the thing owed was done later.
    BreachEnded,
    /// 取消: not owed any more.
    Cancelled,
}

impl ClockStanding {
    /// Whether the clock still waits for something.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Breached)
    }
}

/// One clock of a ticket in one cycle (R39).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClockRow {
    /// What it counts towards.
    pub clock: ClockKind,
    /// Counted from 1; a reopening starts the next.
    pub cycle: u32,
    /// How it stands.
    pub standing: ClockStanding,
    /// How long it may run.
    #[serde(with = "forms::limit")]
    pub limit: Limit,
    /// When it began.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Instant,
    /// When the limit is, or was, used up; none while it is paused, or when it ended without a known one.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Instant>,
    /// What was used up before `running_since` (R37).
    #[serde(with = "forms::duration")]
    #[schema(value_type = String, example = "1h 30m")]
    pub consumed: Duration,
    /// When it last began to run.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub running_since: Instant,
    /// Since when it stands still, while it does.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_since: Option<Instant>,
    /// When it was met, made good or cancelled.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Instant>,
    /// Met in time, but recorded only after the due instant (R40).
    pub late_recorded: bool,
    /// The policy that gave the due instant, `c3.b1` (R35); empty when it came with a transfer.
    pub policy_version: String,
    /// The calendar that gave the due instant (R35); empty when it came with a transfer.
    pub calendar_version: String,
    /// The notices that went out, superseded ones included.
    pub notices: Vec<Notice>,
}

impl ClockRow {
    /// What is left of the limit at `now`: none once the clock has ended, zero once the limit is broken.
    pub fn remaining_at(&self, now: Instant, branch: &BranchView<'_>) -> Option<Duration> {
        let span = self.limit.span.duration();
        match self.standing {
            ClockStanding::Running => {
                let since = self.limit.consumed(self.running_since, now, branch.calendar);
                Some(span.saturating_sub(self.consumed + since))
            }
            ClockStanding::Paused => Some(span.saturating_sub(self.consumed)),
            ClockStanding::Breached => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// A clock as a transfer's summary brings it.
impl From<&Clock> for ClockRow {
    fn from(clock: &Clock) -> Self {
        let mut row = Self {
            clock: clock.kind,
            cycle: clock.cycle,
            standing: ClockStanding::Running,
            limit: clock.limit,
            started_at: clock.started_at,
            due_at: None,
            consumed: clock.consumed,
            running_since: clock.running_since,
            paused_since: None,
            ended_at: None,
            late_recorded: false,
            policy_version: String::new(),
            calendar_version: String::new(),
            notices: clock.notices.clone(),
        };
        match clock.state {
            ClockState::Running { due_at } => row.due_at = Some(due_at),
            ClockState::Paused { since } => {
                (row.standing, row.paused_since) = (ClockStanding::Paused, Some(since));
            }
            ClockState::Met { at, late_recorded } => {
                (row.standing, row.ended_at) = (ClockStanding::Met, Some(at));
                row.late_recorded = late_recorded;
            }
            ClockState::Breached { due_at, ended_at } => {
                (row.due_at, row.ended_at) = (Some(due_at), ended_at);
                row.standing = match ended_at {
                    Some(_) => ClockStanding::BreachEnded,
                    None => ClockStanding::Breached,
                };
            }
            ClockState::Cancelled => row.standing = ClockStanding::Cancelled,
        }
        row
    }
}

/// A clock that runs or is paused, and so may still break its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenClock {
    /// Whose clock it is.
    pub ticket: TicketId,
    /// The branch that has the ticket.
    pub branch: BranchId,
    /// What it counts towards.
    pub clock: ClockKind,
    /// Counted from 1 (R39).
    pub cycle: u32,
    /// How long it may run.
    #[serde(with = "forms::limit")]
    pub limit: Limit,
    /// When it began.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Instant,
    /// When the limit is used up; none while the clock is paused.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Instant>,
    /// What was used up before `running_since`.
    #[serde(with = "forms::duration")]
    #[schema(value_type = String, example = "1h 30m")]
    pub consumed: Duration,
    /// When it last began to run.
    #[serde(with = "forms::instant")]
    #[schema(value_type = String, format = DateTime)]
    pub running_since: Instant,
    /// Since when it stands still, while it does.
    #[serde(with = "forms::instant_option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_since: Option<Instant>,
}

/// The running clocks that are due and have no notice, though the watchdog had time enough to issue it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unurged {
    /// How many; at most [`crate::Config::list_rows_max`] are looked at.
    pub clocks: usize,
    /// The one that has been due for longest.
    pub oldest: Option<OpenClock>,
    /// How many more are due whose tickets cannot be read: nobody can urge them before their stream is mended.
    pub unreadable: usize,
    /// Which of those has been due for longest.
    pub oldest_unreadable: Option<OpenClock>,
}
