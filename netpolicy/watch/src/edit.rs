//! `apply` and `delete`, for files that may hold policies.

use std::path::Path;

use cofferdam_tenant_source::edit;
pub use cofferdam_tenant_source::edit::{EditError, Edited, Outcome};

use crate::policies::PolicyKinds;

/// Checks all objects first, then writes them.
///
/// # Errors
/// See [`EditError`].
pub fn apply(directory: &Path, file_name: &str, yaml: &str) -> Result<Vec<Edited>, EditError> {
    crate::parse(file_name, yaml)?;
    edit::apply::<PolicyKinds>(directory, file_name, yaml)
}

/// Removes the objects. It is no error if one is absent.
///
/// # Errors
/// See [`EditError`].
pub fn delete(directory: &Path, file_name: &str, yaml: &str) -> Result<Vec<Edited>, EditError> {
    edit::delete::<PolicyKinds>(directory, file_name, yaml)
}
