//! The disk in memory: what it promises, and that its faults are faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuiban_projector::{
    MemoryDisk, MemorySnapshot, Model, Store, StoreError, StorePlace, Tickets, WriteFault,
};

use super::feeding::{decode, rows_after};
use super::history::History;

fn open(disk: &MemoryDisk) -> Result<(Store, Model<Tickets>), StoreError> {
    let store = Store::open(StorePlace::Memory(disk.clone(), "models".to_owned()))?;
    let model = Model::open(&store, Tickets)?;
    Ok((store, model))
}

/// What becomes of a disk, which has a snapshot of an earlier time.
type Damage = fn(&MemoryDisk, &MemorySnapshot);

/// Every `nth` batch meets this.
fn every(nth: usize, fault: WriteFault) -> cuiban_projector::WriteFaults {
    let batches = AtomicUsize::new(0);
    Arc::new(move || (batches.fetch_add(1, Ordering::Relaxed) % nth == nth - 1).then_some(fault))
}

#[tokio::test]
async fn a_store_in_memory_folds_as_one_in_a_directory_through_every_fault_but_a_torn_batch() {
    let history = History::drawn(11, 120).await;
    let commits = history.commits();
    let expected = rows_after(Tickets, &decode(&commits), 50, 1);
    for fault in [WriteFault::Refused, WriteFault::DiesBefore, WriteFault::DiesAfter] {
        let disk = MemoryDisk::default();
        disk.set_faults(Some(every(3, fault)));
        let mut failures = 0;
        let (mut store, mut model) = open(&disk).unwrap();
        while model.position().raw() < commits.len() as u64 {
            let from = usize::try_from(model.cursor().unwrap().raw()).unwrap();
            let until = commits.len().min(from + 5);
            if model.apply(&decode(&commits[from..until])).is_err() {
                failures += 1;
                drop((store, model));
                (store, model) = open(&disk).unwrap();
                model.cursor().unwrap();
            }
        }
        assert!(failures > 0, "{fault:?} never struck");
        assert_eq!(model.dump().unwrap(), expected, "{fault:?}");
        assert!(store.quarantined().is_empty(), "{fault:?} is no damage");
    }
}

#[tokio::test]
async fn what_rots_or_is_older_than_its_cursor_is_put_aside() {
    let commits = History::drawn(12, 60).await.commits();
    let half = commits.len() / 2;
    let damages: [(&str, Damage); 2] = [
        ("a row rots", |disk, _| assert!(disk.damage(7, 8))),
        ("rows are older", |disk, before| disk.forget_rows_since(before)),
    ];
    for (what, damage) in damages {
        let disk = MemoryDisk::default();
        let (store, model) = open(&disk).unwrap();
        model.apply(&decode(&commits[..half])).unwrap();
        let before = disk.snapshot();
        model.apply(&decode(&commits[half..])).unwrap();
        drop((store, model));
        damage(&disk, &before);
        let (store, model) = open(&disk).unwrap();
        assert_eq!((store.quarantined().len(), model.cursor().unwrap().raw()), (1, 0), "{what}");
    }
}

#[tokio::test]
async fn what_was_not_synced_is_gone_and_folded_again() {
    let commits = History::drawn(13, 60).await.commits();
    let disk = MemoryDisk::default();
    let (store, model) = open(&disk).unwrap();
    model.apply(&decode(&commits[..30])).unwrap();
    let synced = disk.snapshot();
    model.apply(&decode(&commits[30..])).unwrap();
    disk.crash();
    assert!(model.dump().is_err(), "a dead machine answers nothing");
    disk.forget_since(&synced);
    drop((store, model));
    let (store, model) = open(&disk).unwrap();
    assert_eq!((store.quarantined().len(), model.cursor().unwrap()), (0, commits[29].position));
}
