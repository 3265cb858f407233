//! Sources of policies.
//!
//! Policies are kept in the same files as the facts about the cluster. `cofferdam-tenant-source` reads the files and
//! the facts; this crate tells it how to read a NetworkPolicy, and publishes both as one snapshot.

mod directory;
pub mod edit;
mod policies;

use std::sync::Arc;

use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_netpolicy::policy_limit::over_limit;
use cofferdam_tenant_source::{Document, Located, Object};
pub use cofferdam_tenant_source::{FileError, SourceConfig, documents};

pub use directory::DirectorySource;
pub use policies::PolicyKinds;

/// All objects of a file: facts and policies.
///
/// # Errors
/// The first thing that is wrong. A policy over the limit of size is wrong here; a node that reads it from its
/// directory takes it, and lets it allow nothing, so that its author fails nobody else.
pub fn parse(file: &str, text: &str) -> Result<Vec<Located<Arc<NetworkPolicy>>>, FileError> {
    let found = cofferdam_tenant_source::parse::<PolicyKinds>(file, text)?;
    for located in &found {
        if let Object::Further(policy) = &located.object
            && let Some(reason) = over_limit(&policy.spec)
        {
            return Err(Document { file, line: located.line, text: &located.text }.field_error("spec", &reason));
        }
    }
    Ok(found)
}
