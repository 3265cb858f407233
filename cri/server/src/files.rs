//! Removing what the server has put on the disk.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::Error;

/// Removes a directory of ours; an absent one is a success. Files below it may be a container's, so links are not
/// followed (which `remove_dir_all` never does).
pub(crate) async fn remove_dir(path: &Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::Internal(format!("remove {}: {error}", path.display()))),
    }
}
