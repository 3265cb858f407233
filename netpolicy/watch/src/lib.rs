//! Sources of policies.
//!
//! Policies are kept in the same files as the facts about the cluster. `cofferdam-tenant-source` reads the files and
//! the facts; this crate tells it how to read a NetworkPolicy, and publishes both as one snapshot.

mod directory;
pub mod edit;
mod policies;

use std::sync::Arc;

use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_tenant_source::Located;
pub use cofferdam_tenant_source::{FileError, SourceConfig, documents};

pub use directory::DirectorySource;
pub use policies::PolicyKinds;

/// All objects of a file: facts and policies.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(file: &str, text: &str) -> Result<Vec<Located<Arc<NetworkPolicy>>>, FileError> {
    cofferdam_tenant_source::parse::<PolicyKinds>(file, text)
}
