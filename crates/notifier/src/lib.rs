//! Alert channels: delivers what the log recorded, at least once, and records each attempt.
