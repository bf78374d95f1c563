//! The alerts' receiver: away, slow, or heard by nobody; it remembers what it got.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::{ChannelId, InvalidId};
use cuiban_notifier::{Channel, Message, PushError};
use uuid::Uuid;

use super::fault::Fault;
use super::scene::Scene;

/// Once in how many pushes the receiver goes away.
const AWAY_ONE_IN: u32 = 25;
/// Once in how many pushes it is slow, or its answer is lost.
const FAULT_ONE_IN: u32 = 10;

/// One message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) id: MessageId,
    pub(crate) alerts: Vec<Uuid>,
    /// Whether it said that it may be there already.
    pub(crate) maybe_twice: bool,
    /// When its notifier sent it; a slow receiver takes in what was sent later before it.
    pub(crate) sent_at: Instant,
    pub(crate) at: Instant,
}

/// The one receiver of a seed.
#[derive(Debug)]
pub(crate) struct Receiver {
    id: ChannelId,
    scene: Arc<Scene>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: fastrand::Rng,
    away_until: Option<Instant>,
    /// When it is away though no faults strike.
    last_away: Option<(Instant, Instant)>,
    arrived: Vec<Arrived>,
}

impl Receiver {
    pub(crate) fn new(scene: Arc<Scene>) -> Result<Self, InvalidId> {
        let chance = scene.chance("receiver", 0);
        let state = State { chance, away_until: None, last_away: None, arrived: Vec::new() };
        Ok(Self { id: ChannelId::new("receiver")?, scene, state: Mutex::new(state) })
    }

    /// What arrived, in order, whatever was answered.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state().arrived.clone()
    }

    /// It goes away once more, unless it never does.
    pub(crate) fn go_away(&self, from: Instant, until: Instant) {
        if !self.scene.faults.are_without(Fault::ReceiverAway) {
            self.state().last_away = Some((from, until));
        }
    }

    /// When it was away though no faults struck.
    pub(crate) fn last_away(&self) -> Option<(Instant, Instant)> {
        self.state().last_away
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, fault: Fault) {
        self.scene.tell(|| format!("receiver  {fault}"));
    }

    /// Whether it is away; it may go just now.
    fn is_away(&self) -> bool {
        let (now, faults) = (self.scene.now(), &self.scene.faults);
        let mut state = self.state();
        let (minutes, goes_away) = (state.chance.i64(1..180), state.chance.u32(..AWAY_ONE_IN) == 0);
        let is_away = faults.are_on() && state.away_until.is_some_and(|until| now < until)
            || state.last_away.is_some_and(|(from, until)| from <= now && now < until);
        // A process that asks again and again while it is away does not keep it away.
        if !is_away && goes_away && faults.are_let(Fault::ReceiverAway) {
            state.away_until = Some(now + TimeDelta::minutes(minutes));
            drop(state);
            self.tell(Fault::ReceiverAway);
            return true;
        }
        is_away
    }

    fn strikes(&self, fault: Fault) -> bool {
        let strikes = self.scene.faults.strikes(fault, &mut self.state().chance, FAULT_ONE_IN);
        if strikes {
            self.tell(fault);
        }
        strikes
    }
}

#[async_trait]
impl Channel for Receiver {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    async fn push(&self, message: &Message) -> Result<(), PushError> {
        let sent_at = self.scene.now();
        if self.is_away() {
            return Err(PushError::unavailable("nobody answers"));
        }
        let delay = match self.strikes(Fault::ReceiverSlow) {
            true => Duration::from_secs(self.state().chance.u64(5..60)),
            false => Duration::from_millis(self.state().chance.u64(1..80)),
        };
        tokio::time::sleep(delay).await;
        let (id, alerts, maybe_twice) = (message.id, message.alerts.clone(), message.maybe_twice);
        let arrived = Arrived { id, alerts, maybe_twice, sent_at, at: self.scene.now() };
        self.scene.tell(|| format!("receiver  {}", arrived.id));
        self.state().arrived.push(arrived);
        match self.strikes(Fault::ReceiverUnheard) {
            true => Err(PushError::unanswered("the answer is lost")),
            false => Ok(()),
        }
    }
}
