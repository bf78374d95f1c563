//! The log's promises kept on NATS JetStream.
