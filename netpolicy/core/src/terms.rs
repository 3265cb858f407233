//! What a pod may send and receive, as a list of terms: the one place that knows the semantics of policies and tenants.
//!
//! The evaluator asks the terms directly, the compiler writes them as rules. A flow needs one term of the tenant's list and, where a
//! policy isolates the direction, one of the policies' list; at the source for egress and at the destination for ingress.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use cofferdam_tenant::{AllowTo, Isolation, NetworkSpec, PortSpec, Protocol};
use ipnetwork::IpNetwork;

use crate::engine::ContainerPort;
use crate::policy::{IntOrName, Peer, PolicyPort, PolicyType};
use crate::span::{Span, merge, subtract};
use crate::world::{Addresses, Pod, World};

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
    Pods(String, Addresses),
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
    for policy in world.policies_of(pod).map(|i| &world.snapshot.policies[i]) {
        if !policy.spec.isolates(direction) {
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
    let in_namespace = match &peer.namespace_selector {
        Some(selector) => world.selects_namespace(selector, &pod.namespace),
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
    let key = format!("{scope} {peer:?}");
    let chosen = world.shared(&key, |world| {
        let pods =
            world.pods.iter().filter(|p| p.addresses.first().is_some_and(|a| selects(world, namespace, peer, p, *a)));
        pods.flat_map(|p| p.addresses.iter().copied()).collect()
    });
    Match::Pods(key, chosen)
}

/// Pods of no tenant are nobody's.
fn of_tenant(world: &World<'_>, tenant: &str) -> Match {
    let key = format!("tenant {tenant}");
    let addresses = world.shared(&key, |world| {
        let pods = world.pods.iter().filter(|p| !tenant.is_empty() && p.tenant == tenant);
        pods.flat_map(|p| p.addresses.iter().copied()).collect()
    });
    Match::Pods(key, addresses)
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

fn other_tenants<'a>(world: &'a World<'_>, own: &str) -> impl Iterator<Item = &'a str> {
    world.tenants.iter().map(String::as_str).filter(move |t| *t != own)
}

/// The union of what several rules of allowTo give, each narrowed by its own ports; Open gives all.
fn given<T: Ord + Copy>(
    network: &NetworkSpec,
    is: fn(&AllowTo) -> bool,
    all: &[T],
    port: fn(&T) -> PortSpec,
) -> Vec<T> {
    let rules: Vec<&AllowTo> = network.allow_to.iter().filter(|to| is(to)).collect();
    let named = |one: &T| rules.iter().any(|to| to.ports.is_empty() || to.ports.contains(&port(one)));
    all.iter().filter(|one| network.isolation == Isolation::Open || named(one)).copied().collect()
}

/// The ports on which the tenant's pods may ask the cluster's DNS; `None`: on none.
fn dns_ports(world: &World<'_>, tenant: &str) -> Option<Ports> {
    let all = [Protocol::Udp, Protocol::Tcp].map(|protocol| PortSpec { protocol, port: 53 });
    let ports = given(world.network(tenant), |to| to.dns == Some(true), &all, |port| *port);
    (!ports.is_empty()).then(|| ports_of(&ports))
}

fn dns_pods(world: &World<'_>) -> Match {
    let pods = world.shared("dns", |world| {
        world.pods.iter().filter(|p| world.is_dns(p)).flat_map(|p| p.addresses.iter().copied()).collect()
    });
    Match::Pods("dns".into(), pods)
}

/// The endpoints of the API server that the tenant's pods may reach.
fn api_servers(world: &World<'_>, tenant: &str) -> Vec<SocketAddr> {
    let port = |a: &SocketAddr| PortSpec { protocol: Protocol::Tcp, port: a.port() };
    given(world.network(tenant), |to| to.api_server == Some(true), &world.snapshot.api_servers, port)
}

/// Only an address written alone may name what is inside, this node too, and never what a pod has.
fn outside(world: &World<'_>, cidr: IpNetwork) -> Match {
    let exact = cidr.prefix() == if cidr.is_ipv4() { 32 } else { 128 };
    match exact {
        true if world.is_claimed(cidr.ip()) => Match::Blocks(Vec::new()),
        true => Match::Blocks(vec![Span::network(&cidr)]),
        false => Match::Outside(subtract(Span::network(&cidr), &world.inside)),
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
            terms.push(term(tenant, &rule, outside(world, cidr), ports_of(&to.ports)));
        }
        if to.node.is_some() {
            terms.push(term(tenant, &rule, Match::OwnNode, ports_of(&to.ports)));
        }
    }
    if let Some(ports) = dns_ports(world, tenant) {
        terms.push(term(tenant, "dns", dns_pods(world), ports));
    }
    let api = api_servers(world, tenant);
    if !api.is_empty() {
        let endpoints = api.iter().map(|a| (a.ip(), Protocol::Tcp, a.port())).collect();
        terms.push(term(tenant, "apiServer", Match::Endpoints(format!("apiServer {api:?}"), endpoints), None));
    }
    terms
}

fn tenant_ingress(world: &World<'_>, pod: &Pod) -> Vec<Term> {
    let tenant = pod.tenant.as_str();
    let mut terms = vec![term(tenant, "same tenant", of_tenant(world, tenant), None)];
    for other in other_tenants(world, tenant) {
        let rule = format!("allowFrom {other} and its allowTo");
        terms.extend(cross(world, other, tenant).into_iter().map(|p| term(tenant, &rule, of_tenant(world, other), p)));
        if world.is_dns(pod)
            && let Some(ports) = dns_ports(world, other)
        {
            terms.push(term(tenant, "dns", of_tenant(world, other), ports));
        }
        for api in api_servers(world, other).into_iter().filter(|a| pod.addresses.contains(&a.ip())) {
            let port = Some(BTreeSet::from([(Protocol::Tcp, api.port(), api.port())]));
            terms.push(term(tenant, "apiServer", of_tenant(world, other), port));
        }
    }
    if world.network(tenant).isolation == Isolation::Open {
        terms.push(term(tenant, "isolation Open: outside", everywhere(world), None));
    }
    terms
}
