//! Due-instant arithmetic: how long one addition takes, over spans from hours to decades.

use std::hint::black_box;
use std::time::Duration;

use chrono::DateTime;
use cuiban_domain::organisation::Organisation;
use cuiban_domain::working_time::{WorkingCalendar, WorkingTimeError};

use crate::figure::failed;
use crate::stopwatch::timed;
use crate::{BenchError, Figure, Goal};

const ADDITIONS: u32 = 200_000;
const SPANS_H: [u64; 4] = [6, 400, 20_000, 400_000];

/// Nanoseconds an addition of working time: the span of a round's slowest, so that no span is long.
pub(crate) fn due_instants(rounds: u32) -> Result<Figure, BenchError> {
    let calendar = WorkingCalendar::new(Organisation::default().company().calendar());
    let what = "due-instant arithmetic, 6 h to 45 years of working time";
    let mut slowest = Vec::new();
    for _ in 0..rounds {
        let mut round = 0.0_f64;
        for span_h in SPANS_H {
            let (took, result) = timed(|| additions(&calendar, span_h));
            result.map_err(failed(what))?;
            round = round.max(took.as_secs_f64() * 1e9 / f64::from(ADDITIONS));
        }
        slowest.push(round);
    }
    Ok(Figure::new(what, "ns each", slowest).goal(Goal::AtMost(1_000.0)))
}

fn additions(calendar: &WorkingCalendar, span_h: u64) -> Result<(), WorkingTimeError> {
    let span = Duration::from_secs(3600 * span_h);
    for n in 0..ADDITIONS {
        let from = DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(n) * 97);
        black_box(calendar.add(black_box(from), span)?);
    }
    Ok(())
}
