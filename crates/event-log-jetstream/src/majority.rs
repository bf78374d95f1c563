//! Leaving a server that stands and leads to nobody.
//!
//! A server that is cut off from the others keeps its clients' connections, can store nothing for them, and does not know
//! who leads; whoever is connected to it would be without the log for as long as that lasts, though the others serve it.
//! So it is noted when the stream's leader is heard, with a majority behind it, and when it is missed. When it has been
//! missed for a while, the servers are asked, each over a connection of its own, and if ours is not among those that lead to it,
//! the client turns to the first that is. While a leader is being chosen, none is: then no server is better than ours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Server, ServerAddr};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::api::{Broker, CallError};
use crate::config::millis;
use crate::connect::options;

/// How long a server is asked, connecting included. Ours is asked as long, so that it is not left for being slow.
const ASKED_MAX: Duration = Duration::from_secs(1);

/// How lately a leader has to have heard of a majority to be turned to: followers are heard of every second, and one that
/// was cut off when ours fell silent has not heard of them for longer than this when it is asked.
const HEARD_LATELY: Duration = Duration::from_millis(1_500);

/// The pause before a leader that has not told of a majority is asked again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often the servers are asked before it is left to the next request without an answer to begin again.
const ROUNDS_MAX: u32 = 10;

/// What is known of the way to the stream's majority. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Majority(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// How often it has been heard.
    heard: Heard,
    is_searching: bool,
    /// The server to turn to with the next connection.
    better: Option<ServerAddr>,
}

/// How often the majority had been heard when something was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard(u64);

impl Majority {
    /// Taken before something is asked: what is heard while the answer is out tells more than the answer's absence.
    pub(crate) fn asked(&self) -> Heard {
        self.state().heard
    }

    /// The majority has been heard.
    pub(crate) fn heard(&self) {
        self.state().heard.0 += 1;
    }

    /// What was asked has no answer. Answers whether the caller shall search for a better server: nothing has been heard
    /// since, and nobody searches yet.
    fn unheard(&self, asked: Heard) -> bool {
        let mut state = self.state();
        let begins = state.heard == asked && !state.is_searching;
        state.is_searching |= begins;
        begins
    }

    /// Where the next connection shall lead, asked for once.
    pub(crate) fn take_better(&self) -> Option<ServerAddr> {
        self.state().better.take()
    }

    /// What was asked of the server before does not count any more.
    fn turn_to(&self, server: ServerAddr) {
        self.heard();
        self.state().better = Some(server);
    }

    fn end_search(&self) {
        self.state().is_searching = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker {
    /// Notes an answer for which the stream's leader is needed. That there is one does not show that a majority stands behind
    /// it; where nobody who leads has answered, the majority is missed.
    pub(crate) fn note<T>(&self, asked: Heard, answer: &Result<T, CallError>) {
        if answer.as_ref().is_err_and(CallError::is_of_nobody) {
            self.miss(asked);
        }
    }

    /// The majority was not heard where it should have been: a better server is looked for, unless it has been heard since.
    pub(crate) fn miss(&self, asked: Heard) {
        if self.majority.unheard(asked) {
            tokio::spawn(search(self.clone(), asked));
        }
    }
}

/// Asks the servers, if there are others than ours, until ours leads to the majority again, or turns to another that does.
async fn search(broker: Broker, asked: Heard) {
    tokio::time::sleep(millis(broker.config.unheard_ms_max)).await;
    let servers = broker.client.server_pool().await.unwrap_or_default();
    let rounds = if servers.len() > 1 { ROUNDS_MAX } else { 0 };
    for _ in 0..rounds {
        let ours = tokio::time::timeout(ASKED_MAX, async {
            // Whether ours does is noted where it is asked.
            while broker.majority.asked() == asked {
                let _ = broker.stream_info().await;
                tokio::time::sleep(ASKED_AGAIN_AFTER).await;
            }
        });
        let (_, other) = futures::join!(ours, leading(&broker, &servers));
        if broker.majority.asked() != asked {
            break;
        }
        if let Some(server) = other {
            tracing::warn!(
                server = server.host(),
                port = server.port(),
                "the server that we were connected to is cut off from the others; turning to another"
            );
            broker.majority.turn_to(server);
            // It fails when the client is gone, and then nobody is connected.
            let _ = broker.client.force_reconnect().await;
            break;
        }
        tokio::time::sleep(millis(broker.config.retry_delay_ms)).await;
    }
    broker.majority.end_search();
}

/// The first server that says it leads to a majority.
async fn leading(broker: &Broker, servers: &[Server]) -> Option<ServerAddr> {
    let asked = servers.iter().map(|server| async {
        let leads = tokio::time::timeout(ASKED_MAX, leads(broker, server.addr.clone())).await;
        leads.unwrap_or(false).then(|| server.addr.clone())
    });
    let mut answers: FuturesUnordered<_> = asked.collect();
    while let Some(answer) = answers.next().await {
        if answer.is_some() {
            return answer;
        }
    }
    None
}

async fn leads(broker: &Broker, server: ServerAddr) -> bool {
    let Ok(options) = options(&broker.config).await else { return false };
    let Ok(client) = options.connect(server).await else { return false };
    // Its beginnings and ends are nobody's concern; the sender lives as long as the question.
    let (_counted, turns) = watch::channel(0);
    let asked = Broker { client, turns, ..broker.clone() };
    while let Ok(info) = asked.ask_stream_info().await {
        if info.is_of_a_leader_that_heard_within(HEARD_LATELY) {
            return true;
        }
        tokio::time::sleep(ASKED_AGAIN_AFTER).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_search_begins_when_nothing_is_heard() {
        let majority = Majority::default();
        let asked = majority.asked();
        assert!(majority.unheard(asked));
        assert!(!majority.unheard(asked), "somebody searches");
        majority.end_search();
        assert!(majority.unheard(asked), "unheard still");
    }

    #[test]
    fn what_was_asked_before_the_majority_was_heard_does_not_count() {
        let majority = Majority::default();
        let asked = majority.asked();
        majority.heard();
        assert!(!majority.unheard(asked));
        assert!(majority.unheard(majority.asked()));
    }
}
