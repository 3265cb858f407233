//! What the daemon allows the child, and what the child answers.

use serde::{Deserialize, Serialize};

use crate::ImageError;

/// What one layer may need at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes, unpacked.
    pub bytes: u64,
    /// Files, directories, links.
    pub inodes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 64 << 30, inodes: 4_000_000 }
    }
}

/// What the child says on its standard output when it is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Digest of the uncompressed tar.
    pub diff_id: String,
    /// Bytes on disk, about.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
    /// Directories that hide what lies below them in lower layers; raw bytes.
    pub opaque: Vec<Vec<u8>>,
    /// Directories that the layer names only by what is in them; raw bytes, each after the one that it is in.
    pub implied: Vec<Vec<u8>>,
    /// Device nodes that were left out.
    pub devices: u64,
}

/// Why the child could not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub kind: RefusalKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RefusalKind {
    Invalid,
    Exhausted,
    Failed,
}

impl From<Refusal> for ImageError {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind {
            RefusalKind::Invalid => ImageError::Invalid(refusal.text),
            RefusalKind::Exhausted => ImageError::Exhausted(refusal.text),
            RefusalKind::Failed => ImageError::Failed(refusal.text),
        }
    }
}

/// Why an entry was not applied.
pub(crate) enum Failure {
    /// The stream.
    Read(std::io::Error),
    /// The entry.
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}
