//! A container's log: opened here, written by the shim.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cofferdam_store::{ContainerEntry, ContainerPhase};

use super::state::Containers;
use crate::error::Error;

/// O_NOFOLLOW: the directory belongs to kubelet, but the file's name is derived from a tenant's.
const O_NOFOLLOW: i32 = 0o400_000;

impl Containers {
    /// Continues the log in a new file, after kubelet has moved the old one away.
    pub async fn reopen_log(&self, entry: &ContainerEntry) -> Result<(), Error> {
        if entry.phase() != ContainerPhase::Running {
            return Err(Error::Precondition(format!("container {} is not running", entry.id)));
        }
        if entry.log_path.as_os_str().is_empty() {
            return Err(Error::Precondition(format!("container {} has no log", entry.id)));
        }
        let log = open(&entry.log_path)?;
        Ok(self.sandbox_of(entry)?.pod().reopen_log(&entry.id, log.into()).await?)
    }
}

/// Opens a log for appending; its directory is made if kubelet has not.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    let failed = |e: std::io::Error| Error::Internal(format!("log {}: {e}", path.display()));
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(O_NOFOLLOW).open(path).map_err(failed)
}
