//! The read side as a whole: folds, store, following, questions. Histories come from the real command handlers.

mod damage;
mod feeding;
mod folds;
mod following;
mod history;
mod parking;
mod questions;
mod versions;
