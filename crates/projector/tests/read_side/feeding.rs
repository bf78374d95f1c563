//! Feeding models by hand.

use cuiban_event_log::RecordedCommit;
use cuiban_projector::{Incoming, Model, Projection, RawRow, Store, StoreConfig};

/// A store with small limits, in a directory that goes with the test.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
}

pub(crate) fn small() -> StoreConfig {
    StoreConfig { cache_bytes: 8 << 20, flush_every_ms: 20, open_wait_ms: 4_000, ..StoreConfig::default() }
}

pub(crate) fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path().join("models"), small()).unwrap();
    Bench { dir, store }
}

pub(crate) fn decode(commits: &[RecordedCommit]) -> Vec<Incoming> {
    commits.iter().cloned().map(Incoming::decode).collect()
}

/// Every row of a fresh model after the commits were fed in batches, each batch `times` times.
pub(crate) fn rows_after<P: Projection>(
    projection: P,
    incoming: &[Incoming],
    batch: usize,
    times: usize,
) -> Vec<RawRow> {
    let bench = bench();
    let model = Model::open(&bench.store, projection).unwrap();
    for batch in incoming.chunks(batch) {
        for _ in 0..times {
            model.apply(batch).unwrap();
        }
    }
    model.dump().unwrap()
}
