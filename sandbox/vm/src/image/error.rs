//! Why there is no guest image.

use std::path::{Path, PathBuf};

use super::bzimage::BzImageError;

/// Why there is no guest image, or none could be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No kernel.
    #[error("guest kernel: {0}")]
    Kernel(String),
    /// A kernel that cannot be used.
    #[error("{path}: {source}")]
    BzImage {
        /// The kernel.
        path: PathBuf,
        /// Why not.
        source: BzImageError,
    },
    /// A module.
    #[error("kernel module {name}: {reason}")]
    Module {
        /// Its name, as in the list of modules.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no usable image.
    #[error("no guest image in {dir} ({reason}): run `cofferdam vm-image build`")]
    Missing {
        /// The image directory.
        dir: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
}

impl ImageError {
    /// A file that could not be handled so.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> ImageError + 'a {
        move |source| ImageError::Io { action, path: path.to_owned(), source }
    }
}
