//! What was pushed to whom: one stream per alert and the attempts on each channel.
//!
//! The notifier records every attempt here, so that "was the supervisor told, and when" has an answer, and so
//! that a notifier that starts anew knows what is still to be sent.

use std::collections::BTreeMap;

use crate::aggregate::{Aggregate, Class, Context, Happened};
use crate::ids::{BranchId, ChannelId};
use crate::rejection::Rejection;
use crate::text::Line;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The channel took the alert.
    Delivered,
    /// It did not; it will be tried again.
    Failed(Line),
    /// It did not, for the last time.
    GivenUp(Line),
}

/// Record one attempt to push an alert through a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordAttempt {
    /// The branch that the alert concerns.
    pub branch: BranchId,
    /// Through which channel.
    pub channel: ChannelId,
    /// How it ended.
    pub outcome: Outcome,
}

/// What happened to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum AlertEvent {
    /// An attempt was made; `attempt` counts from 1 on each channel.
    AlertAttempted { branch: BranchId, channel: ChannelId, attempt: u32, outcome: Outcome },
}

/// How an alert stands on each channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alert {
    channels: BTreeMap<ChannelId, (u32, bool)>,
}

impl Alert {
    /// How many attempts were made on a channel.
    pub fn attempts(&self, channel: &ChannelId) -> u32 {
        self.channels.get(channel).map_or(0, |(attempts, _)| *attempts)
    }

    /// Whether nothing more is to be done on a channel.
    pub fn is_settled(&self, channel: &ChannelId) -> bool {
        self.channels.get(channel).is_some_and(|(_, settled)| *settled)
    }
}

impl Aggregate for Alert {
    type Command = RecordAttempt;
    type Event = AlertEvent;
    const KIND: &'static str = "alert";

    fn decide(&self, command: &RecordAttempt, _: &Context<'_>) -> Result<Vec<AlertEvent>, Rejection> {
        if self.is_settled(&command.channel) {
            return Ok(Vec::new());
        }
        let RecordAttempt { branch, channel, outcome } = command.clone();
        let attempt = self.attempts(&channel).saturating_add(1);
        Ok(vec![AlertEvent::AlertAttempted { branch, channel, attempt, outcome }])
    }

    fn evolve(&mut self, event: &AlertEvent, _: Happened) {
        let AlertEvent::AlertAttempted { channel, attempt, outcome, .. } = event;
        let settled = !matches!(outcome, Outcome::Failed(_));
        self.channels.insert(channel.clone(), (*attempt, settled));
    }

    fn branch(&self, events: &[AlertEvent]) -> Option<BranchId> {
        events.first().map(|AlertEvent::AlertAttempted { branch, .. }| branch.clone())
    }

    fn class(_: &[AlertEvent]) -> Class {
        Class::Alert
    }
}
