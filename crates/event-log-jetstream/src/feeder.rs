//! A subscription's feeder: consumer after consumer, one unbroken row of messages.
//!
//! The cursor is ours. Whatever happens to a consumer (a gap, silence, a new connection, the broker's death) it
//! is given up and another one begins after the cursor; what comes again is dropped. Three things are
//! looked at, because each has been seen to fail alone: the numbers of the deliveries, the broker's
//! heartbeats, and, when it is quiet, the stream's leader: whether it has something that we have not.

use std::time::Duration;

use async_nats::Message;
use cuiban_event_log::{Delivery, Filter, LogError, Stored};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::api::{Broker, CallError};
use crate::config::millis;
use crate::consumer::{Consumer, Heard, Lost};
use crate::read;

/// After how many checks without a sign of life a consumer is given up.
const SILENT_CHECKS_MAX: u32 = 2;

/// Feeds one subscriber.
pub(crate) struct Feeder {
    broker: Broker,
    filter: Filter,
    /// The subject that covers the filter, if it is not everything.
    cover: Option<String>,
    deliveries: mpsc::Sender<Result<Delivery, LogError>>,
    /// Everything wanted up to here has been delivered.
    cursor: u64,
    /// The leader has nothing for us between the cursor and here.
    nothing_to: u64,
    /// The stream's end when the subscription began.
    history_end: u64,
    caught_up: bool,
}

/// Why feeding from one consumer ended.
enum End {
    /// The subscriber is gone.
    Done,
    /// The consumer is lost.
    Lost(Lost),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// The subscriber is gone.
struct Gone;

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Done
    }
}

/// What was heard of one consumer since the last look.
struct Watch {
    look: Interval,
    sign_of_life: bool,
    delivery: bool,
    silent_checks: u32,
    missing: Option<u64>,
}

impl Watch {
    fn every(period: Duration) -> Self {
        let mut look = tokio::time::interval(period);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        Self { look, sign_of_life: false, delivery: false, silent_checks: 0, missing: None }
    }
}

impl Feeder {
    pub(crate) fn new(
        broker: Broker,
        filter: Filter,
        deliveries: mpsc::Sender<Result<Delivery, LogError>>,
        cursor: u64,
        history_end: u64,
    ) -> Self {
        let cover = broker.subjects.covering(&filter);
        Self { broker, filter, cover, deliveries, cursor, nothing_to: 0, history_end, caught_up: false }
    }

    /// Feeds until the subscriber is gone.
    pub(crate) async fn run(mut self) {
        let broker = self.broker.clone();
        if self.cursor >= self.history_end && self.tell_caught_up().await.is_err() {
            return;
        }
        let mut turns = broker.turns.clone();
        loop {
            let Some(mut consumer) = self.consumer(&broker, &mut turns).await else { return };
            let end = tokio::select! {
                end = self.feed(&mut consumer) => end,
                _ = turns.changed() => End::Lost(Lost("the connection ended, or began anew".to_owned())),
            };
            let fruitless = !consumer.has_delivered();
            consumer.discard().await;
            match end {
                End::Done => return,
                End::Lost(lost) => {
                    tracing::debug!(cursor = self.cursor, %lost, "a subscription begins a new consumer");
                }
            }
            if fruitless && self.pause().await.is_err() {
                return;
            }
        }
    }

