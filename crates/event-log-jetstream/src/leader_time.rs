//! Whether the time of the server that leads is the time of the servers that keep the stream.
//!
//! The log's own time comes with the stream's info, from the stream's leader; its clock may be wrong, and by a fast one
//! every 催办 would be early. So the other servers are asked for theirs: when a leader is heard for the first time, when its
//! time does not go on as time passes, and every so often. Where it differs from the middle one of all, the leader is suspect,
//! and the lower of the two is told.
//!
//! Servers tell their own time to anybody of an account who asks which connections the account has
//! (`$SYS.REQ.SERVER.PING.CONNZ`, which `deploy/nats-server.conf` allows). Where that is not allowed, the leader is believed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use cuiban_event_log::{AgreedTime, LogError, TimeStanding};
use futures::StreamExt;
use serde::Deserialize;

use crate::api::{Broker, StreamInfo};

/// Answered by every server, with what is asked for below and with its time.
const SERVERS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// As little as possible besides.
const FIRST_CONNECTION: &str = r#"{"limit":1}"#;

/// How long servers are waited for. One that is away is waited for so long each time a leader is judged anew.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// For how long what they told is gone by.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// The same where none of them has ever told its time: it is not allowed, and each question is an error in the broker's log.
const ASKED_AGAIN_IN_VAIN_AFTER: Duration = Duration::from_secs(300);
/// How far the leader's time may go another way than time passes before the servers are asked at once.
const JUMP_MAX: TimeDelta = TimeDelta::seconds(1);
/// An answer that took longer does not show that the leader is behind.
const PROMPT: Duration = Duration::from_millis(500);

type Ticks = tokio::time::Instant;

/// For how long something takes.
#[expect(
    clippy::disallowed_methods,
    reason = "no time of day: servers' times are compared as they were at one instant"
)]
pub(crate) fn ticks() -> Ticks {
    Ticks::now()
}

/// A time, and when it was told.
#[derive(Clone, Copy, Debug)]
struct Told {
    time: DateTime<Utc>,
    at: Ticks,
}

impl Told {
    /// What that clock shows at another instant.
    fn at(self, at: Ticks) -> DateTime<Utc> {
        let signed = |duration: Duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        self.time + signed(at.saturating_duration_since(self.at))
            - signed(self.at.saturating_duration_since(at))
    }
}

/// What is known of the servers' times. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderTime {
    state: Arc<Mutex<State>>,
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest time told to anybody: another leader's may be lower.
    latest: Option<DateTime<Utc>>,
    leader: Option<(String, Told)>,
    servers: BTreeMap<String, Told>,
    asked_at: Option<Ticks>,
    /// Whether another server has ever told its time.
    is_allowed: bool,
    apart: Option<TimeDelta>,
}

/// Whether the servers' times are good enough to judge a leader by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Fresh,
    /// Good enough, and to be asked for again.
    Aging,
    /// Not of this leader, or it has jumped.
    Not,
}

impl LeaderTime {
    /// The log's own time by an answer of its leader that was asked for at `asked` and has just come.
    pub(crate) async fn judge(
        &self,
        broker: &Broker,
        info: &StreamInfo,
        asked: Ticks,
    ) -> Result<DateTime<Utc>, LogError> {
        let told = Told { time: info.ts, at: ticks() };
        let Some(leader) = info.leader() else { return Ok(self.state().tell(info.ts)) };
        let others: Vec<&str> = info.followers().collect();
        if others.is_empty() {
            return Ok(self.state().tell(info.ts));
        }
        let known = self.state().known(leader, told);
        match known {
            Known::Fresh => {}
            Known::Aging => self.ask_beside(broker, &others),
            Known::Not => self.ask(broker, &others).await,
        }
        let waited = told.at.saturating_duration_since(asked);
        self.state().judge(leader, told, waited, &others)
    }

