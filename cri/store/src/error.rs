//! What can go wrong with the store.

/// Says which file or record, and why.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened (or another daemon has it open).
    #[error("state {path}: {reason}")]
    Open {
        /// The file, as it was configured.
        path: String,
        /// What the database or the decoder says.
        reason: String,
    },
    /// Written by a newer release.
    #[error("state {path} has schema {found}, this release knows {known}: a newer cofferdam wrote it")]
    Schema {
        /// The file, as it was configured.
        path: String,
        /// The version that it says.
        found: u64,
        /// The newest version that this release reads.
        known: u64,
    },
    /// A record cannot be read: names table and id.
    #[error("state record {table}/{id}: {reason}")]
    Record {
        /// `sandboxes` or `containers`.
        table: &'static str,
        /// The record's id; empty where the table itself cannot be read.
        id: String,
        /// What the database or the decoder says.
        reason: String,
    },
    /// A commit failed (disk full, I/O error).
    #[error("the state could not be written: {0}")]
    Write(String),
    /// A record could not be encoded.
    #[error("encode: {0}")]
    Encode(#[from] serde_json::Error),
    /// The writer has ended: the daemon is shutting down.
    #[error("the state is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn write(error: impl std::fmt::Display) -> Self {
        StoreError::Write(error.to_string())
    }
}
