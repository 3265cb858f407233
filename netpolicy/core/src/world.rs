//! The snapshot and the local pods put together: who owns which address.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use cofferdam_tenant::{Isolation, NetworkSpec, SYSTEM_TENANT};
use ipnetwork::IpNetwork;

use crate::cluster::{ClusterPod, ClusterSnapshot};
use crate::engine::{ContainerPort, LocalPod};
use crate::policy::{LabelSelector, Labels};
use crate::span::{Span, merge};

/// The label with which the API server names each Namespace; objects in files need not have it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The network rules of a tenant that does not exist.
static STRICTEST: NetworkSpec =
    NetworkSpec { isolation: Isolation::Strict, allow_from: Vec::new(), allow_to: Vec::new() };

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

impl NodeConfig {
    /// Whether an address is this node's own: one of its interfaces', or the first of a pod CIDR, which no pod ever has.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || self.pod_cidrs.iter().any(|cidr| first(cidr) == address)
    }
}

/// The first address after the network's own; a point-to-point network has none to spare.
fn first(cidr: &IpNetwork) -> IpAddr {
    match cidr {
        IpNetwork::V4(n) => Ipv4Addr::from(u32::from(n.network()) + u32::from(n.prefix() <= 30)).into(),
        IpNetwork::V6(n) => Ipv6Addr::from(u128::from(n.network()) + u128::from(n.prefix() <= 126)).into(),
    }
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

/// Addresses that several terms share.
pub type Addresses = Arc<BTreeSet<IpAddr>>;

/// Everything a decision needs.
pub struct World<'a> {
    /// The cluster's objects.
    pub snapshot: &'a ClusterSnapshot,
    /// The node.
    pub node: &'a NodeConfig,
    /// All pods that can be subject or peer.
    pub pods: Vec<Pod>,
    /// Pod, node and Service addresses.
    pub cluster: Vec<Span>,
    /// What is never outside: these, loopback, link-local, multicast.
    pub inside: Vec<Span>,
    /// Tenants that have pods.
    pub tenants: BTreeSet<String>,
    owners: HashMap<IpAddr, usize>,
    claimed: HashSet<IpAddr>,
    policies: HashMap<&'a str, Vec<usize>>,
    selected: RefCell<HashMap<String, Addresses>>,
}

impl<'a> World<'a> {
    /// Puts the two together. Local truth wins; an address that two live pods claim belongs to neither.
    pub fn new(snapshot: &'a ClusterSnapshot, node: &'a NodeConfig, local: &[LocalPod]) -> Self {
        let mut pods = local_pods(snapshot, local);
        let ours: HashSet<IpAddr> = pods.iter().flat_map(|p| p.addresses.iter().copied()).collect();
        pods.extend(remote_pods(snapshot, node, local, &ours));
        let claimed = pods.iter().flat_map(|p| p.addresses.iter().copied()).collect();
        drop_disputed(&mut pods);
        let cluster = cluster(snapshot, node, &ours);
        let owners = pods.iter().enumerate().flat_map(|(i, p)| p.addresses.iter().map(move |a| (*a, i))).collect();
        let mut policies: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, policy) in snapshot.policies.iter().enumerate() {
            policies.entry(&policy.namespace).or_default().push(i);
        }
        World {
            snapshot,
            node,
            inside: inside(&cluster),
            cluster,
            tenants: pods.iter().map(|p| p.tenant.clone()).filter(|t| !t.is_empty()).collect(),
            pods,
            owners,
            claimed,
            policies,
            selected: RefCell::default(),
        }
    }

    /// The pod that owns an address.
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        self.owners.get(&address).map(|i| &self.pods[*i])
    }

    /// Whether a live pod says that it has this address, be it its own beyond doubt or not.
    pub fn is_claimed(&self, address: IpAddr) -> bool {
        self.claimed.contains(&address)
    }

    /// Addresses of this node that only a pod may use: its pod CIDRs, and what its pods have from earlier ones.
    pub fn pod_spans(&self) -> Vec<Span> {
        let cidrs = self.node.pod_cidrs.iter().map(Span::network);
        let held = self.pods.iter().filter_map(|p| p.local.as_ref()).flat_map(|(_, addresses)| addresses);
        merge(cidrs.chain(held.map(|a| Span::network(&IpNetwork::from(*a)))).collect())
    }

    /// The network rules of a tenant; an unknown tenant has the strictest.
    pub fn network(&self, tenant: &str) -> &NetworkSpec {
        self.snapshot.tenants.get(tenant).map_or(&STRICTEST, |t| &t.network)
    }

    /// Whether a pod is the cluster's DNS.
    pub fn is_dns(&self, pod: &Pod) -> bool {
        pod.tenant == SYSTEM_TENANT && pod.labels.get("k8s-app").is_some_and(|v| v == "kube-dns")
    }

    /// The policies that are about a pod, as indices into the snapshot's.
    pub fn policies_of(&self, pod: &Pod) -> impl Iterator<Item = usize> {
        let all = self.policies.get(pod.namespace.as_str()).map_or(&[][..], |v| v);
        all.iter().copied().filter(|i| self.snapshot.policies[*i].spec.pod_selector.matches(&pod.labels))
    }

    /// Whether a selector means a namespace. Of one that was not seen only the empty selector is sure.
    pub fn selects_namespace(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let known = self.snapshot.namespaces.get(namespace);
        if known.is_none() && !self.snapshot.complete {
            return *selector == LabelSelector::default();
        }
        match known {
            Some(labels) if labels.contains_key(NAME_LABEL) => selector.matches(labels),
            _ => {
                let mut labels = known.cloned().unwrap_or_default();
                labels.insert(NAME_LABEL.into(), namespace.to_owned());
                selector.matches(&labels)
            }
        }
    }

    /// The addresses that `select` finds; computed once for each key.
    pub fn shared(&self, key: &str, select: impl FnOnce(&Self) -> BTreeSet<IpAddr>) -> Addresses {
        if let Some(found) = self.selected.borrow().get(key) {
            return found.clone();
        }
        let found = Arc::new(select(self));
        self.selected.borrow_mut().insert(key.to_owned(), found.clone());
        found
    }
}

