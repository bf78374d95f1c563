//! How long things take, how many a second that is, and where the percentiles lie.

use std::time::{Duration, Instant};

/// The moment, for differences.
#[expect(clippy::disallowed_methods, reason = "measuring is what this room is for")]
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// How long something took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = moment();
    let result = work();
    (began.elapsed(), result)
}

/// How long something took that is waited for.
pub(crate) async fn timed_async<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let began = moment();
    let result = work.await;
    (began.elapsed(), result)
}

/// How many a second.
pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// The value that this part of all values does not exceed, in milliseconds; sorts them.
pub(crate) fn percentile_ms(values: &mut [Duration], part: f64) -> f64 {
    values.sort_unstable();
    let rank = (values.len() as f64 * part).ceil() as usize;
    values.get(rank.saturating_sub(1)).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_of_a_hundred_values_is_the_second_largest() {
        let mut values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&mut values, 0.99), 99.0);
        assert_eq!(percentile_ms(&mut values, 0.5), 50.0);
        assert_eq!(percentile_ms(&mut values[..1], 0.999), 1.0);
    }
}
