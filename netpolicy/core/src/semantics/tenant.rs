//! What a tenant allows.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cofferdam_tenant::{AllowTo, Isolation, NetworkSpec, PortSpec, Protocol};
use ipnetwork::IpNetwork;

use super::term::{PeerMatch, PortRange, Ports, Term};
use crate::address_range::{AddressRange, subtract};
use crate::topology::{Pod, Topology};

/// The pods of a tenant. Pods without a tenant are nobody's.
fn pods_of(topology: &Topology<'_>, tenant: &str) -> PeerMatch {
    let key = format!("tenant {tenant}");
    let addresses = topology.shared(&key, |topology| {
        let pods = topology.pods.iter().filter(|p| !tenant.is_empty() && p.tenant == tenant);
        pods.flat_map(|p| p.addresses.iter().copied()).collect()
    });
    PeerMatch::Pods(key, addresses)
}

fn ports_of(ports: &[PortSpec]) -> Ports {
    (!ports.is_empty()).then(|| ports.iter().map(|p| (p.protocol, p.port, p.port)).collect())
}

fn tenant_term(tenant: &str, rule: &str, peer: PeerMatch, ports: Ports) -> Term {
    Term { rule: format!("tenant {tenant}: {rule}"), peer, ports }
}

/// The ports on which `from` may reach `to`: both must say so. Each pair of an allowTo and an allowFrom is one.
fn cross_tenant_ports(topology: &Topology<'_>, from: &str, to: &str) -> Vec<Ports> {
    let names = |name: &str, tenant: &str| name == "*" || name == tenant;
    let mut allowed = Vec::new();
    for out in topology.network(from).allow_to.iter().filter(|a| a.tenant.as_deref().is_some_and(|n| names(n, to))) {
        for into in topology.network(to).allow_from.iter().filter(|a| names(&a.tenant, from)) {
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

fn other_tenants<'a>(topology: &'a Topology<'_>, own: &str) -> impl Iterator<Item = &'a str> {
    topology.tenants.iter().map(String::as_str).filter(move |t| *t != own)
}

/// Those of `all` that some entry of allowTo which `is` of the right sort allows by its ports. Isolation Open allows
/// all.
fn allowed_to<T: Ord + Copy>(
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
fn dns_ports(topology: &Topology<'_>, tenant: &str) -> Option<Ports> {
    let all = [Protocol::Udp, Protocol::Tcp].map(|protocol| PortSpec { protocol, port: 53 });
    let ports = allowed_to(topology.network(tenant), |to| to.dns == Some(true), &all, |port| *port);
    (!ports.is_empty()).then(|| ports_of(&ports))
}

fn dns_pods(topology: &Topology<'_>) -> PeerMatch {
    let pods = topology.shared("dns", |topology| {
        topology.pods.iter().filter(|p| topology.is_dns(p)).flat_map(|p| p.addresses.iter().copied()).collect()
    });
    PeerMatch::Pods("dns".into(), pods)
}

/// The endpoints of the API server that the tenant's pods may reach.
fn api_servers(topology: &Topology<'_>, tenant: &str) -> Vec<SocketAddr> {
    let port = |a: &SocketAddr| PortSpec { protocol: Protocol::Tcp, port: a.port() };
    allowed_to(topology.network(tenant), |to| to.api_server == Some(true), &topology.facts.api_servers, port)
}

/// What `cidr` of allowTo means: the addresses of it that are outside the cluster. Only a single address may also be
/// inside, or this node's own, but never one that a pod claims.
fn cidr_match(topology: &Topology<'_>, cidr: IpNetwork) -> PeerMatch {
    let exact = cidr.prefix() == if cidr.is_ipv4() { 32 } else { 128 };
    match exact {
        true if topology.is_claimed(cidr.ip()) => PeerMatch::Blocks(Vec::new()),
        true => PeerMatch::Blocks(vec![AddressRange::network(&cidr)]),
        false => PeerMatch::Outside(subtract(AddressRange::network(&cidr), &topology.inside)),
    }
}

/// All addresses outside the cluster.
fn everywhere(topology: &Topology<'_>) -> PeerMatch {
    PeerMatch::Outside(topology.outside.clone())
}

pub(super) fn egress(topology: &Topology<'_>, pod: &Pod) -> Vec<Term> {
    let tenant = pod.tenant.as_str();
    let network = topology.network(tenant);
    let mut terms = vec![tenant_term(tenant, "same tenant", pods_of(topology, tenant), None)];
    for other in other_tenants(topology, tenant) {
        let rule = format!("allowTo {other} and its allowFrom");
        terms.extend(
            cross_tenant_ports(topology, tenant, other)
                .into_iter()
                .map(|p| tenant_term(tenant, &rule, pods_of(topology, other), p)),
        );
    }
    if network.isolation == Isolation::Open {
        terms.push(tenant_term(tenant, "isolation Open: outside", everywhere(topology), None));
    }
    for (i, to) in network.allow_to.iter().enumerate() {
        let rule = format!("allowTo[{i}]");
        if let Some(cidr) = to.cidr {
            terms.push(tenant_term(tenant, &rule, cidr_match(topology, cidr), ports_of(&to.ports)));
        }
        if to.node.is_some() {
            terms.push(tenant_term(tenant, &rule, PeerMatch::OwnNode, ports_of(&to.ports)));
        }
    }
    if let Some(ports) = dns_ports(topology, tenant) {
        terms.push(tenant_term(tenant, "dns", dns_pods(topology), ports));
    }
    let api = api_servers(topology, tenant);
    if !api.is_empty() {
        let endpoints = api.iter().map(|a| (a.ip(), Protocol::Tcp, a.port())).collect();
        terms.push(tenant_term(
            tenant,
            "apiServer",
            PeerMatch::Endpoints(format!("apiServer {api:?}"), endpoints),
            None,
        ));
    }
    terms
}

pub(super) fn ingress(topology: &Topology<'_>, pod: &Pod) -> Vec<Term> {
    let tenant = pod.tenant.as_str();
    let mut terms = vec![tenant_term(tenant, "same tenant", pods_of(topology, tenant), None)];
    for other in other_tenants(topology, tenant) {
        let rule = format!("allowFrom {other} and its allowTo");
        terms.extend(
            cross_tenant_ports(topology, other, tenant)
                .into_iter()
                .map(|p| tenant_term(tenant, &rule, pods_of(topology, other), p)),
        );
        if topology.is_dns(pod)
            && let Some(ports) = dns_ports(topology, other)
        {
            terms.push(tenant_term(tenant, "dns", pods_of(topology, other), ports));
        }
        for api in api_servers(topology, other).into_iter().filter(|a| pod.addresses.contains(&a.ip())) {
            let port = Some(BTreeSet::from([(Protocol::Tcp, api.port(), api.port())]));
            terms.push(tenant_term(tenant, "apiServer", pods_of(topology, other), port));
        }
    }
    if topology.network(tenant).isolation == Isolation::Open {
        terms.push(tenant_term(tenant, "isolation Open: outside", everywhere(topology), None));
    }
    terms
}
