//! What policy is made of: the facts about the cluster, and the policies that were read with them.

use std::sync::Arc;

use cofferdam_tenant_cluster::ClusterFacts;

use crate::policy::NetworkPolicy;

/// Facts and policies of the cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicySnapshot {
    /// Namespaces, Tenants, Pods and Nodes.
    pub facts: ClusterFacts,
    /// NetworkPolicies.
    pub policies: Vec<Arc<NetworkPolicy>>,
}

impl PolicySnapshot {
    /// A snapshot of a source that has read nothing usable yet.
    pub fn blocked(reason: impl Into<String>) -> Self {
        PolicySnapshot { facts: ClusterFacts::blocked(reason), policies: Vec::new() }
    }
}

impl AsRef<ClusterFacts> for PolicySnapshot {
    fn as_ref(&self) -> &ClusterFacts {
        &self.facts
    }
}
