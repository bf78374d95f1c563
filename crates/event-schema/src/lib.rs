//! The wire of an event: what the domain decided, as bytes that stay readable for ever.
//!
//! In comes an [`Envelope`] with the domain's events; out go the bytes of one `CommitRecord` (`proto/`), and
//! back. The command handler encodes, everyone who folds decodes, `cuiban log decode` prints.
//!
//! - [`table`](mod@table): one line an event, field by field.
//! - [`wire`](mod@wire): how a field's value becomes its wire form.
//! - [`upcast`](mod@upcast): what older writers wrote, in today's words.
//! - [`Chain`] checks each stream's chain of hashes, [`ExportWriter`] and [`ExportReader`] carry a whole log as a file.
//! - [`readable`](mod@readable): a commit as JSON or a line of text, for people.
//!
//! This room knows no rule of the trade and does no IO. What it cannot understand it says so of, and guesses nothing.

mod chain;
mod commit;
mod export;
mod readable;
mod table;
mod upcast;
mod wire;
mod wire_organisation;
mod wire_ticket;

/// The prost types of `proto/cuiban/log/v1`.
#[expect(missing_docs, clippy::all, reason = "generated from proto/, documented there")]
#[allow(unreachable_pub, reason = "generated")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/cuiban.log.v1.rs"));
}

pub use chain::{Chain, ChainFault, revision};
pub use commit::{
    Commit, CommitHash, DecodeError, EncodeError, Envelope, SCHEMA_VERSION, decode, decode_stored, encode,
    hash,
};
pub use export::{EXPORT_MAGIC, ExportFault, ExportReader, ExportWriter, Exported, commit_id};
pub use readable::{to_json, to_line};
pub use table::{EVENT_NAMES, event_name};
