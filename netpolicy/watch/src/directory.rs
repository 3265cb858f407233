//! The directory as a source of policies.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_netpolicy::{PolicySnapshot, PolicySource};
use cofferdam_tenant_source::{Directory, SourceConfig};
use tokio::sync::watch;

use crate::policies::PolicyKinds;

/// `[cluster] source = "directory"`: facts and policies from the same files.
pub struct DirectorySource(Directory<PolicyKinds>);

impl DirectorySource {
    /// Reads the directory, then follows it in a thread of its own.
    ///
    /// # Errors
    /// inotify cannot be used.
    pub fn start(directory: &Path, config: SourceConfig) -> Result<Self, notify::Error> {
        Directory::start(directory, config).map(DirectorySource)
    }

    /// Takes another configuration; a new snapshot follows.
    pub fn set_config(&self, config: SourceConfig) {
        self.0.set_config(config);
    }

    /// Waits until what is in the directory now is in the snapshot. `false`: that took longer than `patience`. Blocks.
    pub fn refresh(&self, patience: Duration) -> bool {
        self.0.refresh(patience)
    }
}

impl PolicySource for DirectorySource {
    fn snapshots(&self) -> watch::Receiver<Arc<PolicySnapshot>> {
        self.0.snapshots()
    }
}
