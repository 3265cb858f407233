//! The namespaces of a pod.

use serde::{Deserialize, Serialize};

/// One range of an id mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub container: u32,
    /// First id on the host.
    pub host: u32,
    /// Number of ids.
    pub size: u32,
}

/// Where a pod stands in one kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// One for all containers of the pod.
    Pod,
    /// One for each container (PID only).
    Container,
    /// The node's.
    Node,
}

/// The namespaces of a pod. Mount, cgroup (and PID in mode `Container`) namespaces are always each container's own;
/// UTS follows the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNamespaces {
    /// Network: `Pod` or `Node`.
    pub network: NamespaceMode,
    /// PID: all three.
    pub pid: NamespaceMode,
    /// IPC: `Pod` or `Node`.
    pub ipc: NamespaceMode,
    /// A user namespace of the pod's own, or `None` for the node's.
    pub user: Option<UserNamespace>,
}

/// The mapping of a pod's user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// UID ranges.
    pub uids: Vec<IdMap>,
    /// GID ranges.
    pub gids: Vec<IdMap>,
}
