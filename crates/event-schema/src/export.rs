//! A whole log as one file: commits byte for byte, each sealed upon what stands before it, and a trailer at the end.
//!
//! The magic line, then records: a length (varint), so many bytes of an `ExportRecord`, and a seal of 32 bytes, the
//! SHA-256 of the seal before it, of the length and of the bytes. The last record is the trailer, and nothing follows.
//! So whatever is edited, removed, moved, put between or cut off shows at its place.
//!
//! Version 1 had no seals but a digest of all commits' hashes in its trailer; it is still read.

use prost::Message as _;
use sha2::{Digest, Sha256};

use crate::proto::export_record::Record;
use crate::proto::{CommitRecord, ExportRecord, ExportTrailer, ExportedCommit, ExportedForeign};
use crate::{CommitHash, hash};

/// The first line of an exported log.
pub const EXPORT_MAGIC: &[u8] = b"cuiban-log-export 2\n";
const MAGIC_1: &[u8] = b"cuiban-log-export 1\n";
const SEAL_BYTES: usize = 32;

/// Writes an export: the bytes of each record in turn.
#[derive(Debug)]
pub struct ExportWriter {
    commits: u64,
    seal: CommitHash,
}

impl Default for ExportWriter {
    fn default() -> Self {
        Self { commits: 0, seal: hash(EXPORT_MAGIC) }
    }
}

impl ExportWriter {
    /// One commit.
    pub fn commit(&mut self, commit: ExportedCommit) -> Vec<u8> {
        self.commits += 1;
        self.sealed(Record::Commit(commit))
    }

    /// A message that is none of ours.
    pub fn foreign(&mut self, foreign: ExportedForeign) -> Vec<u8> {
        self.sealed(Record::Foreign(foreign))
    }

    /// The end.
    pub fn trailer(mut self) -> Vec<u8> {
        let trailer = ExportTrailer { commits: self.commits, digest: Vec::new() };
        self.sealed(Record::Trailer(trailer))
    }

    fn sealed(&mut self, record: Record) -> Vec<u8> {
        let mut bytes = ExportRecord { record: Some(record) }.encode_length_delimited_to_vec();
        self.seal = sealed_upon(&self.seal, &bytes);
        bytes.extend_from_slice(&self.seal);
        bytes
    }
}

fn sealed_upon(seal: &CommitHash, record: &[u8]) -> CommitHash {
    Sha256::new().chain_update(seal).chain_update(record).finalize().into()
}

/// An exported log that cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// The file does not begin as an export.
    #[error("not an exported log: the first line should be {:?}", String::from_utf8_lossy(EXPORT_MAGIC).trim_end())]
    NotAnExport,
    /// A record that is not as it was written, or that does not follow the one before it.
    #[error("record {record} is not sealed upon what stands before it")]
    Seal {
        /// Its place in the file, from 1.
        record: u64,
        /// What it says of itself, as far as that can be read.
        said: Option<Box<ExportedCommit>>,
    },
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

/// Reads an export from its bytes, record by record, up to its end or its first fault.
#[derive(Debug)]
pub struct ExportReader<'a> {
    rest: &'a [u8],
    records: u64,
    commits: u64,
    bond: Bond,
}

/// One message of an exported log.
#[derive(Clone, Debug, PartialEq)]
pub enum Exported {
    /// One of ours.
    Commit(ExportedCommit),
    /// One of somebody else's.
    Foreign(ExportedForeign),
}

/// What holds the records together.
#[derive(Debug)]
enum Bond {
    /// Version 1: over the hashes of all commits, told by the trailer.
    Digest(Sha256),
    /// Version 2: the last record's.
    Seal(CommitHash),
}

impl<'a> ExportReader<'a> {
    /// Begins after the magic line.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ExportFault> {
        let (rest, bond) = match (bytes.strip_prefix(EXPORT_MAGIC), bytes.strip_prefix(MAGIC_1)) {
            (Some(rest), _) => (rest, Bond::Seal(hash(EXPORT_MAGIC))),
            (None, Some(rest)) => (rest, Bond::Digest(Sha256::new())),
            (None, None) => return Err(ExportFault::NotAnExport),
        };
        Ok(Self { rest, records: 0, commits: 0, bond })
    }

    /// How many bytes have not been read yet.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// How many records have been read: the place of the last one in the file.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The next message; `None` at a sound end.
    pub fn next_message(&mut self) -> Result<Option<Exported>, ExportFault> {
        let place = self.records + 1;
        let record = self.next_record(place)?;
        let record =
            ExportRecord::decode(record).map_err(|source| ExportFault::Damaged { record: place, source })?;
        match record.record.ok_or(ExportFault::Unknown { record: place })? {
            Record::Foreign(foreign) => {
                self.records += 1;
                Ok(Some(Exported::Foreign(foreign)))
            }
            Record::Commit(commit) => {
                (self.records, self.commits) = (place, self.commits + 1);
                if let Bond::Digest(digest) = &mut self.bond {
                    digest.update(hash(&commit.payload));
                }
                Ok(Some(Exported::Commit(commit)))
            }
            Record::Trailer(trailer) => self.end(&trailer).map(|()| None),
        }
    }

    /// The next record's bytes, if they are as they were written.
    fn next_record(&mut self, place: u64) -> Result<&'a [u8], ExportFault> {
        let cut_off = ExportFault::CutOff { commits: self.commits };
        let (whole, mut behind) = (self.rest, self.rest);
        let Ok(length) = prost::decode_length_delimiter(&mut behind) else { return Err(cut_off) };
        let Some((record, rest)) = behind.split_at_checked(length) else { return Err(cut_off) };
        self.rest = rest;
        if let Bond::Seal(seal) = &mut self.bond {
            let Some((found, rest)) = rest.split_at_checked(SEAL_BYTES) else { return Err(cut_off) };
            let delimited = &whole[..whole.len() - behind.len() + length];
            *seal = sealed_upon(seal, delimited);
            if seal != found {
                return Err(ExportFault::Seal { record: place, said: said(record) });
            }
            self.rest = rest;
        }
        Ok(record)
    }

    fn end(&mut self, trailer: &ExportTrailer) -> Result<(), ExportFault> {
        let digest = match &self.bond {
            Bond::Digest(digest) => digest.clone().finalize().to_vec(),
            Bond::Seal(_) => Vec::new(),
        };
        if trailer.commits != self.commits || trailer.digest != digest {
            return Err(ExportFault::WrongTrailer { told: trailer.commits, read: self.commits });
        }
        if self.rest.is_empty() { Ok(()) } else { Err(ExportFault::BytesBehind) }
    }
}

/// What a record that is not to be trusted says of itself.
fn said(record: &[u8]) -> Option<Box<ExportedCommit>> {
    match ExportRecord::decode(record).ok()?.record? {
        Record::Commit(commit) => Some(Box::new(commit)),
        Record::Foreign(_) | Record::Trailer(_) => None,
    }
}

/// The commit's id, whatever its events are.
pub fn commit_id(bytes: &[u8]) -> Option<uuid::Uuid> {
    CommitRecord::decode(bytes).ok()?.commit_id.parse().ok()
}
