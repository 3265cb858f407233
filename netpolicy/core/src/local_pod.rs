//! Pods of this node, as the runtime knows them.

use std::net::IpAddr;

use cofferdam_tenant_cluster::{ContainerPort, Labels};

/// A pod of this node, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// Id of its sandbox.
    pub sandbox_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Labels of the CRI request. Those of the cluster's Pod object replace them once it is known. `None`: what was
    /// stored of the request cannot be read; while no Pod object tells, nothing passes to or from the pod.
    pub labels: Option<Labels>,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Its interface in the host's network namespace.
    pub interface: String,
    /// The tenant that it was admitted for; it never changes.
    pub tenant: String,
    /// Whether it is on the node's network: then no policy applies to it.
    pub host_network: bool,
    /// Ports that its containers declare.
    pub ports: Vec<ContainerPort>,
}
