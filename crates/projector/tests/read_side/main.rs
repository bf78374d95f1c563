//! The read side as a whole: folds, store, following, questions. Histories come from the real command handlers.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod damage;
mod feeding;
mod folds;
mod following;
mod history;
mod memory;
mod parking;
mod questions;
mod versions;
