//! The store.

/// What went wrong with the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another handle of this one, has the store open. This is not damage.
    #[error("the store {dir} is in use by another process")]
    InUse {
        /// Which directory.
        dir: std::path::PathBuf,
    },
    /// The store is not what we wrote. It is put aside and built anew from the log.
    #[error("the store is damaged: {detail}")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The disk refuses: full, read-only, away. What is stored may be sound.
    #[error("{attempted}: the store is unavailable")]
    Unavailable {
        /// What was attempted.
        attempted: &'static str,
        /// Why.
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
}
