//! A foreign history as a list of timed steps.
//!
//! A [`Mapping`] names the columns and what their texts mean; [`History::read`] reads rows by it. No column name
//! of any data set is known here: docs/mapping.md describes the format.

mod cell;
mod mapping;
mod phases;
mod plan;

pub use cell::MappingError;
pub use mapping::Mapping;
pub use plan::{Action, History, Step};
