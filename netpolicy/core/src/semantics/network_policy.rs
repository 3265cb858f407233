//! What a NetworkPolicy allows.

use std::collections::BTreeSet;

use cofferdam_tenant::Protocol;

use super::peers::{Peers, ports_named};
use super::term::{PeerMatch, Term};
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

/// A rule is a set of peers and a set of ports, each looked up on its own: they are never multiplied out. So a rule has
/// at most three terms whatever its size: pods, blocks of addresses, and the endpoints of named ports.
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
    let mut names = BTreeSet::new();
    for port in ports {
        let protocol = port.protocol.unwrap_or(Protocol::Tcp);
        match &port.port {
            None => _ = numbers.insert((protocol, 1, u16::MAX)),
            Some(IntOrName::Number(n)) => _ = numbers.insert((protocol, *n, port.end_port.unwrap_or(*n))),
            Some(IntOrName::Name(name)) => _ = names.insert((protocol, name.as_str())),
        }
    }
    // At the destination, a name is one of this pod's own.
    if direction == PolicyType::Ingress {
        numbers.extend(ports_named(&pod.ports, &names).map(|(protocol, n)| (protocol, n, n)));
        names.clear();
    }
    let peers = Peers::new(topology, namespace, peers);
    if !names.is_empty() {
        let key = format!("{} {names:?}", peers.key());
        let endpoints = peers.endpoints(topology, &names);
        terms.push(Term { rule: rule.into(), peer: PeerMatch::Endpoints(key, endpoints), ports: None });
    }
    if ports.is_empty() || !numbers.is_empty() {
        let numbers = (!ports.is_empty()).then_some(numbers);
        let term = |peer| Term { rule: rule.into(), peer, ports: numbers.clone() };
        terms.extend(peers.matches().into_iter().map(term));
    }
}
