//! Class chains: the terms of a pod's direction as rules.
//!
//! A class chain jumps to one allow chain for each list of which a flow needs a term. An allow chain returns for what a
//! term allows and ends with a drop. Chains are named by their content, so pods with the same terms share them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use cofferdam_tenant::Protocol;
use cofferdam_tenant_cluster::ContainerPort;

use crate::family::Family;
use crate::ir::{Chain, CmpOp, Expr, Field, Interval, KeyType, Rule, Ruleset, Set, Value, digest, fib_type, proto};
use crate::named_sets::{STRAY, hex, range_set, set_name};
use crate::policy::PolicyType;
use crate::semantics::{PeerMatch, PortRange, Term, allow_lists};
use crate::topology::{Pod, Topology};

/// Everything that the terms of a pod's direction depend on. Pods that agree in it share a class.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey {
    ingress: bool,
    tenant: String,
    policies: Vec<usize>,
    /// These three matter for ingress only.
    dns: bool,
    api: Vec<SocketAddr>,
    ports: Vec<ContainerPort>,
}

/// The class chains made so far: their names, one for each family.
#[derive(Default)]
pub(crate) struct Classes(HashMap<ClassKey, [String; 2]>);

impl Classes {
    /// The class chains of a pod in one direction, one for each family; made if there are none yet.
    pub(crate) fn chains_of(
        &mut self,
        rules: &mut Ruleset,
        topology: &Topology<'_>,
        pod: &Pod,
        direction: PolicyType,
    ) -> [String; 2] {
        let ingress = direction == PolicyType::Ingress;
        let policies: Vec<usize> = topology.policies_of(pod).collect();
        let api = topology.facts.api_servers.iter().filter(|a| ingress && pod.addresses.contains(&a.ip()));
        let key = ClassKey {
            ingress,
            tenant: pod.tenant.clone(),
            dns: ingress && topology.is_dns(pod),
            api: api.copied().collect(),
            ports: if ingress && !policies.is_empty() { pod.ports.clone() } else { Vec::new() },
            policies,
        };
        let add = || {
            let lists = allow_lists(topology, pod, direction);
            Family::BOTH.map(|family| {
                let needed = [Some(&lists.tenant), lists.policy.as_ref()].into_iter().flatten();
                let jump = |terms: &Vec<Term>| vec![Expr::jump(allow_chain(rules, family, direction, terms))];
                let jumps: Vec<Rule> = needed.map(jump).collect();
                named_chain(rules, "c", jumps)
            })
        };
        self.0.entry(key).or_insert_with(add).clone()
    }
}

/// Adds a chain under the hash of its content.
fn named_chain(rules: &mut Ruleset, stem: &str, content: Vec<Rule>) -> String {
    let chain = Chain::regular(content);
    let name = format!("{stem}_{}", hex(&chain.digest()));
    rules.chain(&name, chain);
    name
}

/// Returns for what one of the terms allows, drops the rest.
fn allow_chain(rules: &mut Ruleset, family: Family, direction: PolicyType, terms: &[Term]) -> String {
    let mut content: Vec<Rule> = Vec::new();
    let mut seen = HashSet::new();
    for term in terms {
        content.extend(term_rules(rules, family, direction, term).into_iter().filter(|rule| seen.insert(rule.clone())));
    }
    content.push(vec![Expr::Counter, Expr::drop()]);
    let stem = if direction == PolicyType::Egress { "e" } else { "i" };
    named_chain(rules, &family.name(stem), content)
}

