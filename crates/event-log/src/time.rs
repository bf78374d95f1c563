//! The log's own time: how servers that each tell one agree, and what people must know of it.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

/// How far the leader's time may be from the others' before it is suspect. Less, and machines that NTP keeps would be
/// suspect now and then; more, and a notice is early by that much.
const LEADER_APART_MAX: TimeDelta = TimeDelta::seconds(1);

/// The time of servers that read their clocks at one instant, of which one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreedTime {
    /// By this everything is decided: the leader's time, or the middle one where that is lower. Early is worse than late.
    pub time: DateTime<Utc>,
    /// How far the leader is ahead of the middle one (behind, if negative), where that is too far.
    pub leader_apart: Option<TimeDelta>,
}

impl AgreedTime {
    /// Of the leader's time and the other servers'; of two, the lower is the middle one.
    pub fn of(leader: DateTime<Utc>, others: &[DateTime<Utc>]) -> Self {
        let mut times = [&[leader], others].concat();
        times.sort_unstable();
        let middle = times[(times.len() - 1) / 2];
        let apart = leader - middle;
        let leader_apart = (apart.abs() > LEADER_APART_MAX).then_some(apart);
        let time = if leader_apart.is_some() { leader.min(middle) } else { leader };
        Self { time, leader_apart }
    }
}

/// What people must know of a log's own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeStanding {
    /// How far the time of the server that leads is ahead of the other servers' (behind, if negative): it is suspect.
    pub leader_apart: Option<TimeDelta>,
    /// 时钟待确认: the wall clock shows what is not followed until a person confirms it.
    pub to_be_confirmed: Option<ClockStep>,
}

/// A wall clock that is too far from what was expected to be followed unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// What the wall clock shows.
    pub wall: DateTime<Utc>,
    /// What it should show about: the time that runs on instead, or that of the log's last commit.
    pub expected: DateTime<Utc>,
}

impl fmt::Display for ClockStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the wall clock shows {}, about {} was expected", self.wall, self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(leader: i64, others: &[i64]) -> (i64, Option<i64>) {
        let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap();
        let others: Vec<_> = others.iter().map(|seconds| at(*seconds)).collect();
        let agreed = AgreedTime::of(at(leader), &others);
        (agreed.time.timestamp(), agreed.leader_apart.map(|apart| apart.num_seconds()))
    }

    #[test]
    fn a_leader_that_differs_from_the_majority_is_suspect_and_the_lower_time_counts() {
        assert_eq!(agreed(4_000, &[1_000, 1_001]), (1_001, Some(2_999)));
        assert_eq!(agreed(1_000, &[4_000, 4_001]), (1_000, Some(-3_000)));
        assert_eq!(agreed(4_000, &[1_000]), (1_000, Some(3_000)), "of two the lower one");
        assert_eq!(agreed(1_000, &[4_000]), (1_000, None), "of two the lower one, which leads");
    }

    #[test]
    fn a_leader_within_the_bound_or_alone_is_believed() {
        assert_eq!(agreed(1_001, &[1_000, 1_000]), (1_001, None));
        assert_eq!(agreed(1_000, &[1_000, 9_000]), (1_000, None), "another server is off, not the leader");
        assert_eq!(agreed(1_000, &[]), (1_000, None));
    }
}
