//! Every rule of a ticket that is built, told as given / when / then.
//!
//! [`office`] is the company that the stories happen in, [`story`] the language they are told in, [`words`] the
//! commands and events as one would say them. The other modules hold the rules, [`properties`] what holds
//! whatever anybody does.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod office;
mod story;
mod words;

mod assigning;
mod clock_edges;
mod correcting;
mod ending;
mod expediting;
mod late_entries;
mod ledger;
mod organisation;
mod pausing;
mod properties;
mod registering;
mod routes;
mod schedule;
mod transferring;
mod visiting;
