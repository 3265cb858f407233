//! What a NetworkPolicy allows.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cofferdam_tenant::Protocol;
use cofferdam_tenant_cluster::ContainerPort;

use super::term::{PeerMatch, Term};
use crate::address_range::{AddressRange, subtract};
use crate::policy::{IntOrName, NetworkPolicy, Peer, PolicyPort, PolicyType};
use crate::topology::{Pod, Topology};

/// The rules of one direction: the peers and ports of each.
type Rules<'a> = Vec<(&'a [Peer], &'a [PolicyPort])>;

/// Adds the terms of a policy in one direction. `name` is the policy's, as people are told.
pub(super) fn terms(
    topology: &Topology<'_>,
    pod: &Pod,
    direction: PolicyType,
    policy: &NetworkPolicy,
    name: &str,
    terms: &mut Vec<Term>,
) {
    let (field, rules): (&str, Rules<'_>) = match direction {
        PolicyType::Ingress => ("ingress", policy.spec.ingress.iter().map(|r| (&r.from[..], &r.ports[..])).collect()),
        PolicyType::Egress => ("egress", policy.spec.egress.iter().map(|r| (&r.to[..], &r.ports[..])).collect()),
    };
    for (i, (peers, ports)) in rules.into_iter().enumerate() {
        let rule = format!("{name} {field}[{i}]");
        rule_terms(topology, pod, direction, (&policy.namespace, &rule), peers, ports, terms);
    }
}

fn rule_terms(
    topology: &Topology<'_>,
    pod: &Pod,
    direction: PolicyType,
    (namespace, rule): (&str, &str),
    peers: &[Peer],
    ports: &[PolicyPort],
    terms: &mut Vec<Term>,
) {
    let mut numbers = BTreeSet::new();
    let mut names = Vec::new();
    for port in ports {
        let protocol = port.protocol.unwrap_or(Protocol::Tcp);
        match &port.port {
            None => _ = numbers.insert((protocol, 1, u16::MAX)),
            Some(IntOrName::Number(n)) => _ = numbers.insert((protocol, *n, port.end_port.unwrap_or(*n))),
            // At the destination, a name is one of this pod's own.
            Some(IntOrName::Name(name)) if direction == PolicyType::Ingress => {
                numbers.extend(ports_named(&pod.ports, protocol, name).map(|n| (protocol, n, n)));
            }
            Some(IntOrName::Name(name)) => names.push((protocol, name)),
        }
    }
    let numbered = if ports.is_empty() { None } else { Some(numbers) };
    let any = [Peer::default()];
    for peer in if peers.is_empty() { &any[..] } else { peers } {
        let found = peer_match(topology, namespace, peer);
        for (protocol, name) in &names {
            let endpoints = endpoints_named(topology, namespace, peer, *protocol, name);
            let key = format!("{namespace} {peer:?} {protocol:?} {name}");
            terms.push(Term { rule: rule.into(), peer: PeerMatch::Endpoints(key, endpoints), ports: None });
        }
        if numbered.as_ref().is_none_or(|p| !p.is_empty()) {
            terms.push(Term { rule: rule.into(), peer: found, ports: numbered.clone() });
        }
    }
}

fn ports_named(ports: &[ContainerPort], protocol: Protocol, name: &str) -> impl Iterator<Item = u16> {
    let text = match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    };
    let is = move |p: &&ContainerPort| p.protocol == text || (p.protocol.is_empty() && text == "TCP");
    ports.iter().filter(is).filter(move |p| p.name == name).map(|p| p.container_port)
}

fn endpoints_named(
    topology: &Topology<'_>,
    namespace: &str,
    peer: &Peer,
    protocol: Protocol,
    name: &str,
) -> BTreeSet<(IpAddr, Protocol, u16)> {
    let mut found = BTreeSet::new();
    for pod in &topology.pods {
        for address in pod.addresses.iter().filter(|a| selects(topology, namespace, peer, pod, **a)) {
            found.extend(ports_named(&pod.ports, protocol, name).map(|port| (*address, protocol, port)));
        }
    }
    found
}

fn is_any(peer: &Peer) -> bool {
    *peer == Peer::default()
}

fn selects(topology: &Topology<'_>, namespace: &str, peer: &Peer, pod: &Pod, address: IpAddr) -> bool {
    if is_any(peer) {
        return true;
    }
    if let Some(block) = &peer.ip_block {
        return block.cidr.contains(address) && !block.except.iter().any(|e| e.contains(address));
    }
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => topology.selects_namespace(selector, &pod.namespace),
        None => pod.namespace == namespace,
    };
    in_namespace && peer.pod_selector.as_ref().is_none_or(|s| s.matches(&pod.labels))
}

fn peer_match(topology: &Topology<'_>, namespace: &str, peer: &Peer) -> PeerMatch {
    if is_any(peer) {
        return PeerMatch::Any;
    }
    if let Some(block) = &peer.ip_block {
        let except: Vec<AddressRange> = block.except.iter().map(AddressRange::network).collect();
        return PeerMatch::Blocks(subtract(AddressRange::network(&block.cidr), &except));
    }
    // A namespaceSelector means the same wherever it is written: one set for all.
    let scope = if peer.namespace_selector.is_some() { "" } else { namespace };
    let key = format!("{scope} {peer:?}");
    let chosen = topology.shared(&key, |topology| {
        let pods = topology
            .pods
            .iter()
            .filter(|p| p.addresses.first().is_some_and(|a| selects(topology, namespace, peer, p, *a)));
        pods.flat_map(|p| p.addresses.iter().copied()).collect()
    });
    PeerMatch::Pods(key, chosen)
}
