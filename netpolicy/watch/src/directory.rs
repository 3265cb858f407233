//! The directory as a source of policies.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cofferdam_netpolicy::{PolicySnapshot, PolicySource};
use cofferdam_tenant_source::{Directory, Refresher, SourceConfig};
use tokio::sync::watch;

use crate::policies::PolicyKinds;

/// `[cluster] source = "directory"`: facts and policies from the same files.
pub struct DirectorySource(Directory<PolicyKinds>);

impl DirectorySource {
    /// Reads the directory, then follows it in a thread of its own. `kept`: the file that keeps the last good state for
    /// the next start.
    ///
    /// # Errors
    /// inotify cannot be used.
    pub fn start(directory: &Path, kept: Option<&Path>, config: SourceConfig) -> io::Result<Self> {
        Directory::start(directory, kept, config).map(DirectorySource)
    }

    /// Takes another configuration; a new snapshot follows.
    pub fn set_config(&self, config: SourceConfig) {
        self.0.set_config(config);
    }

    /// For whoever has to know what is in the directory now.
    pub fn refresher(&self) -> Refresher {
        self.0.refresher()
    }
}

impl PolicySource for DirectorySource {
    fn snapshots(&self) -> watch::Receiver<Arc<PolicySnapshot>> {
        self.0.snapshots()
    }
}
