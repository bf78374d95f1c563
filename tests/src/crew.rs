//! People at work: clients who register tickets and work some of them, until they are told to rest.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::{Acknowledged, Client};

/// What was acknowledged so far, and who waits for how much of it.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: Mutex<Vec<Acknowledged>>,
    more: Notify,
}

impl Progress {
    /// Notes one more.
    pub fn add(&self, acknowledged: Acknowledged) {
        self.acknowledged.lock().expect("no client panicked").push(acknowledged);
        self.more.notify_waiters();
    }

    /// Everything acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.acknowledged.lock().expect("no client panicked").clone()
    }

    /// Returns when so many are acknowledged.
    pub async fn reaches(&self, count: usize) {
        self.until(|all| (all.len() >= count).then_some(())).await;
    }

    /// The first answer at or after an instant, waited for.
    pub async fn first_answer_after(&self, instant: Instant) -> Instant {
        self.until(|all| all.iter().map(|one| one.answered_at).filter(|at| *at >= instant).min()).await
    }

    /// The longest stretch from an instant on without an answer.
    pub fn longest_silence_after(&self, instant: Instant) -> Duration {
        let mut answers: Vec<Instant> = self.acknowledged().iter().map(|one| one.answered_at).collect();
        answers.push(instant);
        answers.retain(|at| *at >= instant);
        answers.sort_unstable();
        answers.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    async fn until<T>(&self, look: impl Fn(&[Acknowledged]) -> Option<T>) -> T {
        loop {
            let more = self.more.notified();
            let found = look(&self.acknowledged.lock().expect("no client panicked"));
            match found {
                Some(found) => return found,
                None => more.await,
            }
        }
    }
}

/// Registers the `n`th ticket of a caller; answers every second one, goes to the customer's of every third, and is
/// impatient with every fifth: that registration is sent twice at once, under one key. No rule says no to any of it; if one
/// does, the client keeps it, and the ticket is left.
pub async fn work_a_ticket(client: &Client, caller: &str, n: usize, progress: &Progress) -> Result<()> {
    let key = |step: &str| format!("{caller}-{n}-{step}");
    let body = json!({
        "kind": "repair", "channel": "phone", "branch": "B0", "area": "urban", "product_model": "KFR-35GW",
        "description": "不制冷", "customer": { "name": format!("客户{caller}"), "phone": "138-0013-8000" },
    });
    let register_key = key("register");
    let register = || client.until_acknowledged("/v1/tickets", &register_key, &body);
    let registered = if n % 5 == 4 {
        let (one, other) = tokio::try_join!(register(), register())?;
        let (one, other) = (one.context("refused")?, other.context("refused")?);
        let place = |answer: &Acknowledged| (answer.id.clone(), answer.revision, answer.position);
        ensure!(place(&one) == place(&other), "one key, two answers: {one:?} {other:?}");
        one
    } else {
        register().await?.context("a registration is refused")?
    };
    let ticket = registered.id.clone();
    progress.add(registered);
    let mut steps = Vec::new();
    if n.is_multiple_of(2) {
        steps.push(("respond", json!({ "channel": "phone" })));
    }
    if n.is_multiple_of(3) {
        steps.push(("dispatch", json!({ "technician": "T1" })));
        steps.push(("arrive", json!({})));
    }
    for (verb, body) in steps {
        let path = format!("/v1/tickets/{ticket}/{verb}");
        let Some(done) = client.until_acknowledged(&path, &key(verb), &body).await? else { return Ok(()) };
        progress.add(done);
    }
    Ok(())
}

/// Clients at work.
#[derive(Debug)]
pub struct Crew {
    progress: Arc<Progress>,
    rest: watch::Sender<bool>,
    clients: JoinSet<Result<()>>,
}

impl Crew {
    /// So many clients begin to work; `shift` makes their keys their own, `pace` is the least time of a ticket.
    pub fn at_work(client: &Client, shift: &str, count: usize, pace: Duration) -> Self {
        let (progress, rest) = (Arc::<Progress>::default(), watch::Sender::new(false));
        let work = |name: usize| {
            let (client, progress, resting) = (client.clone(), progress.clone(), rest.subscribe());
            let caller = format!("{shift}-{name}");
            async move {
                let mut next = tokio::time::interval(pace);
                for n in 0.. {
                    next.tick().await;
                    if *resting.borrow() {
                        break;
                    }
                    work_a_ticket(&client, &caller, n, &progress).await?;
                }
                Ok(())
            }
        };
        let clients = (0..count).map(work).collect();
        Self { progress, rest, clients }
    }

    /// What they have done.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits for something; fails if a client fails meanwhile.
    pub async fn while_working<T>(&mut self, what: impl AsyncFnOnce(&Progress) -> T) -> Result<T> {
        tokio::select! {
            done = what(&self.progress) => Ok(done),
            Some(ended) = self.clients.join_next() => {
                ended??;
                anyhow::bail!("a client stopped working")
            }
        }
    }

    /// Each finishes the ticket in hand; answers all that was acknowledged.
    pub async fn rest(mut self) -> Result<Vec<Acknowledged>> {
        self.rest.send_replace(true);
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        Ok(self.progress.acknowledged())
    }
}