    /// A new consumer, tried for until there is one, of a connection whose turns are all seen; `None` when
    /// the subscriber is gone.
    async fn consumer<'a>(
        &self,
        broker: &'a Broker,
        turns: &mut watch::Receiver<u64>,
    ) -> Option<Consumer<'a>> {
        loop {
            turns.mark_unchanged();
            let made = tokio::select! {
                () = self.deliveries.closed() => return None,
                made = Consumer::start(broker, self.cursor, self.cover.as_deref()) => made,
            };
            match made {
                Ok(consumer) => return Some(consumer),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a subscription waits for the broker"
                    );
                    self.pause().await.ok()?;
                }
            }
        }
    }

    /// Waits a little, or until the connection has changed.
    async fn pause(&self) -> Result<(), Gone> {
        let mut turns = self.broker.turns.clone();
        turns.mark_unchanged();
        tokio::select! {
            () = self.deliveries.closed() => Err(Gone),
            _ = turns.changed() => Ok(()),
            () = tokio::time::sleep(millis(self.broker.config.retry_delay_ms)) => Ok(()),
        }
    }

    /// Feeds from one consumer until one of the three is at its end.
    async fn feed(&mut self, consumer: &mut Consumer<'_>) -> End {
        let mut watch = Watch::every(millis(self.broker.config.silence_check_ms.max(1)));
        let mut quiet = consumer.pending == 0;
        loop {
            let step = self.step(consumer, &mut watch, quiet).await;
            match step {
                Ok(now_quiet) => quiet = now_quiet,
                Err(end) => return end,
            }
        }
    }

    /// One thing that happens. Answers whether the consumer has nothing more at present.
    async fn step(
        &mut self,
        consumer: &mut Consumer<'_>,
        watch: &mut Watch,
        quiet: bool,
    ) -> Result<bool, End> {
        if quiet && !self.caught_up {
            self.settle().await?;
        }
        consumer.pull().await?;
        tokio::select! {
            // In this order: what has arrived is taken before silence is judged.
            biased;
            () = self.deliveries.closed() => Err(End::Done),
            heard = consumer.next() => {
                watch.sign_of_life = true;
                match heard? {
                    Heard::Idle => Ok(true),
                    Heard::Message { sequence, pending, message } => {
                        watch.delivery = true;
                        self.deliver(sequence, message).await?;
                        Ok(pending == 0)
                    }
                }
            }
            _ = watch.look.tick() => {
                self.look(watch).await?;
                Ok(false)
            }
        }
    }

    /// Hands one message on, if it is new and wanted.
    async fn deliver(&mut self, sequence: u64, message: Message) -> Result<(), End> {
        if sequence <= self.cursor {
            return Ok(());
        }
        let stored = read::stored(&self.broker.subjects, sequence, &message.subject, message.payload);
        let is_wanted = match &stored {
            Stored::Commit(commit) => self.filter.matches(&commit.stream, &commit.route),
            // Whoever hears of it sets it aside; where it comes, nothing of ours is missing.
            Stored::Foreign(_) => true,
        };
        if is_wanted {
            self.deliveries.send(Ok(stored.into())).await.map_err(|_| Gone)?;
        }
        self.cursor = sequence;
        if self.cursor >= self.history_end {
            self.tell_caught_up().await?;
        }
        Ok(())
    }

    /// Says once that the history is delivered.
    async fn tell_caught_up(&mut self) -> Result<(), Gone> {
        if !self.caught_up {
            // Noted after it was sent: feeding may be cut short in between.
            self.deliveries.send(Ok(Delivery::CaughtUp)).await.map_err(|_| Gone)?;
            self.caught_up = true;
        }
        Ok(())
    }

    /// The consumer has no more, but the history's last commits are not ours or have not come: asks the leader.
    async fn settle(&mut self) -> Result<(), Gone> {
        match self.missing().await {
            Ok(Some(sequence)) if sequence <= self.history_end => Ok(()),
            Ok(_) => self.tell_caught_up().await,
            Err(_) => Ok(()),
        }
    }

    /// The periodic look at a consumer.
    async fn look(&mut self, watch: &mut Watch) -> Result<(), Lost> {
        let sign_of_life = std::mem::take(&mut watch.sign_of_life);
        watch.silent_checks = if sign_of_life { 0 } else { watch.silent_checks + 1 };
        if watch.silent_checks >= SILENT_CHECKS_MAX {
            return Err(Lost("no sign of life".to_owned()));
        }
        if std::mem::take(&mut watch.delivery) {
            watch.missing = None;
            return Ok(());
        }
        let missing = self.missing().await.unwrap_or(None);
        if missing.is_some() && missing == watch.missing {
            return Err(Lost(format!("the leader has {missing:?}, which does not come")));
        }
        watch.missing = missing;
        Ok(())
    }

    /// The first message after the cursor that the leader has for us.
    async fn missing(&mut self) -> Result<Option<u64>, CallError> {
        let known_to = self.cursor.max(self.nothing_to);
        let last = self.broker.stream_info().await?.state.last_seq;
        if last <= known_to {
            return Ok(None);
        }
        let all = self.broker.subjects.all();
        let wanted = json!({ "seq": known_to + 1, "next_by_subj": self.cover.as_deref().unwrap_or(&all) });
        let next = self.broker.leaders_message(&wanted).await?;
        if next.is_none() {
            self.nothing_to = last;
        }
        Ok(next.map(|message| message.seq))
    }
}
