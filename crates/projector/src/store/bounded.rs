//! Running what may panic or hang.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::StoreError;

/// A sign of life of a long work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// Says that the work goes on.
    pub(crate) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `work` on a thread of its own. A panic is damage; so is no sign of life for `wait`: then the thread is left
/// to itself, and what it holds open with it.
pub(crate) fn bounded<T: Send + 'static>(
    attempted: &'static str,
    wait: Duration,
    work: impl FnOnce(&Heartbeat) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let heartbeat = Heartbeat::default();
    let (done, answer) = sync_channel(1);
    let beating = heartbeat.clone();
    let run = move || {
        // Nobody listens any more when the wait was given up.
        let _ = done.send(caught(attempted, || work(&beating)));
    };
    std::thread::Builder::new()
        .name("read-model-store".to_owned())
        .spawn(run)
        .map_err(StoreError::io(attempted))?;
    let mut seen = heartbeat.count();
    loop {
        match answer.recv_timeout(wait) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if heartbeat.count() != seen => seen = heartbeat.count(),
            Err(RecvTimeoutError::Timeout) => {
                return Err(StoreError::damaged(format!("{attempted}: no sign of life for {wait:?}")));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(StoreError::damaged(format!("{attempted}: the thread is gone")));
            }
        }
    }
}

/// Runs `work`; a panic in it is damage.
pub(crate) fn caught<T>(
    attempted: &'static str,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(StoreError::damaged(format!("{attempted}: panicked: {}", panic_text(panic.as_ref()))))
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage() {
        let result: Result<(), _> = bounded("try", Duration::from_secs(60), |_| panic!("torn page"));
        let Err(StoreError::Damaged { detail }) = result else { panic!("{result:?}") };
        assert!(detail.contains("torn page"), "{detail}");
    }

    #[test]
    fn silence_is_damage() {
        let (hold, held) = sync_channel::<()>(0);
        let result = bounded("try", Duration::from_millis(20), move |_| {
            held.recv().map_err(|_| StoreError::damaged(""))
        });
        assert!(matches!(result, Err(StoreError::Damaged { .. })), "{result:?}");
        drop(hold);
    }

    #[test]
    fn a_long_work_that_gives_signs_of_life_is_waited_for() {
        let slow = |heartbeat: &Heartbeat| {
            for _ in 0..20 {
                heartbeat.beat();
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(7)
        };
        assert_eq!(bounded("try", Duration::from_millis(50), slow).unwrap(), 7);
    }
}
