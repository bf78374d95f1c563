//! Folds of the log into read models: a sled store with its cursor, rebuild, quarantine, queries.
