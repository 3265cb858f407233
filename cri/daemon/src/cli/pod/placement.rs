//! Where on this node a pod is put.

use std::path::PathBuf;

/// Where on this node a pod is put.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    /// A new one for each run of a pod.
    pub uid: String,
    /// Of its logs.
    pub log_directory: PathBuf,
    /// Its directory below kubelet's root: volumes.
    pub directory: PathBuf,
    /// First id on the host of its user namespace, if it has one.
    pub first_host_id: Option<u32>,
    /// The node's memory, bytes.
    pub node_memory: u64,
}

impl Placement {
    /// The directory of an emptyDir.
    pub fn empty_dir(&self, volume: &str) -> PathBuf {
        self.directory.join("volumes/kubernetes.io~empty-dir").join(volume)
    }
}
