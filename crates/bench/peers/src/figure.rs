//! One row of the table: ours and the peer's, each with its limit, and the ratio, over all rounds.

use serde::Serialize;

/// Smallest, middle and largest of the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut rounds: Vec<f64> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(rounds.len() / 2), max: at(rounds.len().saturating_sub(1)) }
    }
}

/// One round, both sides in turn: commands (or their bare writes) a second, and what a sync took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) ours_limit: f64,
    pub(crate) peer: f64,
    pub(crate) peer_limit: f64,
    pub(crate) sync_us: f64,
}

/// A row: so many writers, what they do, and on which log of ours.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// The row's name in `cuiban bench`.
    pub(crate) row: String,
    pub(crate) writers: u32,
    unit: &'static str,
    ours: Spread,
    ours_limit: Spread,
    peer: Spread,
    peer_limit: Spread,
    /// Ours divided by the peer's, round by round.
    ratio: Spread,
    /// What a bare sync took before each round; where it differs much, so does all else.
    sync_us: Spread,
    pub(crate) notes: Vec<String>,
}

impl Figure {
    pub(crate) fn of(row: &str, writers: u32, rounds: &[Round], notes: Vec<String>) -> Self {
        let spread = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
        Self {
            row: row.to_owned(),
            writers,
            unit: "commands/s",
            ours: spread(|round| round.ours),
            ours_limit: spread(|round| round.ours_limit),
            peer: spread(|round| round.peer),
            peer_limit: spread(|round| round.peer_limit),
            ratio: spread(|round| round.ours / round.peer),
            sync_us: spread(|round| round.sync_us),
            notes,
        }
    }

    /// The line of the table that is under [`heading`].
    pub(crate) fn line(&self) -> String {
        let Self { row, ours, ours_limit, peer, peer_limit, ratio, sync_us, .. } = self;
        let whole = |Spread { min, median, max }: &Spread| format!("{median:.0} ({min:.0}–{max:.0})");
        let Spread { min, median, max } = ratio;
        columns([
            row,
            &whole(ours),
            &whole(ours_limit),
            &whole(peer),
            &whole(peer_limit),
            &format!("{median:.1} ({min:.1}–{max:.1})"),
            &whole(sync_us),
        ])
    }
}

/// The table's head.
pub(crate) fn heading() -> String {
    columns(["commands/s", "cuiban", "its limit", "cqrs-es", "its limit", "ratio", "sync, µs"])
}

fn columns(cells: [&str; 7]) -> String {
    let [row, ours, ours_limit, peer, peer_limit, ratio, sync] = cells;
    format!("{row:<20} {ours:>20} {ours_limit:>20} {peer:>18} {peer_limit:>18} {ratio:>16} {sync:>16}")
}
