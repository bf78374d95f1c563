//! The wire of an event: protobuf messages, the commit envelope, encoding, decoding, upcasting.
