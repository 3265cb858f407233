//! Class chains: the terms of a pod's direction as rules.
//!
//! A class chain jumps to one allow chain for each list of which a flow needs a term. An allow chain returns for what a
//! term allows and ends with a drop. Chains are named by their content, so pods with the same terms share them.

use std::collections::HashMap;
use std::net::SocketAddr;

use cofferdam_tenant::Protocol;
use cofferdam_tenant_cluster::ContainerPort;

use crate::family::Family;
use crate::ir::{Chain, CmpOp, Expr, Field, Interval, KeyType, Rule, Ruleset, Set, Value, fib_type, proto};
use crate::named_sets::{hex, range_set, set_name};
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
    for term in terms {
        for rule in term_rules(rules, family, direction, term) {
            if !content.contains(&rule) {
                content.push(rule);
            }
        }
    }
    content.push(vec![Expr::Counter, Expr::drop()]);
    let stem = if direction == PolicyType::Egress { "e" } else { "i" };
    named_chain(rules, &family.name(stem), content)
}

fn term_rules(rules: &mut Ruleset, family: Family, direction: PolicyType, term: &Term) -> Vec<Rule> {
    let field = if direction == PolicyType::Egress { family.daddr() } else { family.saddr() };
    let not_local = Expr::ne(Field::FibDaddrType, Value::U32(fib_type::LOCAL));
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
            Some(name) => vec![Expr::lookup(&[field], name), not_local],
            None => return Vec::new(),
        },
        PeerMatch::OwnNode => vec![Expr::eq(Field::FibDaddrType, Value::U32(fib_type::LOCAL))],
        PeerMatch::Endpoints(key, endpoints) => {
            let name = set_name(family, "n", key);
            let mut set = Set::hash(&[family.key(), KeyType::Proto, KeyType::Port]);
            for (address, protocol, port) in endpoints.iter().filter(|(a, ..)| family.has(a)) {
                let protocol = Interval::proto(number(*protocol));
                set.insert(vec![Interval::exact(*address), protocol, Interval::port(*port)]);
            }
            rules.set(&name, set);
            return transports(vec![Expr::lookup(&[field, Field::L4proto, Field::Dport], name), Expr::ret()]);
        }
    };
    match &term.ports {
        None => vec![[peer, vec![Expr::ret()]].concat()],
        Some(ports) => ports.iter().map(|p| [port_match(p), peer.clone(), vec![Expr::ret()]].concat()).collect(),
    }
}

/// A port may only be looked at in a protocol that has one.
fn transports(rest: Rule) -> Vec<Rule> {
    let one = |protocol: u8| [vec![Expr::eq(Field::L4proto, Value::U8(protocol))], rest.clone()].concat();
    [proto::TCP, proto::UDP, proto::SCTP].map(one).to_vec()
}

fn port_match((protocol, first, last): &PortRange) -> Rule {
    let protocol = Expr::eq(Field::L4proto, Value::U8(number(*protocol)));
    match (*first, *last) {
        (1, u16::MAX) => vec![protocol],
        (first, last) if first == last => vec![protocol, Expr::eq(Field::Dport, Value::Port(first))],
        (first, last) => {
            vec![protocol, Expr::Range(Field::Dport, CmpOp::Eq, Value::Port(first), Value::Port(last))]
        }
    }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => proto::TCP,
        Protocol::Udp => proto::UDP,
        Protocol::Sctp => proto::SCTP,
    }
}
