//! What is written at once, or after a crash not at all.

/// Rows to put and to remove, in this order.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteBatch {
    pub(super) writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl WriteBatch {
    pub(crate) fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push((key.into(), Some(value.into())));
    }

    pub(crate) fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.writes.push((key.into(), None));
    }
}

impl From<WriteBatch> for sled::Batch {
    fn from(batch: WriteBatch) -> Self {
        let mut for_sled = Self::default();
        for (key, value) in batch.writes {
            match value {
                Some(value) => for_sled.insert(key, value),
                None => for_sled.remove(key),
            }
        }
        for_sled
    }
}
