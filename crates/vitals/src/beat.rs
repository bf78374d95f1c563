//! What an instance says of itself every few seconds, and the port that carries it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// The version of the form that this build writes, and the newest that it reads.
pub const BEAT_VERSION: u32 = 1;

/// One heartbeat, JSON on the subject `cuiban.beat.<role>.<instance>`. Fields may be added within a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The version of this form.
    pub v: u32,
    /// `gateway`, `projector`, `watchdog`, `notifier`, or `all` where one process is all of them.
    pub role: String,
    /// Which process, in the alphabet of a subject's token.
    pub instance: String,
    /// Which build.
    pub build: String,
    /// When it was said, by the clock of the process.
    pub at: DateTime<Utc>,
    /// Whether the process is being stopped, and this is its last word.
    #[serde(default)]
    pub leaving: bool,
    /// Its loops.
    pub loops: Vec<LoopBeat>,
    /// What is wrong with it.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// How one loop stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopBeat {
    /// `watchdog.expediting`.
    pub name: String,
    /// How long ago it last went round, in milliseconds.
    pub age_ms: u64,
    /// How long it may be silent, in milliseconds.
    pub silent_ms_max: u64,
    /// The last position that it has taken in, if it follows the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// Whether it has seen what was stored when it began, if it follows the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<bool>,
}

impl LoopBeat {
    /// Whether the loop is silent for too long, so much later than the beat.
    pub fn is_silent(&self, later_by: Duration) -> bool {
        self.age(later_by) > Duration::from_millis(self.silent_ms_max)
    }

    /// How long ago it went round, so much later than the beat.
    pub fn age(&self, later_by: Duration) -> Duration {
        Duration::from_millis(self.age_ms).saturating_add(later_by)
    }
}

/// The longest name and the longest detail that are taken from a heartbeat, in characters, and how many problems.
const NAME_CHARS_MAX: usize = 200;
const DETAIL_CHARS_MAX: usize = 2_000;
const PROBLEMS_MAX: usize = 50;

/// A text without what would break a line or turn its direction.
fn plain(text: &str, chars_max: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().take(chars_max).map(|c| if c.is_control() || turns(c) { '\u{fffd}' } else { c }).collect()
}

/// A message on the heartbeats' subjects that is none that this build reads.
#[derive(Debug, thiserror::Error)]
#[error("a heartbeat cannot be read: {0}")]
pub struct UnreadableBeat(String);

impl Beat {
    /// `watchdog/host-1`.
    pub fn who(&self) -> String {
        format!("{}/{}", self.role, self.instance)
    }

    /// As it goes over the wire.
    pub fn to_json(&self) -> Result<Vec<u8>, UnreadableBeat> {
        serde_json::to_vec(self).map_err(|error| UnreadableBeat(error.to_string()))
    }

    /// What people will read, in one line: anybody who may publish can have said it.
    fn in_plain_text(mut self) -> Self {
        let texts = [&mut self.role, &mut self.instance, &mut self.build];
        let names = self.loops.iter_mut().map(|one| &mut one.name);
        for text in texts.into_iter().chain(names) {
            *text = plain(text, NAME_CHARS_MAX);
        }
        for problem in &mut self.problems {
            problem.code = plain(&problem.code, NAME_CHARS_MAX).into();
            problem.detail = plain(&problem.detail, DETAIL_CHARS_MAX);
        }
        self.problems.truncate(PROBLEMS_MAX);
        self
    }

    /// As it came over the wire.
    pub fn from_json(bytes: &[u8]) -> Result<Self, UnreadableBeat> {
        let beat: Self = serde_json::from_slice(bytes).map_err(|error| UnreadableBeat(error.to_string()))?;
        match beat.v {
            1..=BEAT_VERSION => Ok(beat.in_plain_text()),
            newer => Err(UnreadableBeat(format!("its version is {newer}, this build reads {BEAT_VERSION}"))),
        }
    }
}

/// A heartbeat that was not carried.
#[derive(Debug, thiserror::Error)]
#[error("say a heartbeat")]
pub struct BeatError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Carries heartbeats to whoever listens, as well as it can: one that is lost is followed by the next. Never the log.
#[async_trait]
pub trait Beats: fmt::Debug + Send + Sync + 'static {
    /// Says one. Returns when it is out of this process's hands, not when it was heard.
    async fn say(&self, beat: &Beat) -> Result<(), BeatError>;
}
