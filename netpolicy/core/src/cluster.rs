//! What the cluster's objects say: one immutable snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TENANT_LABEL, TenantSpec};
use ipnetwork::IpNetwork;

use crate::engine::ContainerPort;
use crate::policy::{Labels, NetworkPolicy};

/// Objects of the cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterSnapshot {
    /// Labels of each Namespace.
    pub namespaces: BTreeMap<String, Labels>,
    /// Tenants by name, `default` and `system` of the config included.
    pub tenants: BTreeMap<String, Arc<TenantSpec>>,
    /// NetworkPolicies.
    pub policies: Vec<Arc<NetworkPolicy>>,
    /// Pods, those of this node too.
    pub pods: Vec<ClusterPod>,
    /// Addresses of nodes.
    pub node_cidrs: Vec<IpNetwork>,
    /// Pod addresses of the whole cluster, as far as known; this node's own are added by the engine.
    pub pod_cidrs: Vec<IpNetwork>,
    /// Service addresses.
    pub service_cidrs: Vec<IpNetwork>,
    /// Endpoints of the API server.
    pub api_servers: Vec<SocketAddr>,
    /// Namespaces of the tenant `system`.
    pub system_namespaces: BTreeSet<String>,
    /// Namespaces without a label are refused instead of belonging to `default`.
    pub refuse_unlabelled: bool,
    /// Every namespace that exists is in `namespaces`, or has no label (directory source).
    pub complete: bool,
    /// Nothing usable was ever read: why, with file and line. All pod traffic drops.
    pub blocked: Option<String>,
    /// Problems that left the last good state in force, with file and line.
    pub warnings: Vec<String>,
    /// Files of the source directory that were passed over.
    pub ignored_files: Vec<String>,
}

/// A pod as the cluster tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterPod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID; empty when unknown.
    pub uid: String,
    /// Labels.
    pub labels: Labels,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// Ports of its containers.
    pub ports: Vec<ContainerPort>,
    /// On its node's network: a node, not a pod.
    pub host_network: bool,
    /// Succeeded or Failed: no longer owns its addresses.
    pub finished: bool,
}

impl ClusterSnapshot {
    /// Nothing was read yet.
    pub fn blocked(reason: impl Into<String>) -> Self {
        ClusterSnapshot { blocked: Some(reason.into()), ..Default::default() }
    }

    /// The tenant's name of a namespace, with nothing refused; `None` if its label names none that may be named, or it was not seen.
    pub fn tenant_of(&self, namespace: &str) -> Option<&str> {
        if self.system_namespaces.contains(namespace) {
            return Some(SYSTEM_TENANT);
        }
        if !self.complete && !self.namespaces.contains_key(namespace) {
            return None;
        }
        match self.namespaces.get(namespace).and_then(|labels| labels.get(TENANT_LABEL)) {
            None => Some(DEFAULT_TENANT),
            Some(name) if name == SYSTEM_TENANT || !self.tenants.contains_key(name) => None,
            Some(name) => Some(name),
        }
    }
}
