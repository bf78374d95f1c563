#![allow(unused_results)]

// cuiban: always, not only while testing. Keys that lie side by side are
// then written one after the other, while their node is at hand.
use std::collections::BTreeMap as Map;

use super::*;

/// A batch of updates that will
/// be applied atomically to the
/// Tree.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use sled::{Batch, open};
///
/// # let _ = std::fs::remove_dir_all("batch_db_2");
/// let db = open("batch_db_2")?;
/// db.insert("key_0", "val_0")?;
///
/// let mut batch = Batch::default();
/// batch.insert("key_a", "val_a");
/// batch.insert("key_b", "val_b");
/// batch.insert("key_c", "val_c");
/// batch.remove("key_0");
///
/// db.apply_batch(batch)?;
/// // key_0 no longer exists, and key_a, key_b, and key_c
/// // now do exist.
/// # let _ = std::fs::remove_dir_all("batch_db_2");
/// # Ok(()) }
/// ```
#[derive(Debug, Default, Clone)]
pub struct Batch {
    pub(crate) writes: Map<IVec, Option<IVec>>,
}

impl Batch {
    /// Set a key to a new value
    pub fn insert<K, V>(&mut self, key: K, value: V)
    where
        K: Into<IVec>,
        V: Into<IVec>,
    {
        self.writes.insert(key.into(), Some(value.into()));
    }

    /// Remove a key
    pub fn remove<K>(&mut self, key: K)
    where
        K: Into<IVec>,
    {
        self.writes.insert(key.into(), None);
    }
}

// cuiban: holds what was changed above.
#[cfg(test)]
mod tests {
    use crate::Event;

    #[test]
    fn a_batch_is_applied_in_the_order_of_its_keys() {
        const KEYS: u32 = 500;
        let db = crate::Config::new().temporary(true).open().unwrap();
        let told = db.watch_prefix(b"");
        let mut batch = super::Batch::default();
        for key in (0..KEYS).map(|n| n.wrapping_mul(2_654_435_761)) {
            batch.insert(&key.to_be_bytes(), b"");
        }
        db.apply_batch(batch).unwrap();
        let keys: Vec<_> = told
            .take(KEYS as usize)
            .map(|event| match event {
                Event::Insert { key, .. } | Event::Remove { key } => key,
            })
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
