//! A row's digest: summed over all rows, it shows that none is missing, changed or left over.
//!
//! sled checks what it reads of a page, but a lost segment can take rows away without an error. The sum is kept in
//! the same batch as the rows, and compared when a store is opened. It guards against accidents, not against people.

/// Folds eight bytes into the state: multiply to 128 bits, and let both halves meet.
fn fold(state: u64, word: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(state ^ word) * u128::from(ODD);
    let halves = product.to_le_bytes();
    let half = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    half(&halves[..8]) ^ half(&halves[8..])
}

fn fold_bytes(mut state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = fold(state, u64::from_le_bytes(*word)).wrapping_add(state.rotate_left(23));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let state = fold(state, u64::from_le_bytes(last)).wrapping_add(state.rotate_left(23));
    fold(state, bytes.len() as u64 ^ 0xa5a5_a5a5_a5a5_a5a5)
}

/// The digest of one row.
pub(crate) fn row_digest(key: &[u8], value: &[u8]) -> u64 {
    fold_bytes(fold_bytes(0x243f_6a88_85a3_08d3, key), value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_changed_bit_and_every_moved_border_changes_the_digest() {
        let (key, value) = (b"ticket/1".to_vec(), vec![0_u8; 37]);
        let mut seen = HashSet::from([row_digest(&key, &value)]);
        for bit in 0..value.len() * 8 {
            let mut changed = value.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(row_digest(&key, &changed)));
        }
        assert!(seen.insert(row_digest(&key, &value[..36])));
        assert!(seen.insert(row_digest(b"ticket/1\0", &value[..36])));
        assert!(seen.insert(row_digest(&value, &key)));
    }
}
