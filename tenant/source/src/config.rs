//! What the node's configuration says beside the objects.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use cofferdam_tenant::{DEFAULT_TENANT, SYSTEM_TENANT, TenantSpec};
use cofferdam_tenant_cluster::ClusterFacts;
use ipnetwork::IpNetwork;

/// The part of the configuration that becomes facts.
#[derive(Debug, Clone, Default)]
pub struct SourceConfig {
    /// `[tenant.default]`.
    pub default_tenant: TenantSpec,
    /// `[tenant.system]`.
    pub system_tenant: TenantSpec,
    /// `[tenant] system_namespaces`.
    pub system_namespaces: BTreeSet<String>,
    /// `[tenant] unlabelled = "refuse"`.
    pub refuse_unlabelled: bool,
    /// `[cluster] api_server`.
    pub api_servers: Vec<SocketAddr>,
    /// `[cluster] service_cidrs`.
    pub service_cidrs: Vec<IpNetwork>,
    /// `[cluster] node_cidrs`.
    pub node_cidrs: Vec<IpNetwork>,
}

impl SourceConfig {
    /// The facts of a cluster without objects.
    pub fn facts(&self) -> ClusterFacts {
        let tenants = [(DEFAULT_TENANT, &self.default_tenant), (SYSTEM_TENANT, &self.system_tenant)];
        ClusterFacts {
            tenants: tenants.map(|(name, spec)| (name.to_owned(), Arc::new(spec.clone()))).into(),
            system_namespaces: self.system_namespaces.clone(),
            refuse_unlabelled: self.refuse_unlabelled,
            api_servers: self.api_servers.clone(),
            service_cidrs: self.service_cidrs.clone(),
            node_cidrs: self.node_cidrs.clone(),
            ..Default::default()
        }
    }
}
