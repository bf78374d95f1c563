//! Due-instant arithmetic: how long one addition takes, over spans from hours to decades.

use std::hint::black_box;
use std::time::Duration;

use chrono::DateTime;
use cuiban_domain::organisation::Organisation;
use cuiban_domain::working_time::WorkingCalendar;

use crate::figure::{failed, timed};
use crate::{BenchError, Figure, Spread};

const WHAT: &str = "due-instant arithmetic";
const ADDITIONS: u32 = 200_000;
const SPANS_H: [u64; 4] = [6, 400, 20_000, 400_000];

/// Nanoseconds an addition of working time, spans in turn.
pub(crate) fn due_instants(rounds: u32) -> Result<Figure, BenchError> {
    let calendar = WorkingCalendar::new(Organisation::default().company().calendar());
    let mut nanos = Vec::new();
    for _ in 0..rounds {
        let (took, result) = timed(|| additions(&calendar));
        result.map_err(failed(WHAT))?;
        nanos.push(took.as_secs_f64() * 1e9 / f64::from(ADDITIONS));
    }
    Ok(Figure {
        what: "due-instant arithmetic, 6 h to 45 years of working time".to_owned(),
        unit: "ns each",
        ours: Spread::of(nanos),
        limit: None,
        limit_is: "",
        ratio: None,
    })
}

fn additions(calendar: &WorkingCalendar) -> Result<(), cuiban_domain::working_time::WorkingTimeError> {
    for n in 0..ADDITIONS {
        let from = DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(n) * 97);
        let span = Duration::from_secs(3600 * SPANS_H[n as usize % SPANS_H.len()]);
        black_box(calendar.add(black_box(from), span)?);
    }
    Ok(())
}
