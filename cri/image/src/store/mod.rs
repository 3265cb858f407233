//! What is on disk below the root, and what of it is in use.

mod metadata;
mod parents;
mod snapshot;
mod state;
mod usage;

pub use metadata::ImageRecord;
pub(crate) use metadata::Metadata;
pub(crate) use snapshot::Snapshot;
pub(crate) use state::Store;
pub use usage::Usage;
pub(crate) use usage::measure;
