//! What the targets share: an office with tickets in several states, and what becomes of a decision.
//!
//! A target takes bytes from outside, by the door that they come in by, and goes on with whatever is let in: a
//! command that parses is decided, what is decided is recorded and read back, what is read back is folded.

mod office;
mod recorded;

pub use office::Office;
pub use recorded::{assert_keeps, fold};

/// Splits a corpus entry of several texts, which a line with nothing but `----` parts.
pub fn texts(data: &[u8]) -> Option<(&str, Vec<&str>)> {
    let mut texts = std::str::from_utf8(data).ok()?.split("\n----\n");
    Some((texts.next()?, texts.collect()))
}
