//! The wire of every event: there and back, as it was written once, as people read it, and what is no commit.
//!
//! [`samples`] has each event twice: with every field filled, and with nothing that may be left out. An event
//! without a sample fails the first test; one without a golden file fails [`golden`].

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod office_samples;
mod samples;
mod ticket_samples;

mod exports;
mod foreign;
mod golden;
mod golden_log;
mod readable;
mod round_trip;