    pub(crate) fn standing(&self) -> TimeStanding {
        TimeStanding { leader_apart: self.state().apart, ..TimeStanding::default() }
    }

    fn ask_beside(&self, broker: &Broker, others: &[&str]) {
        let (this, broker) = (self.clone(), broker.clone());
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        tokio::spawn(async move {
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            this.ask(&broker, &others).await;
        });
    }

    /// Asks the servers for their times, once for all who want to know; whoever does not answer stays unknown.
    async fn ask(&self, broker: &Broker, others: &[&str]) {
        let asked = ticks();
        let _asking = self.asking.lock().await;
        if self.state().asked_at.is_some_and(|asked_at| asked_at >= asked) {
            return;
        }
        let asked = ticks();
        let mut servers = BTreeMap::new();
        let answers = tokio::time::timeout(ANSWERED_WITHIN, answers(broker, others, &mut servers)).await;
        if let Ok(Err(error)) = answers {
            tracing::debug!(%error, "the servers cannot be asked for their times");
        }
        let mut state = self.state();
        let is_first = state.asked_at.is_none();
        state.is_allowed |= !servers.is_empty();
        if is_first && !state.is_allowed {
            tracing::warn!(
                "the servers do not tell their times, so that a leader with a wrong clock is believed: allow publishing on {SERVERS}"
            );
        }
        state.asked_at = Some(asked);
        state.servers = servers;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn known(&self, leader: &str, told: Told) -> Known {
        let Some(asked_at) = self.asked_at else { return Known::Not };
        let again_after = if self.is_allowed { ASKED_AGAIN_AFTER } else { ASKED_AGAIN_IN_VAIN_AFTER };
        let is_old = told.at.saturating_duration_since(asked_at) >= again_after;
        let goes_on = self.leader.as_ref().is_some_and(|(before, then)| {
            before == leader && (told.time - then.at(told.at)).abs() <= JUMP_MAX
        });
        match (goes_on, is_old) {
            _ if !self.is_allowed && !is_old => Known::Fresh,
            (false, _) => Known::Not,
            (true, true) => Known::Aging,
            (true, false) => Known::Fresh,
        }
    }

    fn judge(
        &mut self,
        leader: &str,
        told: Told,
        waited: Duration,
        others: &[&str],
    ) -> Result<DateTime<Utc>, LogError> {
        let times: Vec<_> =
            others.iter().filter_map(|name| Some(self.servers.get(*name)?.at(told.at))).collect();
        if times.is_empty() && self.is_allowed {
            let source =
                "no other server tells its time, so nobody knows whether the leader's is right".into();
            return Err(LogError::Unavailable { attempted: "ask for the log's time", source });
        }
        self.leader = Some((leader.to_owned(), told));
        let agreed = AgreedTime::of(told.time, &times);
        // It read its clock before its answer was under way: a slow answer is no clock that is behind.
        let apart = agreed.leader_apart.filter(|apart| *apart > TimeDelta::zero() || waited <= PROMPT);
        match (self.apart, apart) {
            (None, Some(apart)) => tracing::error!(
                leader,
                apart_ms = apart.num_milliseconds(),
                "leader_suspect: the clock of the stream's leader differs from the other servers'; the lower time is used"
            ),
            (Some(_), None) => tracing::info!(leader, "leader_suspect is over"),
            _ => {}
        }
        self.apart = apart;
        Ok(self.tell(agreed.time))
    }

    /// Never before what was told earlier.
    fn tell(&mut self, time: DateTime<Utc>) -> DateTime<Utc> {
        *self.latest.insert(self.latest.map_or(time, |latest| latest.max(time)))
    }
}

/// What every server answers to whoever may ask.
#[derive(Deserialize)]
struct Answer {
    server: Server,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    time: DateTime<Utc>,
}

/// Hears the servers until all of these have answered.
async fn answers(
    broker: &Broker,
    wanted: &[&str],
    servers: &mut BTreeMap<String, Told>,
) -> Result<(), async_nats::Error> {
    // What is given to a client without a connection is kept for later.
    if !broker.is_connected() {
        return Ok(());
    }
    let inbox = broker.client.new_inbox();
    let mut heard = broker.client.subscribe(inbox.clone()).await?;
    broker.client.publish_with_reply(SERVERS, inbox, Bytes::from_static(FIRST_CONNECTION.as_bytes())).await?;
    while let Some(message) = heard.next().await {
        if let Ok(Answer { server }) = serde_json::from_slice(&message.payload) {
            servers.insert(server.name, Told { time: server.time, at: ticks() });
        }
        if wanted.iter().all(|name| servers.contains_key(*name)) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    /// A state in which these servers have told their times at an instant.
    fn asked(now: Ticks, servers: &[(&str, i64)]) -> State {
        let servers =
            servers.iter().map(|(name, time)| ((*name).to_owned(), Told { time: at(*time), at: now }));
        State { servers: servers.collect(), asked_at: Some(now), is_allowed: true, ..State::default() }
    }

    #[test]
    fn a_leader_ahead_of_the_others_is_suspect_and_their_time_is_told() {
        let now = ticks();
        let mut state = asked(now, &[("b", 0), ("c", 0)]);
        let told = |seconds, time| Told { time: at(time), at: now + Duration::from_secs(seconds) };
        let judge = |state: &mut State, told| state.judge("a", told, Duration::ZERO, &["b", "c"]).unwrap();
        assert_eq!(judge(&mut state, told(0, 3_600)), at(0));
        assert_eq!(state.apart, Some(TimeDelta::hours(1)));
        assert_eq!(judge(&mut state, told(5, 3_605)), at(5), "it goes on as time passes");
        assert_eq!(judge(&mut state, told(6, 6)), at(6));
        assert_eq!(state.apart, None);
        assert_eq!(judge(&mut state, told(7, -3_600)), at(6), "what was told is not taken back");
        assert_eq!(state.apart, Some(TimeDelta::seconds(-3_607)));
    }

    #[test]
    fn a_slow_answer_is_no_leader_behind() {
        let now = ticks();
        let mut state = asked(now, &[("b", 0), ("c", 0)]);
        let told = Told { time: at(0), at: now + Duration::from_secs(4) };
        assert_eq!(state.judge("a", told, Duration::from_secs(4), &["b", "c"]).unwrap(), at(0));
        assert_eq!(state.apart, None);
    }

    #[test]
    fn the_servers_are_asked_when_another_leads_and_when_the_leaders_time_jumps() {
        let now = ticks();
        let mut state = asked(now, &[("b", 0), ("c", 0)]);
        let told = |seconds, time| Told { time: at(time), at: now + Duration::from_secs(seconds) };
        assert_eq!(State::default().known("a", told(0, 0)), Known::Not);
        state.judge("a", told(0, 0), Duration::ZERO, &["b", "c"]).unwrap();
        assert_eq!(state.known("a", told(5, 5)), Known::Fresh);
        assert_eq!(state.known("a", told(11, 11)), Known::Aging);
        assert_eq!(state.known("a", told(5, 3_600)), Known::Not);
        assert_eq!(state.known("b", told(5, 5)), Known::Not);
    }

    #[test]
    fn where_servers_told_their_times_and_none_does_any_more_there_is_no_time() {
        let now = ticks();
        let told = Told { time: at(3_600), at: now };
        assert!(asked(now, &[("a", 0)]).judge("a", told, Duration::ZERO, &["b", "c"]).is_err());
        let mut not_allowed = State { is_allowed: false, ..asked(now, &[]) };
        assert_eq!(not_allowed.judge("a", told, Duration::ZERO, &["b", "c"]).unwrap(), at(3_600));
        assert_eq!(not_allowed.known("a", told), Known::Fresh, "it is not asked all the time in vain");
    }
}
