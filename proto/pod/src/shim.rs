//! What a shim is told at its start, by the factory of its kind of sandbox.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::namespaces::PodNamespaces;

/// The whole of a shim's configuration; it comes as JSON in a file descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimConfig {
    /// The pod sandbox id.
    pub id: String,
    /// The pod's own directory; the shim writes only below it.
    pub dir: PathBuf,
    /// Path of the pod's cgroup below each hierarchy's root.
    pub cgroup: String,
    /// Path of the cgroup that shims live in, which it joins at once; it exists.
    pub shim_cgroup: String,
    /// What it runs.
    pub kind: ShimKind,
}

/// What a shim runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShimKind {
    /// Containers in namespaces that it makes at once.
    Namespace(ShimNamespaces),
    /// A VM, booted by a later request.
    Vm,
}

/// The namespaces a shim makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimNamespaces {
    /// Which ones.
    pub namespaces: PodNamespaces,
    /// Host name inside; empty with host network.
    pub hostname: String,
    /// Namespaced sysctls, dotted names.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// Where the network namespace is pinned; `None` with host network.
    pub netns: Option<PathBuf>,
    /// Seccomp program of the init of a shared PID namespace; empty: none.
    pub init_seccomp: Vec<u8>,
}
