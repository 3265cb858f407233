//! What the node's configuration says beside the objects.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
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
    /// `[cluster] pod_cidrs`: pod addresses of the whole cluster.
    pub pod_cidrs: Vec<IpNetwork>,
}

/// Where pod addresses are where nobody says it: the private and shared ranges.
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

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
            pod_cidrs: self.pod_cidrs.clone(),
            ..Default::default()
        }
    }

    /// Whether a Pod object may claim this address. Without `[cluster] pod_cidrs` it is any private one that is not
    /// known to be something else.
    pub fn is_pod_address(&self, address: IpAddr) -> bool {
        let within = |networks: &[IpNetwork]| networks.iter().any(|network| network.contains(address));
        let other = within(&self.service_cidrs) || self.api_servers.iter().any(|server| server.ip() == address);
        let known = match self.pod_cidrs.is_empty() {
            true => {
                let private = PRIVATE.iter().filter_map(|text| text.parse::<IpNetwork>().ok());
                private.into_iter().any(|network| network.contains(address)) && !within(&self.node_cidrs)
            }
            false => within(&self.pod_cidrs),
        };
        known && !other
    }
}
