//! Whole flows over real processes and a real nats-server.
