//! What can go wrong with images.

/// Messages say which image, which host, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// There is no such image, here or at the registry.
    #[error("{0}")]
    NotFound(String),
    /// A reference, manifest, layer or archive is wrong; a digest does not match.
    #[error("{0}")]
    Invalid(String),
    /// The registry does not answer, or not in time.
    #[error("{0}")]
    Unavailable(String),
    /// The registry wants other credentials, or the image is pinned.
    #[error("{0}")]
    Denied(String),
    /// A limit or the disk is full.
    #[error("{0}")]
    Exhausted(String),
    /// A step failed.
    #[error("{0}")]
    Failed(String),
}

impl ImageError {
    /// A failed file operation; a full disk is told apart.
    pub(crate) fn io(step: impl std::fmt::Display, error: std::io::Error) -> Self {
        let text = format!("{step}: {error}");
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ImageError::Exhausted(text),
            _ => ImageError::Failed(text),
        }
    }

    /// The same error, saying something after it.
    pub(crate) fn and(self, what: impl std::fmt::Display) -> Self {
        let text = format!("{self} ({what})");
        match self {
            ImageError::NotFound(_) => ImageError::NotFound(text),
            ImageError::Invalid(_) => ImageError::Invalid(text),
            ImageError::Unavailable(_) => ImageError::Unavailable(text),
            ImageError::Denied(_) => ImageError::Denied(text),
            ImageError::Exhausted(_) => ImageError::Exhausted(text),
            ImageError::Failed(_) => ImageError::Failed(text),
        }
    }

    /// The same error, saying more.
    pub(crate) fn context(self, what: impl std::fmt::Display) -> Self {
        let put = |text| format!("{what}: {text}");
        match self {
            ImageError::NotFound(t) => ImageError::NotFound(put(t)),
            ImageError::Invalid(t) => ImageError::Invalid(put(t)),
            ImageError::Unavailable(t) => ImageError::Unavailable(put(t)),
            ImageError::Denied(t) => ImageError::Denied(put(t)),
            ImageError::Exhausted(t) => ImageError::Exhausted(put(t)),
            ImageError::Failed(t) => ImageError::Failed(put(t)),
        }
    }
}
