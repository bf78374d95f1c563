//! The gateway as its callers meet it: over HTTP, in one process, on a clock that stands still.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod alerts;
mod commands;
mod description;
mod desk;
mod live;
mod pages;
mod queries;
mod refusals;
mod retries;
mod serving;
mod watched;
