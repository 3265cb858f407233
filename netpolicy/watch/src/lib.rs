//! Sources of cluster objects, as snapshots.
//!
//! [`DirectorySource`] reads `*.yaml` of a directory and follows its changes; [`edit`] checks and writes such files for the CLI.

mod directory;
pub mod edit;
mod load;
mod object;

pub use directory::DirectorySource;
pub use load::{Loader, SourceConfig};
pub use object::{FileError, Object, ObjectKey, documents, parse};
