//! What a pod may send and receive, as a list of terms: the one place that knows the semantics of policies and tenants.
//!
//! The evaluator asks the terms directly, the compiler writes them as rules. A flow needs one term of the tenant's list and, where a
//! policy isolates the direction, one of the policies' list; at the source for egress and at the destination for ingress.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cofferdam_tenant::{Isolation, PortSpec, Protocol};
use ipnetwork::IpNetwork;

use crate::engine::ContainerPort;
use crate::policy::{IntOrName, Peer, PolicyPort, PolicyType};
use crate::span::{Span, merge, subtract};
use crate::world::{Pod, World};

/// First and last port of a protocol.
pub type PortRange = (Protocol, u16, u16);

/// Which ports; `None`: all, and ICMP.
pub type Ports = Option<BTreeSet<PortRange>>;

/// Which peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// All.
    Any,
    /// Addresses of pods; the key names what selects them.
    Pods(String, BTreeSet<IpAddr>),
    /// Addresses, local ones of the node too.
    Blocks(Vec<Span>),
    /// Addresses outside the cluster: none of the node's own.
    Outside(Vec<Span>),
    /// The pod's own node.
    OwnNode,
    /// Address, protocol and port together; the key names what selects them.
    Endpoints(String, BTreeSet<(IpAddr, Protocol, u16)>),
}

/// One alternative that allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Where it comes from, for people.
    pub rule: String,
    /// Peers.
    pub peer: Match,
    /// Ports of the destination.
    pub ports: Ports,
}

/// One direction of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What the tenant allows.
    pub tenant: Vec<Term>,
    /// What NetworkPolicies allow; `None`: no policy isolates this direction.
    pub policy: Option<Vec<Term>>,
    /// The policies that isolate it.
    pub isolated_by: Vec<String>,
}

/// The terms of a pod in one direction.
pub fn side(world: &World<'_>, pod: &Pod, direction: PolicyType) -> Side {
    let tenant = match direction {
        PolicyType::Egress => tenant_egress(world, pod),
        PolicyType::Ingress => tenant_ingress(world, pod),
    };
    let mut isolated_by = Vec::new();
    let mut terms = Vec::new();
    for policy in &world.snapshot.policies {
        let about = policy.namespace == pod.namespace && policy.spec.pod_selector.matches(&pod.labels);
        if !about || !policy.spec.isolates(direction) {
            continue;
        }
        let name = format!("NetworkPolicy {}/{}", policy.namespace, policy.name);
        let rules: Vec<(&[Peer], &[PolicyPort])> = match direction {
            PolicyType::Ingress => policy.spec.ingress.iter().map(|r| (&r.from[..], &r.ports[..])).collect(),
            PolicyType::Egress => policy.spec.egress.iter().map(|r| (&r.to[..], &r.ports[..])).collect(),
        };
        let side = if direction == PolicyType::Ingress { "ingress" } else { "egress" };
        for (i, (peers, ports)) in rules.into_iter().enumerate() {
            let rule = format!("{name} {side}[{i}]");
            policy_rule(world, pod, direction, (&policy.namespace, &rule), peers, ports, &mut terms);
        }
        isolated_by.push(name);
    }
    let policy = (!isolated_by.is_empty()).then_some(terms);
    Side { tenant, policy, isolated_by }
}

fn policy_rule(
    world: &World<'_>,
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
                numbers.extend(named(&pod.ports, protocol, name).map(|n| (protocol, n, n)));
            }
            Some(IntOrName::Name(name)) => names.push((protocol, name)),
        }
    }
    let ports_of = if ports.is_empty() { None } else { Some(numbers) };
    let any = [Peer::default()];
    for peer in if peers.is_empty() { &any[..] } else { peers } {
        let found = peer_match(world, namespace, peer);
        for (protocol, name) in &names {
            let endpoints = named_endpoints(world, namespace, peer, *protocol, name);
            let key = format!("{namespace} {peer:?} {protocol:?} {name}");
            terms.push(Term { rule: rule.into(), peer: Match::Endpoints(key, endpoints), ports: None });
        }
        if ports_of.as_ref().is_none_or(|p| !p.is_empty()) {
            terms.push(Term { rule: rule.into(), peer: found, ports: ports_of.clone() });
        }
    }
}

