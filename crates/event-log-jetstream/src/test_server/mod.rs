//! Real nats-servers for tests, and what can be done to them.
//!
//! - [`NatsServer`] is one server, started on a free port with a folder of its own: killed, paused, stopped, begun again.
//! - [`NatsCluster`] is three of them that keep streams together; it knows who leads.
//! - [`Port`] is a port that stays one's own while the server is down.
//! - [`SmallDisk`] is a file system of its own for a server's store, so that a disk that is full is really full.
//!
//! The binary is taken from the environment variable `NATS_SERVER`, or found on the path. Every method panics when a
//! server does not do what is asked: this is for tests.

mod cluster;
mod disk;
mod port;
mod server;

pub use cluster::NatsCluster;
pub use disk::SmallDisk;
pub use port::Port;
pub use server::NatsServer;
