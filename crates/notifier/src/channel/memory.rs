//! A channel that keeps what it gets, and fails when told to; for tests and trials.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cuiban_domain::ids::ChannelId;
use tokio::sync::watch;

use crate::channel::{Channel, PushError};
use crate::message::Message;

/// Keeps every message that was pushed, taken or not.
#[derive(Debug)]
pub struct MemoryChannel {
    id: ChannelId,
    answers: Mutex<VecDeque<Result<(), PushError>>>,
    always: Mutex<Option<PushError>>,
    pushed: watch::Sender<Vec<Message>>,
}

impl MemoryChannel {
    /// A channel that takes everything.
    pub fn new(id: ChannelId) -> Self {
        Self {
            id,
            answers: Mutex::default(),
            always: Mutex::default(),
            pushed: watch::Sender::new(Vec::new()),
        }
    }

    /// Answers the next pushes with these, one each, and everything after that with yes.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Result<(), PushError>>) {
        self.answers().extend(answers);
    }

    /// Answers every push so from now on, after those of [`MemoryChannel::answer_next`]; with yes again, if `None`.
    pub fn answer_always(&self, answer: Option<PushError>) {
        *self.always.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Everything that was pushed, in order.
    pub fn pushed(&self) -> Vec<Message> {
        self.pushed.borrow().clone()
    }

    /// Returns what was pushed as soon as it is `count` messages or more.
    pub async fn wait_for(&self, count: usize) -> Vec<Message> {
        let mut pushed = self.pushed.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = pushed.wait_for(|pushed| pushed.len() >= count).await;
        self.pushed()
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Result<(), PushError>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Channel for MemoryChannel {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    async fn push(&self, message: &Message) -> Result<(), PushError> {
        let always = self.always.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answer = self.answers().pop_front().unwrap_or_else(|| always.map_or(Ok(()), Err));
        self.pushed.send_modify(|pushed| pushed.push(message.clone()));
        answer
    }
}