fn named(ports: &[ContainerPort], protocol: Protocol, name: &str) -> impl Iterator<Item = u16> {
    let text = match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    };
    let is = move |p: &&ContainerPort| p.protocol == text || (p.protocol.is_empty() && text == "TCP");
    ports.iter().filter(is).filter(move |p| p.name == name).map(|p| p.container_port)
}

fn named_endpoints(
    world: &World<'_>,
    namespace: &str,
    peer: &Peer,
    protocol: Protocol,
    name: &str,
) -> BTreeSet<(IpAddr, Protocol, u16)> {
    let mut found = BTreeSet::new();
    for pod in &world.pods {
        for address in pod.addresses.iter().filter(|a| selects(world, namespace, peer, pod, **a)) {
            found.extend(named(&pod.ports, protocol, name).map(|port| (*address, protocol, port)));
        }
    }
    found
}

fn is_any(peer: &Peer) -> bool {
    *peer == Peer::default()
}

fn selects(world: &World<'_>, namespace: &str, peer: &Peer, pod: &Pod, address: IpAddr) -> bool {
    if is_any(peer) {
        return true;
    }
    if let Some(block) = &peer.ip_block {
        return block.cidr.contains(address) && !block.except.iter().any(|e| e.contains(address));
    }
    let empty = Default::default();
    let labels = world.snapshot.namespaces.get(&pod.namespace).unwrap_or(&empty);
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => selector.matches(labels),
        None => pod.namespace == namespace,
    };
    in_namespace && peer.pod_selector.as_ref().is_none_or(|s| s.matches(&pod.labels))
}

fn peer_match(world: &World<'_>, namespace: &str, peer: &Peer) -> Match {
    if is_any(peer) {
        return Match::Any;
    }
    if let Some(block) = &peer.ip_block {
        let except: Vec<Span> = block.except.iter().map(Span::network).collect();
        return Match::Blocks(subtract(Span::network(&block.cidr), &except));
    }
    // A namespaceSelector means the same wherever it is written: one set for all.
    let scope = if peer.namespace_selector.is_some() { "" } else { namespace };
    let chosen = world.pods.iter().filter(|p| p.addresses.iter().any(|a| selects(world, namespace, peer, p, *a)));
    Match::Pods(format!("{scope} {peer:?}"), chosen.flat_map(|p| p.addresses.clone()).collect())
}

fn of_tenant(world: &World<'_>, tenant: &str) -> Match {
    let addresses = world.pods.iter().filter(|p| p.tenant == tenant).flat_map(|p| p.addresses.clone()).collect();
    Match::Pods(format!("tenant {tenant}"), addresses)
}

fn ports_of(ports: &[PortSpec]) -> Ports {
    (!ports.is_empty()).then(|| ports.iter().map(|p| (p.protocol, p.port, p.port)).collect())
}

fn term(tenant: &str, rule: &str, peer: Match, ports: Ports) -> Term {
    Term { rule: format!("tenant {tenant}: {rule}"), peer, ports }
}

/// The ports on which `from` may reach `to`: both must say so. Each pair of an allowTo and an allowFrom is one.
fn cross(world: &World<'_>, from: &str, to: &str) -> Vec<Ports> {
    let names = |name: &str, tenant: &str| name == "*" || name == tenant;
    let mut allowed = Vec::new();
    for out in world.network(from).allow_to.iter().filter(|a| a.tenant.as_deref().is_some_and(|n| names(n, to))) {
        for into in world.network(to).allow_from.iter().filter(|a| names(&a.tenant, from)) {
            match (ports_of(&out.ports), ports_of(&into.ports)) {
                (None, ports) | (ports, None) => allowed.push(ports),
                (Some(a), Some(b)) => {
                    let both: BTreeSet<PortRange> = a.intersection(&b).copied().collect();
                    if !both.is_empty() {
                        allowed.push(Some(both));
                    }
                }
            }
        }
    }
    allowed
}

fn other_tenants<'a>(world: &'a World<'_>, own: &str) -> Vec<&'a str> {
    let all: BTreeSet<&str> = world.pods.iter().map(|p| p.tenant.as_str()).collect();
    all.into_iter().filter(|t| *t != own && !t.is_empty()).collect()
}

