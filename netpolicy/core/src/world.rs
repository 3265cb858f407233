//! The snapshot and the local pods put together: who owns which address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use cofferdam_tenant::{NetworkSpec, SYSTEM_TENANT};
use ipnetwork::IpNetwork;

use crate::cluster::{ClusterPod, ClusterSnapshot};
use crate::engine::{ContainerPort, LocalPod};
use crate::policy::Labels;
use crate::span::{Span, merge};

/// What the node itself contributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Name of the table.
    pub table: String,
    /// What names of pod interfaces begin with.
    pub interface_prefix: String,
    /// This node's pod CIDRs.
    pub pod_cidrs: Vec<IpNetwork>,
    /// This node's own addresses.
    pub addresses: Vec<IpAddr>,
}

/// A pod of the cluster with the addresses that are its own beyond doubt.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Tenant; empty if its namespace names none that exists.
    pub tenant: String,
    /// Addresses that no other live pod claims.
    pub addresses: Vec<IpAddr>,
    /// Ports of its containers.
    pub ports: Vec<ContainerPort>,
    /// Interface and bound addresses of a pod of this node.
    pub local: Option<(String, Vec<IpAddr>)>,
}

/// Everything a decision needs.
pub struct World<'a> {
    /// The cluster's objects.
    pub snapshot: &'a ClusterSnapshot,
    /// The node.
    pub node: &'a NodeConfig,
    /// All pods that can be subject or peer.
    pub pods: Vec<Pod>,
    /// What is never outside: pod, node and Service addresses, loopback, link-local, multicast.
    pub inside: Vec<Span>,
}

impl<'a> World<'a> {
    /// Puts the two together. Local truth wins; an address that two live pods claim belongs to neither.
    pub fn new(snapshot: &'a ClusterSnapshot, node: &'a NodeConfig, local: &[LocalPod]) -> Self {
        let seen: BTreeMap<(&str, &str), &ClusterPod> =
            snapshot.pods.iter().map(|p| ((p.namespace.as_str(), p.name.as_str()), p)).collect();
        let mut pods: Vec<Pod> = Vec::new();
        let mut names = BTreeSet::new();
        for pod in local.iter().filter(|p| !p.host_network) {
            let known = seen.get(&(pod.namespace.as_str(), pod.name.as_str()));
            let known = known.filter(|k| k.uid.is_empty() || k.uid == pod.uid);
            names.insert((pod.namespace.as_str(), pod.name.as_str()));
            let mut ports = pod.ports.clone();
            ports.extend(known.iter().flat_map(|k| k.ports.clone()));
            pods.push(Pod {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                labels: known.map_or_else(|| pod.labels.clone(), |k| k.labels.clone()),
                tenant: pod.tenant.clone(),
                addresses: pod.addresses.clone(),
                ports,
                local: Some((pod.interface.clone(), pod.addresses.clone())),
            });
        }
        let ours: BTreeSet<IpAddr> = pods.iter().flat_map(|p| p.addresses.clone()).collect();
        for pod in snapshot.pods.iter().filter(|p| !p.host_network && !p.finished) {
            if !names.contains(&(pod.namespace.as_str(), pod.name.as_str())) {
                pods.push(Pod {
                    namespace: pod.namespace.clone(),
                    name: pod.name.clone(),
                    labels: pod.labels.clone(),
                    tenant: snapshot.tenant_of(&pod.namespace).unwrap_or_default().to_owned(),
                    addresses: pod.addresses.iter().filter(|a| !ours.contains(a)).copied().collect(),
                    ports: pod.ports.clone(),
                    local: None,
                });
            }
        }
        drop_disputed(&mut pods);
        World { snapshot, node, pods, inside: inside(snapshot, node) }
    }

    /// The pod that owns an address.
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        self.pods.iter().find(|p| p.addresses.contains(&address))
    }

    /// The network rules of a tenant; an unknown tenant has the strictest.
    pub fn network(&self, tenant: &str) -> NetworkSpec {
        self.snapshot.tenants.get(tenant).map(|t| t.network.clone()).unwrap_or_default()
    }

    /// Whether a pod is the cluster's DNS.
    pub fn is_dns(&self, pod: &Pod) -> bool {
        pod.tenant == SYSTEM_TENANT && pod.labels.get("k8s-app").is_some_and(|v| v == "kube-dns")
    }
}

fn drop_disputed(pods: &mut [Pod]) {
    let mut claims: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for address in pods.iter().flat_map(|p| p.addresses.iter().collect::<BTreeSet<_>>()) {
        *claims.entry(*address).or_default() += 1;
    }
    for pod in pods {
        pod.addresses.retain(|a| claims.get(a) == Some(&1));
    }
}

fn inside(snapshot: &ClusterSnapshot, node: &NodeConfig) -> Vec<Span> {
    let fixed = ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "0.0.0.0/8", "::/127", "fe80::/10", "ff00::/8"];
    let fixed = fixed.iter().filter_map(|text| text.parse::<IpNetwork>().ok());
    let known = [&node.pod_cidrs, &snapshot.pod_cidrs, &snapshot.node_cidrs, &snapshot.service_cidrs];
    let known = known.into_iter().flatten().copied();
    let pods = snapshot.pods.iter().flat_map(|p| p.addresses.iter()).map(|a| IpNetwork::from(*a));
    let own = node.addresses.iter().map(|a| IpNetwork::from(*a));
    merge(fixed.chain(known).chain(pods).chain(own).map(|n| Span::network(&n)).collect())
}
