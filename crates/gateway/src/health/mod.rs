//! Health (状态): how this process stands, and who watches whom.
//!
//! - [`Health`] looks: at the log, the read models, the clocks that nobody has urged, the heartbeats that were heard.
//! - [`probes`]: `/healthz`, `/readyz`, `/metrics`, open to everybody, on every role.
//! - [`words`]: what was found, in Chinese and English.
//!
//! It only looks: whatever is wrong, the process goes on with what it can do.

mod look;
mod probes;
pub mod words;

pub(crate) use look::Look;
pub use look::{Health, Looked};
pub(crate) use probes::{described, figures};
