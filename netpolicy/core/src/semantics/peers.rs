//! The peers of one rule as two sets: the pods that selectors select, and the addresses of blocks.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use cofferdam_tenant::Protocol;
use cofferdam_tenant_cluster::ContainerPort;

use super::term::PeerMatch;
use crate::address_range::{AddressRange, covers, merge, subtract};
use crate::policy::{LabelSelector, Peer};
use crate::topology::{Addresses, Pod, Topology};

/// Protocol and name of a port.
pub(super) type PortNames<'a> = BTreeSet<(Protocol, &'a str)>;

/// All peers of one rule.
pub(super) enum Peers {
    /// The rule names none: everybody.
    Any,
    /// What it names.
    Some {
        /// Pods, with the key of what selects them.
        pods: Option<(String, Addresses)>,
        /// Addresses, in order, without overlap.
        blocks: Vec<AddressRange>,
    },
}

impl Peers {
    pub(super) fn new(topology: &Topology<'_>, namespace: &str, peers: &[Peer]) -> Self {
        if peers.is_empty() {
            return Peers::Any;
        }
        let blocks = peers.iter().filter_map(|p| p.ip_block.as_ref()).flat_map(|block| {
            let except: Vec<AddressRange> = block.except.iter().map(AddressRange::network).collect();
            subtract(AddressRange::network(&block.cidr), &except)
        });
        // The same selectors in another order, or twice, are the same set.
        let selectors: BTreeSet<(String, usize)> = peers
            .iter()
            .enumerate()
            .filter(|(_, p)| p.ip_block.is_none())
            .map(|(i, p)| (key(namespace, p), i))
            .collect();
        let keys: BTreeSet<&str> = selectors.iter().map(|(key, _)| key.as_str()).collect();
        let pods = (!keys.is_empty()).then(|| {
            let all = keys.into_iter().collect::<Vec<_>>().join(" | ");
            let chosen = topology.shared(&all, |topology| {
                let mut seen = HashSet::new();
                let distinct = selectors.iter().filter(|(key, _)| seen.insert(key.as_str()));
                distinct.flat_map(|(_, i)| selected(topology, namespace, &peers[*i])).collect()
            });
            (all, chosen)
        });
        Peers::Some { pods, blocks: merge(blocks.collect()) }
    }

    /// What identifies them.
    pub(super) fn key(&self) -> String {
        match self {
            Peers::Any => "any".into(),
            Peers::Some { pods, blocks } => format!("{:?} {blocks:?}", pods.as_ref().map(|(key, _)| key)),
        }
    }

    /// The alternatives that together match all of them.
    pub(super) fn matches(self) -> Vec<PeerMatch> {
        match self {
            Peers::Any => vec![PeerMatch::Any],
            Peers::Some { pods, blocks } => {
                let blocks = (!blocks.is_empty()).then_some(PeerMatch::Blocks(blocks));
                pods.map(|(key, addresses)| PeerMatch::Pods(key, addresses)).into_iter().chain(blocks).collect()
            }
        }
    }

    fn contain(&self, address: IpAddr) -> bool {
        match self {
            Peers::Any => true,
            Peers::Some { pods, blocks } => {
                pods.as_ref().is_some_and(|(_, all)| all.contains(&address)) || covers(blocks, address)
            }
        }
    }

    /// The ports of these names of those of them that are pods.
    pub(super) fn endpoints(
        &self,
        topology: &Topology<'_>,
        names: &PortNames<'_>,
    ) -> BTreeSet<(IpAddr, Protocol, u16)> {
        let mut found = BTreeSet::new();
        for pod in &topology.pods {
            let ports: Vec<(Protocol, u16)> = ports_named(&pod.ports, names).collect();
            for address in pod.addresses.iter().filter(|a| !ports.is_empty() && self.contain(**a)) {
                found.extend(ports.iter().map(|(protocol, port)| (*address, *protocol, *port)));
            }
        }
        found
    }
}

/// A namespaceSelector means the same wherever it is written: one set for all.
fn key(namespace: &str, peer: &Peer) -> String {
    let scope = if peer.namespace_selector.is_some() { "" } else { namespace };
    format!("{scope} {peer:?}")
}

/// The addresses of the pods that a peer selects. Namespaces are asked first, and pods only in those that match.
fn selected(topology: &Topology<'_>, namespace: &str, peer: &Peer) -> Vec<IpAddr> {
    let chosen: Vec<&[usize]> = match &peer.namespace_selector {
        Some(selector) => topology
            .pods_by_namespace()
            .filter(|(name, _)| topology.selects_namespace(selector, name))
            .map(|(_, pods)| pods)
            .collect(),
        None => vec![topology.pods_in(namespace)],
    };
    let pods = chosen.into_iter().flatten().map(|i| &topology.pods[*i]);
    let matches = |pod: &&Pod| peer.pod_selector.as_ref().is_none_or(|s: &LabelSelector| s.matches(&pod.labels));
    pods.filter(matches).flat_map(|pod| pod.addresses.iter().copied()).collect()
}

/// The ports of these protocols and names that a pod declares.
pub(super) fn ports_named<'a>(
    ports: &'a [ContainerPort],
    names: &'a PortNames<'_>,
) -> impl Iterator<Item = (Protocol, u16)> + 'a {
    let protocol = |p: &ContainerPort| match p.protocol.as_str() {
        "TCP" | "" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    };
    let known = ports.iter().filter_map(move |p| Some((protocol(p)?, p)));
    let named = known.filter(|(protocol, p)| names.contains(&(*protocol, p.name.as_str())));
    named.map(|(protocol, p)| (protocol, p.container_port))
}
