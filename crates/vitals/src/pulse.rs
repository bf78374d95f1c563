//! The pulse of one loop: when it last went round, and how long it may be silent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ticks::ticks;

/// The longest that a loop may be silent when nothing else is known of it: more than a command may take altogether
/// (10 s), so that a log that hangs is told apart from a loop that does; and so little that with a heartbeat every
/// five seconds everybody knows within thirty.
pub const SILENT_MAX: Duration = Duration::from_secs(15);

/// How often a loop with nothing to do goes round all the same.
const ROUND_EVERY: Duration = Duration::from_secs(2);

/// Held by a loop, which calls [`Pulse::turn`] each time it goes round. Clones belong to the same loop.
///
/// Of a process whose vitals nobody reads it does nothing, and never wakes the loop.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Option<Arc<Loop>>);

/// What is known of one loop.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) name: String,
    pub(crate) silent_max: Duration,
    /// Whether it follows the log, and then whether it has seen what was stored when it began.
    follows: AtomicBool,
    caught_up: AtomicBool,
    position: AtomicU64,
    seen: Mutex<Seen>,
    held: watch::Sender<bool>,
}

/// When what was seen last.
#[derive(Clone, Copy, Debug)]
struct Seen {
    turned_at: Instant,
    /// When it last had nothing to do for a whole round.
    idle_at: Option<Instant>,
    /// When it was last known to be level with the log.
    level_at: Instant,
}

impl Loop {
    pub(crate) fn new(name: String, silent_max: Duration) -> Self {
        let now = ticks();
        let seen = Seen { turned_at: now, idle_at: None, level_at: now };
        Self {
            name,
            silent_max,
            follows: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
            position: AtomicU64::new(0),
            seen: Mutex::new(seen),
            held: watch::Sender::new(false),
        }
    }

    pub(crate) fn age(&self) -> Duration {
        self.seen().turned_at.elapsed()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.age() > self.silent_max
    }

    /// None for a loop that does not follow the log.
    pub(crate) fn caught_up(&self) -> Option<bool> {
        self.follows.load(Ordering::Acquire).then(|| self.caught_up.load(Ordering::Acquire))
    }

    pub(crate) fn position(&self) -> Option<u64> {
        self.follows.load(Ordering::Acquire).then(|| self.position.load(Ordering::Acquire))
    }

    /// How many positions it is behind this head, which was first seen at this instant. A follower that hears a part
    /// of the log only never reaches the positions of the rest: it is level once it had nothing to do for a while.
    pub(crate) fn behind(&self, head: u64, seen_at: Instant) -> u64 {
        let was_idle_since = self.seen().idle_at.is_some_and(|idle_at| idle_at >= seen_at);
        if was_idle_since { 0 } else { head.saturating_sub(self.position.load(Ordering::Acquire)) }
    }

    pub(crate) fn is_level(&self) {
        self.seen().level_at = ticks();
    }

    /// For how long it has not been known to be level.
    pub(crate) fn behind_for(&self) -> Duration {
        self.seen().level_at.elapsed()
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.send_replace(held);
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pulse {
    pub(crate) fn of(known: Arc<Loop>) -> Self {
        Self(Some(known))
    }

    /// The loop goes round once more. Returns at once, unless a drill holds the loop ([`crate::Vitals::hold`]).
    pub async fn turn(&self) {
        let Some(known) = &self.0 else { return };
        if *known.held.borrow() {
            // The sender lives as long as the loop is known.
            let _ = known.held.subscribe().wait_for(|held| !held).await;
        }
        known.seen().turned_at = ticks();
    }

    /// Returns when a loop that waits for something else has to go round all the same: an arm of its `select!`.
    pub async fn due(&self) {
        let Some(known) = &self.0 else { return std::future::pending().await };
        tokio::time::sleep(ROUND_EVERY).await;
        known.seen().idle_at = Some(ticks());
    }

    /// Waits for something that may take for ever without anything being wrong, and goes round meanwhile.
    pub async fn idle<T>(&self, waited_for: impl Future<Output = T>) -> T {
        let mut waited_for = std::pin::pin!(waited_for);
        loop {
            tokio::select! {
                biased;
                outcome = &mut waited_for => return outcome,
                () = self.due() => self.turn().await,
            }
        }
    }

    /// The loop follows the log: up to this position, and having seen or not what was stored when it began.
    pub fn follows(&self, position: u64, caught_up: bool) {
        if let Some(known) = &self.0 {
            known.position.store(position, Ordering::Release);
            known.caught_up.store(caught_up, Ordering::Release);
            known.follows.store(true, Ordering::Release);
        }
    }
}
