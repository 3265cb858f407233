//! The cluster as this node sees it: which pod owns which address, what is inside the cluster, which policies select a
//! pod.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use cofferdam_tenant::{Isolation, NetworkSpec, SYSTEM_TENANT};
use cofferdam_tenant_cluster::{ClusterFacts, ClusterPod, ContainerPort, Labels, NAME_LABEL};
use ipnetwork::IpNetwork;

use crate::address_range::{AddressRange, covers, merge, subtract};
use crate::inside::inside;
use crate::local_pod::LocalPod;
use crate::node::NodeConfig;
use crate::policy::{LabelSelector, NetworkPolicy};
use crate::snapshot::PolicySnapshot;

/// The network rules of a tenant that does not exist.
static STRICTEST: NetworkSpec =
    NetworkSpec { isolation: Isolation::Strict, allow_from: Vec::new(), allow_to: Vec::new() };

/// A pod of the cluster with the addresses that no other pod claims.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
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

/// The snapshot and the pods of this node put together: everything a decision needs.
pub struct Topology<'a> {
    /// What is known about the cluster.
    pub facts: &'a ClusterFacts,
    /// All NetworkPolicies.
    pub policies: &'a [Arc<NetworkPolicy>],
    /// This node.
    pub node: &'a NodeConfig,
    /// All pods that can be subject or peer.
    pub pods: Vec<Pod>,
    /// Networks of pods, nodes and Services.
    pub cluster: Vec<AddressRange>,
    /// What never counts as outside the cluster: `cluster`, loopback, link-local, multicast and metadata addresses.
    pub inside: Vec<AddressRange>,
    /// Everything else.
    pub outside: Vec<AddressRange>,
    /// Addresses of pods that lie in no network of the cluster. They are not outside either; kept on their own, because
    /// a pod must not change the networks.
    pub stray: BTreeSet<IpAddr>,
    /// Tenants that have pods.
    pub tenants: BTreeSet<String>,
    owners: HashMap<IpAddr, usize>,
    claimed: HashSet<IpAddr>,
    by_namespace: HashMap<&'a str, Vec<usize>>,
    pods_of: HashMap<String, Vec<usize>>,
    selected: RefCell<HashMap<String, Addresses>>,
}

