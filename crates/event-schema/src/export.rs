//! A whole log as one file: commits byte for byte, and a trailer that tells whether all of them are there.

use prost::Message as _;
use sha2::{Digest, Sha256};

use crate::proto::export_record::Record;
use crate::proto::{CommitRecord, ExportRecord, ExportTrailer, ExportedCommit};
use crate::{CommitHash, hash};

/// The first line of an exported log.
pub const EXPORT_MAGIC: &[u8] = b"cuiban-log-export 1\n";

/// Writes an export: the bytes of each record in turn.
#[derive(Debug, Default)]
pub struct ExportWriter {
    commits: u64,
    digest: Sha256,
}

impl ExportWriter {
    /// One commit.
    pub fn commit(&mut self, commit: ExportedCommit) -> Vec<u8> {
        self.commits += 1;
        self.digest.update(hash(&commit.payload));
        ExportRecord { record: Some(Record::Commit(commit)) }.encode_length_delimited_to_vec()
    }

    /// The end.
    pub fn trailer(self) -> Vec<u8> {
        let trailer = ExportTrailer { commits: self.commits, digest: self.digest.finalize().to_vec() };
        ExportRecord { record: Some(Record::Trailer(trailer)) }.encode_length_delimited_to_vec()
    }
}

/// An exported log that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// The file does not begin as an export.
    #[error("not an exported log: the first line should be {:?}", String::from_utf8_lossy(EXPORT_MAGIC).trim_end())]
    NotAnExport,
    /// A record that cannot be read.
    #[error("record {record} is damaged")]
    Damaged {
        /// Its place in the file, from 1.
        record: u64,
        /// What is wrong.
        #[source]
        source: prost::DecodeError,
    },
    /// A record of a kind that this version does not know.
    #[error("record {record} is of a kind that this version does not know")]
    Unknown {
        /// Its place in the file, from 1.
        record: u64,
    },
    /// The file ends without its trailer.
    #[error("the file is cut off after {commits} commits: its trailer is missing")]
    CutOff {
        /// How many commits were read.
        commits: u64,
    },
    /// The trailer tells of other commits.
    #[error("the trailer tells of {told} commits with another digest than the {read} that were read")]
    WrongTrailer {
        /// What the trailer says.
        told: u64,
        /// What was read.
        read: u64,
    },
    /// Something stands behind the trailer.
    #[error("there are bytes behind the trailer")]
    BytesBehind,
}

/// Reads an export from its bytes, record by record.
#[derive(Debug)]
pub struct ExportReader<'a> {
    rest: &'a [u8],
    commits: u64,
    digest: Sha256,
}

impl<'a> ExportReader<'a> {
    /// Begins after the magic line.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ExportFault> {
        let rest = bytes.strip_prefix(EXPORT_MAGIC).ok_or(ExportFault::NotAnExport)?;
        Ok(Self { rest, commits: 0, digest: Sha256::new() })
    }

    /// The next commit; `None` at a sound end.
    pub fn next_commit(&mut self) -> Result<Option<ExportedCommit>, ExportFault> {
        if self.rest.is_empty() {
            return Err(ExportFault::CutOff { commits: self.commits });
        }
        let place = self.commits + 1;
        let record = ExportRecord::decode_length_delimited(&mut self.rest)
            .map_err(|source| ExportFault::Damaged { record: place, source })?;
        match record.record.ok_or(ExportFault::Unknown { record: place })? {
            Record::Commit(commit) => {
                self.commits += 1;
                self.digest.update(hash(&commit.payload));
                Ok(Some(commit))
            }
            Record::Trailer(trailer) => {
                let digest: CommitHash = self.digest.clone().finalize().into();
                if trailer.commits != self.commits || trailer.digest != digest {
                    return Err(ExportFault::WrongTrailer { told: trailer.commits, read: self.commits });
                }
                if self.rest.is_empty() { Ok(None) } else { Err(ExportFault::BytesBehind) }
            }
        }
    }
}

/// The commit's id, whatever its events are.
pub fn commit_id(bytes: &[u8]) -> Option<uuid::Uuid> {
    CommitRecord::decode(bytes).ok()?.commit_id.parse().ok()
}