/// At most one rule for each protocol: the peer is one lookup, and so are the ports.
fn term_rules(rules: &mut Ruleset, family: Family, direction: PolicyType, term: &Term) -> Vec<Rule> {
    let field = if direction == PolicyType::Egress { family.daddr() } else { family.saddr() };
    let peer = match &term.peer {
        PeerMatch::Any => Vec::new(),
        PeerMatch::Pods(key, addresses) => {
            let name = set_name(family, "p", key);
            // One key selects the same addresses wherever it is met.
            if !rules.sets.contains_key(&name) {
                let mut set = Set::hash(&[family.key()]);
                addresses.iter().filter(|a| family.has(a)).for_each(|a| set.insert(vec![Interval::exact(*a)]));
                rules.set(&name, set);
            }
            vec![Expr::lookup(&[field], name)]
        }
        PeerMatch::Blocks(ranges) => match range_set(rules, family, ranges) {
            Some(name) => vec![Expr::lookup(&[field], name)],
            None => return Vec::new(),
        },
        PeerMatch::Outside(ranges) => match range_set(rules, family, ranges) {
            Some(name) => vec![
                Expr::lookup(&[field], name),
                Expr::not_in(&[field], family.name(STRAY)),
                Expr::ne(Field::FibDaddrType, Value::U32(fib_type::LOCAL)),
            ],
            None => return Vec::new(),
        },
        PeerMatch::OwnNode => vec![Expr::eq(Field::FibDaddrType, Value::U32(fib_type::LOCAL))],
        PeerMatch::Endpoints(key, endpoints) => return endpoint_rules(rules, family, field, key, endpoints),
    };
    match &term.ports {
        None => vec![[peer, vec![Expr::ret()]].concat()],
        Some(ports) => {
            let matches = port_matches(rules, ports).into_iter();
            matches.map(|ports| [ports, peer.clone(), vec![Expr::ret()]].concat()).collect()
        }
    }
}

fn endpoint_rules(
    rules: &mut Ruleset,
    family: Family,
    field: Field,
    key: &str,
    endpoints: &BTreeSet<(IpAddr, Protocol, u16)>,
) -> Vec<Rule> {
    let name = set_name(family, "n", key);
    let mut set = Set::hash(&[family.key(), KeyType::Proto, KeyType::Port]);
    for (address, protocol, port) in endpoints.iter().filter(|(a, ..)| family.has(a)) {
        let protocol = Interval::proto(number(*protocol));
        set.insert(vec![Interval::exact(*address), protocol, Interval::port(*port)]);
    }
    rules.set(&name, set);
    transports(vec![Expr::lookup(&[field, Field::L4proto, Field::Dport], name), Expr::ret()])
}

/// A port may only be looked at in a protocol that has one.
fn transports(rest: Rule) -> Vec<Rule> {
    let one = |protocol: u8| [vec![Expr::eq(Field::L4proto, Value::U8(protocol))], rest.clone()].concat();
    [proto::TCP, proto::UDP, proto::SCTP].map(one).to_vec()
}

/// One match for each protocol that has ports among these.
fn port_matches(rules: &mut Ruleset, ports: &BTreeSet<PortRange>) -> Vec<Rule> {
    let mut matches = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let ranges = merged(ports.iter().filter(|(p, ..)| *p == protocol).map(|(_, first, last)| (*first, *last)));
        let protocol = Expr::eq(Field::L4proto, Value::U8(number(protocol)));
        matches.push(match ranges[..] {
            [] => continue,
            // The protocol is all that a rule without a port asks for, so port 0 too.
            [(1, u16::MAX)] => vec![protocol],
            [(first, last)] if first == last => vec![protocol, Expr::eq(Field::Dport, Value::Port(first))],
            [(first, last)] => {
                vec![protocol, Expr::Range(Field::Dport, CmpOp::Eq, Value::Port(first), Value::Port(last))]
            }
            _ => vec![protocol, Expr::lookup(&[Field::Dport], port_set(rules, &ranges))],
        });
    }
    matches
}

/// The union of ranges that come in order, without overlap.
fn merged(ranges: impl Iterator<Item = (u16, u16)>) -> Vec<(u16, u16)> {
    let mut all: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

fn port_set(rules: &mut Ruleset, ranges: &[(u16, u16)]) -> String {
    let name = format!("t_{}", hex(&digest(&[vec![Expr::jump(format!("{ranges:?}"))]])[..10]));
    if !rules.sets.contains_key(&name) {
        let mut set = Set::intervals(&[KeyType::Port]);
        let range = |(first, last): &(u16, u16)| vec![Interval::range(Value::Port(*first), Value::Port(*last))];
        ranges.iter().for_each(|r| set.insert(range(r)));
        rules.set(&name, set);
    }
    name
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => proto::TCP,
        Protocol::Udp => proto::UDP,
        Protocol::Sctp => proto::SCTP,
    }
}
