//! What happens in a seed's days, decided beforehand: people's acts and the larger accidents, each at its time.
//!
//! Each entry draws from chance of its own, and names tickets by the call that made them: any of them can be left out,
//! and the others stay what they are. So a failing seed can be made shorter.

use std::time::Duration;

use super::scene::Scene;

/// How many things happen in one seed.
pub(super) const ACTS: usize = 40;
/// The longest pause between two, in minutes.
const PAUSE_MINUTES_MAX: u64 = 180;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    /// Its number, by which it is left out or kept.
    pub(crate) number: usize,
    /// When, from the beginning.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A customer calls.
    Call,
    /// Somebody works on a ticket.
    Work,
    /// A branch changes its hours, limits, districts or staff.
    Organise,
    /// Somebody sets a machine's clock.
    SetClock,
    /// A process dies, at a moment that is not chosen.
    Crash,
    /// A process stays down for hours.
    LongDown,
    /// Everything dies at once.
    AllRestart,
    /// The log is restored from a backup.
    RestoreLog,
    /// Something is put into the log that nobody can read.
    Intrude,
    /// Somebody changes the log's settings.
    ChangeSettings,
    /// All watchdogs are away for an hour or more.
    NoWatchdog,
}

/// The acts of a seed, in order.
pub(crate) fn acts(scene: &Scene) -> Vec<Act> {
    let mut chance = scene.chance("script", 0);
    let mut at = Duration::ZERO;
    let act = |number| {
        // Now and then things come thick and fast.
        let pause_s = match chance.u8(..4) {
            0 => chance.u64(0..30),
            _ => 60 * chance.u64(0..PAUSE_MINUTES_MAX),
        };
        at += Duration::from_secs(pause_s) + Duration::from_millis(chance.u64(0..1_000));
        let what = match chance.u8(..70) {
            0..14 => What::Call,
            14..48 => What::Work,
            48..52 => What::Organise,
            52..54 => What::SetClock,
            54..57 => What::Crash,
            57..59 => What::LongDown,
            59 => What::AllRestart,
            60 => What::RestoreLog,
            61..65 => What::Intrude,
            65..67 => What::ChangeSettings,
            _ => What::NoWatchdog,
        };
        // Without a call there is nothing to work on.
        let what = if number < 2 { What::Call } else { what };
        Act { number, at, what }
    };
    (0..ACTS).map(act).collect()
}

/// The calls before an act, by their numbers: what somebody may work on.
pub(crate) fn calls_before(scene: &Scene, number: usize) -> Vec<usize> {
    let earlier = acts(scene).into_iter().take_while(|act| act.number < number);
    earlier.filter(|act| act.what == What::Call).map(|act| act.number).collect()
}
