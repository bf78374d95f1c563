//! The record of what was pushed to whom: which channel has taken which message, and who may push now.
//!
//! In come [`Record`]s, each under a key of its own and written on one condition: that the key still holds the version
//! that the writer saw. Out they go again, one by one or as they change. The notifier writes; the notifier, the gateway
//! and the command line read. The cast:
//!
//! - [`Deliveries`] is the port, whose documentation is its adapters' law;
//! - [`Record`] is what is kept: how a message stands on a channel, who has leased a branch, when a channel began;
//! - [`Lease`] is how one notifier among many becomes the one that pushes;
//! - [`Board`] follows the port and answers how alerts stand;
//! - [`MemoryDeliveries`] keeps everything in memory; [`conformance`] judges every adapter.
//!
//! This record is no part of the log and has a retention: what it has forgotten counts as settled. It never decides
//! what is pushed, and holds nothing of a customer (R91).

mod again;
mod board;
pub mod conformance;
mod lease;
mod memory;
mod port;
mod record;

pub use again::send_again;
pub use board::{Board, Standing};
pub use lease::{Lease, Taken};
pub use memory::MemoryDeliveries;
pub use port::{
    BoxError, Deliveries, DeliveriesError, Follow, FollowSender, PutError, Stored, Version, put_surely,
};
pub use record::{
    ChannelBegun, Delivery, DeliveryState, Key, LeaseHeld, MessageId, NotAMessageId, Record, UnreadableRecord,
};
