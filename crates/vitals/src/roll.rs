//! The roll of who was heard, and which post nobody attends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::ticks::ticks;
use crate::{BEAT_EVERY, Beat, BeatError, Beats};

/// How long after its last beat an instance counts as being there: three beats.
pub const HEARD_MAX: Duration = Duration::from_secs(15);
/// How long one has to have listened before silence means something: every instance was heard by then.
pub const LISTENING_MIN: Duration = Duration::from_secs(BEAT_EVERY.as_secs() + 2);
/// How long an instance that is heard no more stays on the roll.
const KEPT: Duration = Duration::from_secs(3600);
/// The most instances on the roll; the ones heard longest ago give way.
const INSTANCES_MAX: usize = 1_000;

/// How many instances that hang are named.
const HANGING_TOLD_MAX: usize = 8;

/// What is to be done all the time by somebody, whoever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Post {
    /// 催办: urging what is due.
    Watching,
    /// 移交: passing on what a person owed who left.
    Succession,
    /// 推送: pushing alerts.
    Notifying,
}

impl Post {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Watching, Self::Succession, Self::Notifying];

    /// The loop that attends to it.
    pub fn attended_by(self) -> &'static str {
        match self {
            Self::Watching => "watchdog.expediting",
            Self::Succession => "watchdog.succession",
            Self::Notifying => "notifier.outbox",
        }
    }
}

/// A post that nobody attends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unattended {
    /// Which.
    pub post: Post,
    /// The instances whose loop should attend to it and is silent, with how long; empty where no such loop was heard.
    pub silent: Vec<(String, Duration)>,
}

/// An instance as it was heard last.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it said.
    pub beat: Beat,
    /// How long ago.
    pub ago: Duration,
}

impl Heard {
    /// Whether it counts as being there.
    pub fn is_there(&self) -> bool {
        self.ago <= HEARD_MAX
    }
}

/// Who was heard, and when. Clones share it. Within one process it carries the beats as well.
#[derive(Clone, Debug)]
pub struct Roll {
    listening_since: Instant,
    heard: Arc<Mutex<LastBeats>>,
}

/// The last beat of each role and instance, and when it was heard.
type LastBeats = BTreeMap<(String, String), (Beat, Instant)>;

impl Default for Roll {
    fn default() -> Self {
        Self { listening_since: ticks(), heard: Arc::default() }
    }
}

impl Roll {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes down one beat.
    pub fn hear(&self, beat: Beat) {
        let now = ticks();
        let mut heard = self.heard();
        heard.insert((beat.role.clone(), beat.instance.clone()), (beat, now));
        heard.retain(|_, (_, at)| now.duration_since(*at) <= KEPT);
        while heard.len() > INSTANCES_MAX {
            let oldest = heard.iter().min_by_key(|(_, (_, at))| *at).map(|(who, _)| who.clone());
            oldest.and_then(|who| heard.remove(&who));
        }
    }

    /// Everybody on the roll, by role and instance; who has said that it leaves is on it for a moment yet.
    pub fn everybody(&self) -> Vec<Heard> {
        let mut everybody = self.whoever_was_heard();
        everybody.retain(|heard| heard.is_there() || !heard.beat.leaving);
        everybody
    }

    fn whoever_was_heard(&self) -> Vec<Heard> {
        let heard = self.heard();
        heard.values().map(|(beat, at)| Heard { beat: beat.clone(), ago: at.elapsed() }).collect()
    }

    /// Whether one has listened for long enough to know who is missing.
    pub fn knows(&self) -> bool {
        self.listening_since.elapsed() >= LISTENING_MIN
    }

    /// The posts that nobody attends; none while that cannot be known yet.
    pub fn unattended(&self) -> Vec<Unattended> {
        if !self.knows() {
            return Vec::new();
        }
        let everybody = self.whoever_was_heard();
        let unattended = |post: Post| {
            let mut silent = Vec::new();
            for heard in &everybody {
                for one in heard.beat.loops.iter().filter(|one| one.name == post.attended_by()) {
                    if heard.is_there() && !one.is_silent(heard.ago) {
                        return None;
                    }
                    if !(heard.beat.leaving && heard.is_there()) {
                        silent.push((heard.is_there(), heard.beat.who(), one.age(heard.ago)));
                    }
                }
            }
            // One that beats and hangs is to be restarted; of those that are gone, the last one tells since when nobody is there.
            let somebody_hangs = silent.iter().any(|(is_there, ..)| *is_there);
            silent.retain(|(is_there, ..)| *is_there == somebody_hangs);
            silent.sort_by_key(|(.., age)| *age);
            silent.truncate(if somebody_hangs { HANGING_TOLD_MAX } else { 1 });
            let silent = silent.into_iter().map(|(_, who, age)| (who, age)).collect();
            Some(Unattended { post, silent })
        };
        Post::ALL.into_iter().filter_map(unattended).collect()
    }

    fn heard(&self) -> MutexGuard<'_, LastBeats> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Beats for Roll {
    async fn say(&self, beat: &Beat) -> Result<(), BeatError> {
        self.hear(beat.clone());
        Ok(())
    }
}
