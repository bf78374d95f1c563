//! Keys whose bytes sort as their parts do.
//!
//! A key is a row's table, then its parts. Numbers are big-endian; a text ends with a mark that sorts before every
//! character, so that no text swallows the part behind it and `a` comes before `ab`. A key with fewer parts is the
//! prefix of all keys that go on from there.

use cuiban_domain::Instant;
use uuid::Uuid;

/// The parts of a key, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

/// Ends a text; sorts before every escaped byte of one.
const TEXT_END: [u8; 2] = [0, 0];
/// Stands for a zero byte within a text.
const TEXT_ZERO: [u8; 2] = [0, 0xff];

impl Key {
    /// A key without parts: the prefix of all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text.
    #[must_use]
    pub fn text(mut self, text: impl AsRef<str>) -> Self {
        for byte in text.as_ref().bytes() {
            match byte {
                0 => self.0.extend(TEXT_ZERO),
                _ => self.0.push(byte),
            }
        }
        self.0.extend(TEXT_END);
        self
    }

    /// Adds a number; smaller ones first.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Adds one byte; smaller ones first.
    #[must_use]
    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    /// Adds an id.
    #[must_use]
    pub fn id(mut self, id: Uuid) -> Self {
        self.0.extend(id.as_bytes());
        self
    }

    /// Adds an instant, to the microsecond; earlier ones first.
    #[must_use]
    pub fn earliest_first(self, at: Instant) -> Self {
        self.number(sortable(at))
    }

    /// Adds an instant, to the microsecond; later ones first.
    #[must_use]
    pub fn latest_first(self, at: Instant) -> Self {
        self.number(!sortable(at))
    }

    /// The parts' bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For cursors: a key from the bytes of one.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The stored key: the table, then the parts.
    pub(crate) fn within(&self, table: u8) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len());
        bytes.push(table);
        bytes.extend(&self.0);
        bytes
    }
}

/// The instant's microseconds, shifted so that those before 1970 sort first.
fn sortable(at: Instant) -> u64 {
    at.timestamp_micros().cast_unsigned() ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_sort_as_their_parts_do(
            a in (".{0,4}", any::<i32>(), any::<u64>()), b in (".{0,4}", any::<i32>(), any::<u64>()),
        ) {
            let at = |seconds: i32| DateTime::from_timestamp(seconds.into(), 0).unwrap();
            let key = |(text, seconds, number): &(String, i32, u64)| {
                Key::new().text(text).earliest_first(at(*seconds)).number(*number)
            };
            let order = (a.0.as_bytes(), a.1, a.2).cmp(&(b.0.as_bytes(), b.1, b.2));
            prop_assert_eq!(key(&a).cmp(&key(&b)), order);
            let latest = |s: i32| Key::new().latest_first(at(s));
            prop_assert_eq!(latest(a.1).cmp(&latest(b.1)), b.1.cmp(&a.1));
        }

        #[test]
        fn a_text_is_no_prefix_of_a_longer_one(a in ".{0,4}", b in ".{0,4}") {
            let (a, b) = (Key::new().text(&a), Key::new().text(&b));
            prop_assert_eq!(b.as_bytes().starts_with(a.as_bytes()), a == b);
        }
    }

    #[test]
    fn a_zero_byte_does_not_end_a_text() {
        let key = |a: &str, b: &str| Key::new().text(a).text(b);
        assert_ne!(key("a\0", "b"), key("a", "\0b"));
        assert!(key("a", "z") < key("a\0", "a"));
    }
}
