//! The log's promises kept in one local SQLite file.
