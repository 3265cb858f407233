//! Terms as nftables rules, in the layout of DESIGN 6.2.
//!
//! `forward` and `input` split by family; then bindings, replies, `iifname vmap @out`, `oifname vmap @in`. A pod's direction is a class
//! chain, named by its content: pods with the same terms share it. In it, allow is `return`, and its end drops.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use cofferdam_tenant::Protocol;

use crate::base;
use crate::cluster::ClusterSnapshot;
use crate::engine::{ContainerPort, LocalPod};
use crate::ir::{Chain, Expr, Field, Interval, KeyType, Rule, Ruleset, Set, Value, Verdict, fib_type, proto};
use crate::policy::PolicyType;
use crate::span::Span;
use crate::terms::{Match, PortRange, Term, side};
use crate::world::{NodeConfig, Pod, World};

/// One of the two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// Name of a thing that exists once a family.
    pub(crate) fn name(self, stem: &str) -> String {
        format!("{stem}{}", if self == Family::V4 { 4 } else { 6 })
    }

    pub(crate) fn has(self, address: &IpAddr) -> bool {
        address.is_ipv6() == (self == Family::V6)
    }

    pub(crate) fn saddr(self) -> Field {
        if self == Family::V4 { Field::Ip4Saddr } else { Field::Ip6Saddr }
    }

    pub(crate) fn daddr(self) -> Field {
        if self == Family::V4 { Field::Ip4Daddr } else { Field::Ip6Daddr }
    }

    pub(crate) fn key(self) -> KeyType {
        if self == Family::V4 { KeyType::Ip4 } else { KeyType::Ip6 }
    }
}

/// The rules that the kernel should hold. With nothing loaded no pod is bound, so all pod traffic drops.
pub fn compile(snapshot: &ClusterSnapshot, node: &NodeConfig, local: &[LocalPod]) -> Ruleset {
    let bound = if snapshot.blocked.is_some() { &[] } else { local };
    let world = World::new(snapshot, node, bound);
    let mut rules = Ruleset::new(&node.table);
    base::add(&mut rules, &world);
    let mut classes = Classes::default();
    let mut maps = Family::BOTH.map(Maps::new);
    for pod in &world.pods {
        let Some((interface, addresses)) = &pod.local else { continue };
        let out = classes.of(&mut rules, &world, pod, PolicyType::Egress);
        let into = classes.of(&mut rules, &world, pod, PolicyType::Ingress);
        for (i, maps) in maps.iter_mut().enumerate() {
            for address in addresses.iter().filter(|a| maps.family.has(a)) {
                maps.bind.insert(vec![Interval::ifname(interface), Interval::exact(*address)]);
            }
            maps.out.map(vec![Interval::ifname(interface)], Verdict::Jump(out[i].clone()));
            maps.into.map(vec![Interval::ifname(interface)], Verdict::Jump(into[i].clone()));
        }
    }
    for Maps { family, out, into, bind } in maps {
        rules.set(family.name("out"), out);
        rules.set(family.name("in"), into);
        rules.set(family.name("bind"), bind);
    }
    let mut own = Set::hash(&[KeyType::Ifname, KeyType::Ifname]);
    for (interface, _) in world.pods.iter().filter_map(|p| p.local.as_ref()) {
        own.insert(vec![Interval::ifname(interface), Interval::ifname(interface)]);
    }
    rules.set("self", own);
    rules
}

/// What there is once a family.
struct Maps {
    family: Family,
    out: Set,
    into: Set,
    bind: Set,
}

impl Maps {
    fn new(family: Family) -> Self {
        let map = || Set::verdicts(&[KeyType::Ifname]);
        Maps { family, out: map(), into: map(), bind: Set::hash(&[KeyType::Ifname, family.key()]) }
    }
}

/// All that the terms of a pod's direction depend on: pods that agree in it share a class.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey {
    ingress: bool,
    tenant: String,
    policies: Vec<usize>,
    /// What only ingress looks at.
    dns: bool,
    api: Vec<SocketAddr>,
    ports: Vec<ContainerPort>,
}

/// Names of the class chains, by family, of what was compiled so far.
#[derive(Default)]
struct Classes(HashMap<ClassKey, [String; 2]>);

impl Classes {
    fn of(&mut self, rules: &mut Ruleset, world: &World<'_>, pod: &Pod, direction: PolicyType) -> [String; 2] {
        let ingress = direction == PolicyType::Ingress;
        let policies: Vec<usize> = world.policies_of(pod).collect();
        let api = world.snapshot.api_servers.iter().filter(|a| ingress && pod.addresses.contains(&a.ip()));
        let key = ClassKey {
            ingress,
            tenant: pod.tenant.clone(),
            dns: ingress && world.is_dns(pod),
            api: api.copied().collect(),
            ports: if ingress && !policies.is_empty() { pod.ports.clone() } else { Vec::new() },
            policies,
        };
        let add = || {
            let side = side(world, pod, direction);
            Family::BOTH.map(|family| {
                let lists = [Some(&side.tenant), side.policy.as_ref()].into_iter().flatten();
                let jump = |terms: &Vec<Term>| vec![Expr::jump(allow_chain(rules, family, direction, terms))];
                let jumps: Vec<Rule> = lists.map(jump).collect();
                named_chain(rules, "c", jumps)
            })
        };
        self.0.entry(key).or_insert_with(add).clone()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
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
        Match::Any => Vec::new(),
        Match::Pods(key, addresses) => {
            let name = set_name(family, "p", key);
            // One key selects the same addresses wherever it is met.
            if !rules.sets.contains_key(&name) {
                let mut set = Set::hash(&[family.key()]);
                addresses.iter().filter(|a| family.has(a)).for_each(|a| set.insert(vec![Interval::exact(*a)]));
                rules.set(&name, set);
            }
            vec![Expr::lookup(&[field], name)]
        }
        Match::Blocks(spans) => match span_set(rules, family, spans) {
            Some(name) => vec![Expr::lookup(&[field], name)],
            None => return Vec::new(),
        },
        Match::Outside(spans) => match span_set(rules, family, spans) {
            Some(name) => vec![Expr::lookup(&[field], name), not_local],
            None => return Vec::new(),
        },
        Match::OwnNode => vec![Expr::eq(Field::FibDaddrType, Value::U32(fib_type::LOCAL))],
        Match::Endpoints(key, endpoints) => {
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
            vec![protocol, Expr::Range(Field::Dport, crate::ir::CmpOp::Eq, Value::Port(first), Value::Port(last))]
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

/// The name follows what selects, so that a pod that comes is one new element.
fn set_name(family: Family, stem: &str, key: &str) -> String {
    let digest = crate::ir::digest(&[vec![Expr::jump(key)]]);
    format!("{}_{}", family.name(stem), hex(&digest[..10]))
}

/// An interval set of these addresses; `None` if there are none of the family.
pub(crate) fn span_set(rules: &mut Ruleset, family: Family, spans: &[Span]) -> Option<String> {
    let spans: Vec<&Span> = spans.iter().filter(|s| s.v6 == (family == Family::V6)).collect();
    if spans.is_empty() {
        return None;
    }
    let mut set = Set::intervals(&[family.key()]);
    for span in &spans {
        let (first, last) = span.ends();
        set.insert(vec![Interval::range(first, last)]);
    }
    let name = set_name(family, "b", &format!("{spans:?}"));
    rules.set(&name, set);
    Some(name)
}
