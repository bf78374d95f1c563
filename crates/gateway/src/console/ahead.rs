//! What comes due in the hours ahead, as a small picture: one column an hour.

use chrono::{DurationRound, TimeDelta, Timelike};
use chrono_tz::Tz;
use cuiban_domain::Instant;

/// How many hours are drawn.
const HOURS: usize = 12;
/// The picture's measures, in its own units.
const COLUMN_WIDTH: usize = 30;
const BAR_HEIGHT_MAX: usize = 46;
const GROUND: usize = 64;

/// The hours ahead.
pub(super) struct Ahead {
    pub(super) columns: Vec<Column>,
    pub(super) width: usize,
    /// The same in words, for those who do not see it.
    pub(super) said: String,
}

/// One hour.
pub(super) struct Column {
    pub(super) bar_x: usize,
    pub(super) bar_y: usize,
    pub(super) bar_height: usize,
    pub(super) middle: usize,
    pub(super) count_y: usize,
    pub(super) count: usize,
    pub(super) hour: u32,
    pub(super) tone: &'static str,
}

impl Ahead {
    /// Draws these due instants; none when nothing comes due in the hours ahead.
    pub(super) fn draw(due: impl Iterator<Item = Instant>, now: Instant, zone: Tz) -> Option<Self> {
        let from = now.with_timezone(&zone).duration_trunc(TimeDelta::hours(1)).ok()?;
        let mut counts = [0_usize; HOURS];
        for due_at in due.filter(|due_at| *due_at >= now) {
            let hours = (due_at.with_timezone(&zone) - from).num_hours();
            if let Some(count) = usize::try_from(hours).ok().and_then(|hours| counts.get_mut(hours)) {
                *count += 1;
            }
        }
        let most = counts.iter().copied().max().filter(|most| *most > 0)?;
        let columns: Vec<_> =
            (0..).zip(counts).map(|(index, count)| column(index, count, most, from)).collect();
        let told = columns.iter().filter(|column| column.count > 0);
        let said: Vec<_> = told.map(|column| format!("{} 时 {} 件", column.hour, column.count)).collect();
        Some(Self { columns, width: HOURS * COLUMN_WIDTH, said: said.join("，") })
    }
}

fn column(index: usize, count: usize, most: usize, from: chrono::DateTime<Tz>) -> Column {
    let bar_height = if count == 0 { 0 } else { (count * BAR_HEIGHT_MAX / most).max(5) };
    let hours = i64::try_from(index).unwrap_or_default();
    Column {
        bar_x: index * COLUMN_WIDTH + 6,
        bar_y: GROUND - bar_height,
        bar_height,
        middle: index * COLUMN_WIDTH + COLUMN_WIDTH / 2,
        count_y: GROUND - bar_height - 4,
        count,
        hour: (from + TimeDelta::hours(hours)).hour(),
        tone: if index < 2 { "near" } else { "fine" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_due_instant_stands_in_its_hour() {
        let at = |text: &str| text.parse::<Instant>().unwrap();
        let now = at("2026-11-23T02:20:00Z");
        let due =
            ["2026-11-23T02:59:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:30:00Z", "2026-11-24T03:00:00Z"];
        let ahead = Ahead::draw(due.into_iter().map(at), now, chrono_tz::Asia::Shanghai).unwrap();
        let told: Vec<_> = ahead.columns.iter().map(|column| (column.hour, column.count)).take(3).collect();
        assert_eq!(told, [(10, 1), (11, 2), (12, 0)]);
        assert_eq!(ahead.said, "10 时 1 件，11 时 2 件");
        assert!(ahead.columns.iter().all(|column| column.bar_y + column.bar_height == GROUND));
    }

    #[test]
    fn nothing_ahead_draws_nothing() {
        let now = "2026-11-23T02:20:00Z".parse::<Instant>().unwrap();
        assert!(
            Ahead::draw([now - TimeDelta::hours(1)].into_iter(), now, chrono_tz::Asia::Shanghai).is_none()
        );
    }
}