impl<'a> Topology<'a> {
    /// Puts the two together. What this node knows of its own pods wins. An address that two live pods claim belongs to
    /// neither.
    pub fn new(snapshot: &'a PolicySnapshot, node: &'a NodeConfig, local: &[LocalPod]) -> Self {
        let PolicySnapshot { facts, policies } = snapshot;
        let mut pods = local_pods(facts, local);
        let networked = local.iter().filter(|p| !p.host_network);
        let ours: HashSet<IpAddr> = networked.flat_map(|p| p.addresses.iter().copied()).collect();
        pods.extend(remote_pods(facts, node, local, &ours));
        let claimed = pods.iter().flat_map(|p| p.addresses.iter().copied()).collect();
        drop_disputed(&mut pods);
        let cluster = cluster(facts, node);
        let inside = inside(&cluster, &node.nat64_prefixes);
        let every = facts.pods.iter().flat_map(|p| p.addresses.iter()).chain(&ours);
        let stray = every.filter(|a| !covers(&inside, **a)).copied().collect();
        let owners = pods.iter().enumerate().flat_map(|(i, p)| p.addresses.iter().map(move |a| (*a, i))).collect();
        let mut by_namespace: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, policy) in policies.iter().enumerate() {
            by_namespace.entry(&policy.namespace).or_default().push(i);
        }
        let mut pods_of: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, pod) in pods.iter().enumerate() {
            pods_of.entry(pod.namespace.clone()).or_default().push(i);
        }
        Topology {
            facts,
            policies,
            node,
            outside: outside(&inside),
            inside,
            stray,
            cluster,
            tenants: pods.iter().map(|p| p.tenant.clone()).filter(|t| !t.is_empty()).collect(),
            pods,
            owners,
            claimed,
            by_namespace,
            pods_of,
            selected: RefCell::default(),
        }
    }

    /// The pod that owns an address.
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        self.owners.get(&address).map(|i| &self.pods[*i])
    }

    /// The pods of a namespace, as indices into `pods`.
    pub fn pods_in(&self, namespace: &str) -> &[usize] {
        self.pods_of.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The namespaces that have pods, and these as indices into `pods`.
    pub fn pods_by_namespace(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.pods_of.iter().map(|(name, pods)| (name.as_str(), pods.as_slice()))
    }

    /// Whether a live pod claims this address, even if another one claims it too.
    pub fn is_claimed(&self, address: IpAddr) -> bool {
        self.claimed.contains(&address)
    }

    /// Addresses of this node that only a pod may use: its pod CIDRs, and what its pods have from earlier ones.
    pub fn pod_ranges(&self) -> Vec<AddressRange> {
        let cidrs = self.node.pod_cidrs.iter().map(AddressRange::network);
        let held = self.pods.iter().filter_map(|p| p.local.as_ref()).flat_map(|(_, addresses)| addresses);
        merge(cidrs.chain(held.map(|a| AddressRange::network(&IpNetwork::from(*a)))).collect())
    }

    /// The network rules of a tenant; an unknown tenant has the strictest.
    pub fn network(&self, tenant: &str) -> &NetworkSpec {
        self.facts.tenants.get(tenant).map_or(&STRICTEST, |t| &t.network)
    }

    /// Whether a pod is the cluster's DNS.
    pub fn is_dns(&self, pod: &Pod) -> bool {
        pod.tenant == SYSTEM_TENANT && pod.labels.get("k8s-app").is_some_and(|v| v == "kube-dns")
    }

    /// The policies that select a pod, as indices into `policies`.
    pub fn policies_of(&self, pod: &Pod) -> impl Iterator<Item = usize> {
        let all = self.by_namespace.get(pod.namespace.as_str()).map_or(&[][..], |v| v);
        all.iter().copied().filter(|i| self.policies[*i].spec.pod_selector.matches(&pod.labels))
    }

    /// Whether a selector selects a namespace. One that is not known yet is selected by the empty selector only.
    pub fn selects_namespace(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let known = self.facts.namespaces.get(namespace);
        if known.is_none() && !self.facts.complete {
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

    /// The addresses that `select` finds, computed once for each key.
    pub fn shared(&self, key: &str, select: impl FnOnce(&Self) -> BTreeSet<IpAddr>) -> Addresses {
        if let Some(found) = self.selected.borrow().get(key) {
            return found.clone();
        }
        let found = Arc::new(select(self));
        self.selected.borrow_mut().insert(key.to_owned(), found.clone());
        found
    }
}

fn local_pods(facts: &ClusterFacts, local: &[LocalPod]) -> Vec<Pod> {
    let seen: HashMap<(&str, &str), &ClusterPod> =
        facts.pods.iter().map(|p| ((p.namespace.as_str(), p.name.as_str()), p)).collect();
    let one = |pod: &LocalPod| {
        let known = seen.get(&(pod.namespace.as_str(), pod.name.as_str()));
        let known = known.filter(|k| k.uid.is_empty() || k.uid == pod.uid);
        let mut ports = pod.ports.clone();
        ports.extend(known.iter().flat_map(|k| k.ports.clone()));
        // Without labels nobody knows which policies select it: it is not bound, so all it sends or gets drops.
        let labels = known.map(|k| &k.labels).or(pod.labels.as_ref())?.clone();
        Some(Pod {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            labels,
            tenant: pod.tenant.clone(),
            addresses: pod.addresses.clone(),
            ports,
            local: Some((pod.interface.clone(), pod.addresses.clone())),
        })
    };
    local.iter().filter(|p| !p.host_network).filter_map(one).collect()
}

/// The pods that run elsewhere. A pod with the name of a local one and another UID is another pod. None of them has an
/// address of this node, whatever it claims.
fn remote_pods(facts: &ClusterFacts, node: &NodeConfig, local: &[LocalPod], ours: &HashSet<IpAddr>) -> Vec<Pod> {
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
        tenant: facts.tenant_of(&pod.namespace).unwrap_or_default().to_owned(),
        addresses: pod.addresses.iter().filter(|a| !own(a)).copied().collect(),
        ports: pod.ports.clone(),
        local: None,
    };
    facts.pods.iter().filter(|p| !p.host_network && !p.finished && !here(p)).map(one).collect()
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

/// Networks only; single addresses are the node's own, which stay.
fn cluster(facts: &ClusterFacts, node: &NodeConfig) -> Vec<AddressRange> {
    let known = [&node.pod_cidrs, &facts.pod_cidrs, &facts.node_cidrs, &facts.service_cidrs];
    let own = node.addresses.iter().map(|a| IpNetwork::from(*a));
    merge(known.into_iter().flatten().copied().chain(own).map(|n| AddressRange::network(&n)).collect())
}

/// All addresses that are not inside.
fn outside(inside: &[AddressRange]) -> Vec<AddressRange> {
    let all = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse::<IpNetwork>().ok());
    all.flat_map(|n| subtract(AddressRange::network(&n), inside)).collect()
}
