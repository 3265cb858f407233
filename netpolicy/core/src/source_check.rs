//! What an interface may send, decided before the kernel answers anything.
//!
//! The kernel answers an expired hop limit, a missing route, bad options and a fragment without its rest before a
//! packet comes to the hook forward, and quotes it to whoever it claims to come from. So who may speak from an address
//! is asked first of all: before conntrack, and before fragments are collected (which is at -400).
//!
//! What would expire at this node is dropped instead, if a pod sent it or if it is for a pod: an answer, which only an
//! address that somebody has gets, would tell which pods there are.

use crate::family::Family;
use crate::ir::{Base, Chain, ChainKind, ChainPolicy, CmpOp, Expr, Field, Hook, Rule, Ruleset, Value, fib_type, proto};
use crate::named_sets::range_set;
use crate::topology::Topology;

/// `raw` of those who come before the collection of fragments.
const BEFORE_DEFRAG: i32 = -450;
/// Where output is filtered.
const FILTER: i32 = 0;
/// ICMPv6 "parameter problem".
const PARAMETER_PROBLEM: u8 = 4;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

pub(crate) fn add(rules: &mut Ruleset, topology: &Topology<'_>) {
    let prefix = &topology.node.interface_prefix;
    let mut split = Vec::new();
    for family in Family::BOTH {
        rules.chain(family.name("src"), Chain::regular(sources(family, prefix)));
        split.push(vec![family.is(), Expr::goto(family.name("src"))]);
    }
    rules.chain("sources", base(Hook::Prerouting, BEFORE_DEFRAG, split));
    let answers = answers(rules, topology);
    rules.chain("output", base(Hook::Output, FILTER, answers));
}

fn base(hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain::base(Base { kind: ChainKind::Filter, hook, priority, policy: ChainPolicy::Accept }, rules)
}

fn dropped(rule: &[Expr]) -> Rule {
    [rule, &[Expr::Counter, Expr::drop()]].concat()
}

fn sources(family: Family, prefix: &str) -> Vec<Rule> {
    let name = |op| Expr::Cmp(Field::Iifname, op, Value::IfnamePrefix(prefix.into()));
    let (from_pod, from_else) = (name(CmpOp::Eq), name(CmpOp::Ne));
    let (saddr, daddr) = (family.saddr(), family.daddr());
    let expires = Expr::Range(family.hop_limit(), CmpOp::Eq, Value::U8(0), Value::U8(1));
    let not_local = Expr::ne(Field::FibDaddrType, Value::U32(fib_type::LOCAL));
    let mut rules = match family {
        Family::V4 => Vec::new(),
        Family::V6 => neighbours(&from_pod).to_vec(),
    };
    rules.extend([
        dropped(&[from_pod.clone(), Expr::not_in(&[Field::Iifname, saddr], family.name("bind"))]),
        dropped(&[
            Expr::ne(Field::Iifname, Value::Ifname("lo".into())),
            from_else,
            Expr::lookup(&[saddr], family.name("podnet")),
        ]),
        dropped(&[from_pod, expires.clone(), not_local.clone()]),
        dropped(&[expires, Expr::lookup(&[daddr], family.name("podnet")), not_local]),
    ]);
    rules
}

/// Neighbour solicitation and advertisement between link-local addresses, and duplicate address detection, which has no
/// source yet. They are for the other end of the link alone: the kernel routes none of them.
fn neighbours(from_pod: &Expr) -> [Rule; 3] {
    let of = |source: Expr, destination: Expr, types: [u8; 2]| {
        vec![
            from_pod.clone(),
            Expr::eq(Field::L4proto, Value::U8(proto::ICMPV6)),
            Expr::eq(Field::Ip6HopLimit, Value::U8(255)),
            Expr::Range(Field::Icmp6Type, CmpOp::Eq, Value::U8(types[0]), Value::U8(types[1])),
            source,
            destination,
            Expr::accept(),
        ]
    };
    let link_local = |field| within(field, [0xfe80, 0, 0, 0, 0, 0, 0, 0], [0xffc0, 0, 0, 0, 0, 0, 0, 0]);
    let on_link = within(Field::Ip6Daddr, [0xff02, 0, 0, 0, 0, 0, 0, 0], [0xffff, 0, 0, 0, 0, 0, 0, 0]);
    let solicited = within(
        Field::Ip6Daddr,
        [0xff02, 0, 0, 0, 0, 1, 0xff00, 0],
        [0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xff00, 0],
    );
    let nobody = Expr::eq(Field::Ip6Saddr, Value::Ip6([0; 8].into()));
    let both = [SOLICITATION, ADVERTISEMENT];
    [
        of(link_local(Field::Ip6Saddr), link_local(Field::Ip6Daddr), both),
        of(link_local(Field::Ip6Saddr), on_link, both),
        of(nobody, solicited, [SOLICITATION; 2]),
    ]
}

fn within(field: Field, network: [u16; 8], mask: [u16; 8]) -> Expr {
    Expr::Masked(field, Value::Ip6(mask.into()), CmpOp::Eq, Value::Ip6(network.into()))
}

/// Hop-by-hop options are read even before prerouting, and bad ones answered. The node has no other use for this answer
/// to a pod, here or on another node.
fn answers(rules: &mut Ruleset, topology: &Topology<'_>) -> Vec<Rule> {
    let prefix = Value::IfnamePrefix(topology.node.interface_prefix.clone());
    let problem = [
        Family::V6.is(),
        Expr::eq(Field::L4proto, Value::U8(proto::ICMPV6)),
        Expr::eq(Field::Icmp6Type, Value::U8(PARAMETER_PROBLEM)),
    ];
    let mut chain = vec![dropped(&[&problem[..], &[Expr::Cmp(Field::Oifname, CmpOp::Eq, prefix)]].concat())];
    if let Some(cluster) = range_set(rules, Family::V6, &topology.cluster) {
        chain.push(dropped(&[&problem[..], &[Expr::lookup(&[Field::Ip6Daddr], cluster)]].concat()));
    }
    chain
}
