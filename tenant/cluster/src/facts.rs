//! What the cluster's objects and the node's configuration say, at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TENANT_LABEL, TenantSpec};
use ipnetwork::IpNetwork;

use crate::{ClusterPod, Labels};

/// Namespaces, Tenants, Pods and addresses of the cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterFacts {
    /// Labels of each Namespace.
    pub namespaces: BTreeMap<String, Labels>,
    /// Tenants by name, including `default` and `system`, which the configuration defines.
    pub tenants: BTreeMap<String, Arc<TenantSpec>>,
    /// Pods, those of this node too.
    pub pods: Vec<ClusterPod>,
    /// Addresses of nodes.
    pub node_cidrs: Vec<IpNetwork>,
    /// Pod addresses of the whole cluster, as far as known; those of this node are added where policy is decided.
    pub pod_cidrs: Vec<IpNetwork>,
    /// Service addresses.
    pub service_cidrs: Vec<IpNetwork>,
    /// Endpoints of the API server.
    pub api_servers: Vec<SocketAddr>,
    /// Namespaces of the tenant `system`.
    pub system_namespaces: BTreeSet<String>,
    /// Whether namespaces without a tenant label are refused instead of belonging to `default`.
    pub refuse_unlabelled: bool,
    /// Whether the source knows all namespaces: one that is not in `namespaces` has no labels (directory source).
    pub complete: bool,
    /// What may hold a Namespace that was never read: while it is set, one that is not in `namespaces` is not known
    /// rather than without labels.
    pub unread: Option<Unread>,
    /// Why nothing usable was ever read, with file and line. While it is set, all pod traffic drops.
    pub blocked: Option<String>,
    /// Problems that left the last good state in force, with file and line.
    pub warnings: Vec<String>,
    /// Files of the source directory that were passed over.
    pub ignored_files: Vec<String>,
}

/// A part of the source that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What, and why.
    pub reason: String,
    /// Whether that passes by itself (somebody is writing it).
    pub soon: bool,
}

impl ClusterFacts {
    /// Facts from a source that has read nothing usable yet.
    pub fn blocked(reason: impl Into<String>) -> Self {
        ClusterFacts { blocked: Some(reason.into()), ..Default::default() }
    }

    /// The name of a namespace's tenant. `None` if the namespace is not known yet, or its label names a tenant that
    /// does not exist or that a label cannot name.
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

/// So that whoever needs only the facts can take them from any snapshot that contains them.
impl AsRef<ClusterFacts> for ClusterFacts {
    fn as_ref(&self) -> &ClusterFacts {
        self
    }
}
