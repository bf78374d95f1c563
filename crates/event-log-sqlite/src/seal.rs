//! The seal: a row's hash over the seal before it and over everything that it says itself.
//!
//! The chain of hashes inside the commits binds each stream's history, but not its last commit, nor where a
//! commit stands in the log, nor who hears of it. The seals bind all rows, one after the other, so that whatever
//! is edited, removed, moved or put between shows at its place ([`audit`](fn@crate::audit)). Damage is what they are made for;
//! whoever can write the file can also seal it anew, and only a seal noted elsewhere tells that.

use std::fmt;
use std::str::FromStr;

use cuiban_event_log::Position;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

/// What one row says, besides its seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'a> {
    pub(crate) position: i64,
    pub(crate) stream_kind: &'a str,
    pub(crate) stream_id: &'a str,
    pub(crate) revision: i64,
    pub(crate) branch: &'a str,
    pub(crate) class: &'a str,
    pub(crate) commit_id: &'a [u8],
    /// SHA-256 of the payload.
    pub(crate) payload_hash: [u8; 32],
}

/// The hash that closes the log up to and with one row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seal(pub(crate) [u8; 32]);

impl Seal {
    /// What the first row is sealed upon.
    pub(crate) const START: Self = Self([0; 32]);

    /// The seal of the row that follows.
    pub(crate) fn next(&self, row: &Sealed<'_>) -> Self {
        let mut digest = Sha256::new();
        digest.update(self.0);
        digest.update(row.position.to_le_bytes());
        digest.update(row.revision.to_le_bytes());
        // Each with its length, so that no two rows read the same.
        for part in [row.stream_kind, row.stream_id, row.branch, row.class].map(str::as_bytes) {
            digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            digest.update(part);
        }
        digest.update(u32::try_from(row.commit_id.len()).unwrap_or(u32::MAX).to_le_bytes());
        digest.update(row.commit_id);
        digest.update(row.payload_hash);
        Self(digest.finalize().into())
    }
}

/// SHA-256 of a payload.
pub(crate) fn payload_hash(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is not a [`Seal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a seal: 64 hexadecimal digits")]
pub struct ParseSealError(String);

impl FromStr for Seal {
    type Err = ParseSealError;
    fn from_str(text: &str) -> Result<Self, ParseSealError> {
        let refused = || ParseSealError(text.to_owned());
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(refused());
        }
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| refused())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the log ends: the last position ever given, and the last row's seal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) position: i64,
    pub(crate) seal: Seal,
}

impl End {
    /// As the file has it. The position is SQLite's own count, which also knows of rows that are gone.
    pub(crate) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        const SELECT: &str = "
            SELECT coalesce(max(seq), 0), (SELECT seal FROM commits ORDER BY position DESC LIMIT 1)
            FROM sqlite_sequence WHERE name = 'commits'";
        let end = connection
            .prepare_cached(SELECT)?
            .query_row((), |row| {
                Ok(Self {
                    position: row.get(0)?,
                    seal: row.get::<_, Option<_>>(1)?.map_or(Seal::START, Seal),
                })
            })
            .optional()?;
        Ok(end.unwrap_or(Self { position: 0, seal: Seal::START }))
    }

    /// The same as people see it.
    pub(crate) fn position(&self) -> Position {
        Position::from_raw(self.position.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Sealed<'_> = Sealed {
        position: 1,
        stream_kind: "ticket",
        stream_id: "1",
        revision: 1,
        branch: "B0",
        class: "case",
        commit_id: &[7; 16],
        payload_hash: [9; 32],
    };

    #[test]
    fn every_part_of_a_row_changes_its_seal() {
        let others = [
            Sealed { position: 2, ..ROW },
            Sealed { revision: 2, ..ROW },
            Sealed { stream_kind: "ticke", stream_id: "t1", ..ROW },
            Sealed { stream_id: "2", ..ROW },
            Sealed { branch: "B0c", class: "ase", ..ROW },
            Sealed { class: "expedite", ..ROW },
            Sealed { commit_id: &[8; 16], ..ROW },
            Sealed { payload_hash: [8; 32], ..ROW },
        ];
        let sealed = Seal::START.next(&ROW);
        for other in others {
            assert_ne!(Seal::START.next(&other), sealed, "{other:?}");
        }
        assert_ne!(Seal([1; 32]).next(&ROW), sealed);
    }

    #[test]
    fn the_seal_is_what_it_was_when_it_was_first_written() {
        let written = "aa3f145c72db927a412229ceb631cebb0ecc12bdb905c089cf3c468473fa7be1";
        assert_eq!(Seal::START.next(&ROW).to_string(), written);
        assert_eq!(written.parse(), Ok(Seal::START.next(&ROW)));
        assert!("aa".parse::<Seal>().is_err() && "+f".repeat(32).parse::<Seal>().is_err());
    }
}