fn local_pods(snapshot: &ClusterSnapshot, local: &[LocalPod]) -> Vec<Pod> {
    let seen: HashMap<(&str, &str), &ClusterPod> =
        snapshot.pods.iter().map(|p| ((p.namespace.as_str(), p.name.as_str()), p)).collect();
    let one = |pod: &LocalPod| {
        let known = seen.get(&(pod.namespace.as_str(), pod.name.as_str()));
        let known = known.filter(|k| k.uid.is_empty() || k.uid == pod.uid);
        let mut ports = pod.ports.clone();
        ports.extend(known.iter().flat_map(|k| k.ports.clone()));
        Pod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            labels: known.map_or_else(|| pod.labels.clone(), |k| k.labels.clone()),
            tenant: pod.tenant.clone(),
            addresses: pod.addresses.clone(),
            ports,
            local: Some((pod.interface.clone(), pod.addresses.clone())),
        }
    };
    local.iter().filter(|p| !p.host_network).map(one).collect()
}

/// The pods that do not run here. One of a local pod's name and another uid is another pod. Of this node's addresses they have none,
/// whatever they claim.
fn remote_pods(snapshot: &ClusterSnapshot, node: &NodeConfig, local: &[LocalPod], ours: &HashSet<IpAddr>) -> Vec<Pod> {
    let own = |a: &IpAddr| ours.contains(a) || node.owns(*a) || node.pod_cidrs.iter().any(|cidr| cidr.contains(*a));
    let names: BTreeSet<(&str, &str)> = local.iter().map(|p| (p.namespace.as_str(), p.name.as_str())).collect();
    let uids: BTreeSet<(&str, &str, &str)> =
        local.iter().map(|p| (p.namespace.as_str(), p.name.as_str(), p.uid.as_str())).collect();
    let here = |p: &ClusterPod| match p.uid.is_empty() {
        true => names.contains(&(p.namespace.as_str(), p.name.as_str())),
        false => uids.contains(&(p.namespace.as_str(), p.name.as_str(), p.uid.as_str())),
    };
    let one = |pod: &ClusterPod| Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        labels: pod.labels.clone(),
        tenant: snapshot.tenant_of(&pod.namespace).unwrap_or_default().to_owned(),
        addresses: pod.addresses.iter().filter(|a| !own(a)).copied().collect(),
        ports: pod.ports.clone(),
        local: None,
    };
    snapshot.pods.iter().filter(|p| !p.host_network && !p.finished && !here(p)).map(one).collect()
}

fn drop_disputed(pods: &mut [Pod]) {
    let mut claims: HashMap<IpAddr, usize> = HashMap::new();
    for address in pods.iter().flat_map(|p| p.addresses.iter().collect::<BTreeSet<_>>()) {
        *claims.entry(*address).or_default() += 1;
    }
    for pod in pods {
        pod.addresses.retain(|a| claims.get(a) == Some(&1));
    }
}

fn cluster(snapshot: &ClusterSnapshot, node: &NodeConfig, ours: &HashSet<IpAddr>) -> Vec<Span> {
    let known = [&node.pod_cidrs, &snapshot.pod_cidrs, &snapshot.node_cidrs, &snapshot.service_cidrs];
    let known = known.into_iter().flatten().copied();
    let pods = snapshot.pods.iter().flat_map(|p| p.addresses.iter());
    let single = pods.chain(ours).chain(&node.addresses).map(|a| IpNetwork::from(*a));
    merge(known.chain(single).map(|n| Span::network(&n)).collect())
}

fn inside(cluster: &[Span]) -> Vec<Span> {
    let fixed = ["127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "0.0.0.0/8", "::/127", "fe80::/10", "ff00::/8"];
    let fixed = fixed.iter().filter_map(|text| text.parse::<IpNetwork>().ok()).map(|n| Span::network(&n));
    merge(fixed.chain(cluster.iter().copied()).collect())
}