/// `Some(ports)` if the tenant's pods may ask the cluster's DNS; the rule's own ports narrow it.
fn dns_rules(world: &World<'_>, tenant: &str) -> bool {
    let network = world.network(tenant);
    network.isolation == Isolation::Open || network.allow_to.iter().any(|a| a.dns == Some(true))
}

fn api_rules(world: &World<'_>, tenant: &str) -> bool {
    let network = world.network(tenant);
    network.isolation == Isolation::Open || network.allow_to.iter().any(|a| a.api_server == Some(true))
}

fn dns_ports() -> Ports {
    Some(BTreeSet::from([(Protocol::Udp, 53, 53), (Protocol::Tcp, 53, 53)]))
}

fn dns_pods(world: &World<'_>) -> Match {
    let pods = world.pods.iter().filter(|p| world.is_dns(p)).flat_map(|p| p.addresses.clone()).collect();
    Match::Pods("dns".into(), pods)
}

fn outside(world: &World<'_>, cidr: IpNetwork) -> Vec<Span> {
    let exact = cidr.prefix() == if cidr.is_ipv4() { 32 } else { 128 };
    // Only an address written alone may name what is inside, and never another tenant's pod.
    match exact && world.owner(cidr.ip()).is_none() {
        true => vec![Span::network(&cidr)],
        false => subtract(Span::network(&cidr), &world.inside),
    }
}

fn everywhere(world: &World<'_>) -> Match {
    let all = ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse::<IpNetwork>().ok());
    Match::Outside(merge(all.flat_map(|n| subtract(Span::network(&n), &world.inside)).collect()))
}

fn tenant_egress(world: &World<'_>, pod: &Pod) -> Vec<Term> {
    let tenant = pod.tenant.as_str();
    let network = world.network(tenant);
    let mut terms = vec![term(tenant, "same tenant", of_tenant(world, tenant), None)];
    for other in other_tenants(world, tenant) {
        let rule = format!("allowTo {other} and its allowFrom");
        terms.extend(cross(world, tenant, other).into_iter().map(|p| term(tenant, &rule, of_tenant(world, other), p)));
    }
    if network.isolation == Isolation::Open {
        terms.push(term(tenant, "isolation Open: outside", everywhere(world), None));
    }
    for (i, to) in network.allow_to.iter().enumerate() {
        let rule = format!("allowTo[{i}]");
        if let Some(cidr) = to.cidr {
            terms.push(term(tenant, &rule, Match::Outside(outside(world, cidr)), ports_of(&to.ports)));
        }
        if to.node.is_some() {
            terms.push(term(tenant, &rule, Match::OwnNode, ports_of(&to.ports)));
        }
    }
    if dns_rules(world, tenant) {
        terms.push(term(tenant, "dns", dns_pods(world), dns_ports()));
    }
    if api_rules(world, tenant) {
        let endpoints = world.snapshot.api_servers.iter().map(|a| (a.ip(), Protocol::Tcp, a.port())).collect();
        terms.push(term(tenant, "apiServer", Match::Endpoints("apiServer".into(), endpoints), None));
    }
    terms
}

fn tenant_ingress(world: &World<'_>, pod: &Pod) -> Vec<Term> {
    let tenant = pod.tenant.as_str();
    let mut terms = vec![term(tenant, "same tenant", of_tenant(world, tenant), None)];
    for other in other_tenants(world, tenant) {
        let rule = format!("allowFrom {other} and its allowTo");
        terms.extend(cross(world, other, tenant).into_iter().map(|p| term(tenant, &rule, of_tenant(world, other), p)));
        if world.is_dns(pod) && dns_rules(world, other) {
            terms.push(term(tenant, "dns", of_tenant(world, other), dns_ports()));
        }
        let api = world.snapshot.api_servers.iter().filter(|a| pod.addresses.contains(&a.ip()));
        if api_rules(world, other) {
            let one = |a: &std::net::SocketAddr| Some(BTreeSet::from([(Protocol::Tcp, a.port(), a.port())]));
            terms.extend(api.map(|a| term(tenant, "apiServer", of_tenant(world, other), one(a))));
        }
    }
    if world.network(tenant).isolation == Isolation::Open {
        terms.push(term(tenant, "isolation Open: outside", everywhere(world), None));
    }
    terms
}
