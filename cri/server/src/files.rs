//! Removing what the server has put on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_tree::Trash;

use crate::error::Error;

/// Removes a directory of ours that no container writes to; an absent one is a success.
pub(crate) async fn remove_dir(path: PathBuf) -> Result<(), Error> {
    blocking(move || cofferdam_tree::remove(&path).map_err(|e| failed(&path, e))).await
}

/// Frees the name of a tree that a container wrote; its files go in the background. An absent one is a success.
pub(crate) async fn discard(trash: &Arc<Trash>, path: PathBuf) -> Result<(), Error> {
    let trash = trash.clone();
    blocking(move || trash.discard(&path).map_err(|e| failed(&path, e))).await
}

/// Work that waits for the disk or takes long, away from the threads that answer requests.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::Internal(format!("blocking work: {e}"))))
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::Internal(format!("remove {}: {error}", path.display()))
}
