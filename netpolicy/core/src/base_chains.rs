//! The base chains: bindings, replies, and the way into the pods' classes; and the NAT chains beside them.

use crate::family::Family;
use crate::ir::{
    Base, Chain, ChainKind, ChainPolicy, CmpOp, Expr, Field, Hook, Interval, Rule, Ruleset, Set, Value, ct_direction,
    ct_state, fib_type, proto,
};
use crate::named_sets::{STRAY, range_set};
use crate::topology::Topology;

/// Priority of filter chains.
const FILTER: i32 = 0;
/// Before any DNAT (-100), after conntrack (-200).
const BEFORE_DNAT: i32 = -150;
/// Where source addresses are translated.
const SRCNAT: i32 = 100;
/// FIN, SYN, RST and ACK.
const TCP_MASK: u8 = 0x17;
const TCP_SYN: u8 = 2;

pub(crate) fn add(rules: &mut Ruleset, topology: &Topology<'_>) {
    let pods = topology.pod_ranges();
    for family in Family::BOTH {
        let mut own = Set::intervals(&[family.key()]);
        for range in pods.iter().filter(|s| s.v6 == (family == Family::V6)) {
            let (first, last) = range.ends();
            own.insert(vec![Interval::range(first, last)]);
        }
        rules.set(family.name("podnet"), own);
        let mut stray = Set::hash(&[family.key()]);
        topology.stray.iter().filter(|a| family.has(a)).for_each(|a| stray.insert(vec![Interval::exact(*a)]));
        rules.set(family.name(STRAY), stray);
        rules.chain(family.name("fwd"), Chain::regular(forward(family, &topology.node.interface_prefix)));
        rules.chain(family.name("inp"), Chain::regular(input(family, &topology.node.interface_prefix)));
    }
    rules.chain("forward", base(ChainKind::Filter, Hook::Forward, FILTER, split("fwd")));
    rules.chain("input", base(ChainKind::Filter, Hook::Input, FILTER, split("inp")));
    rules.chain("prerouting", base(ChainKind::Filter, Hook::Prerouting, BEFORE_DNAT, no_martian_loopback()));
    let masquerade = masquerade(rules, topology);
    rules.chain("postrouting", base(ChainKind::Nat, Hook::Postrouting, SRCNAT, masquerade));
}

fn base(kind: ChainKind, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain::base(Base { kind, hook, priority, policy: ChainPolicy::Accept }, rules)
}

fn split(stem: &str) -> Vec<Rule> {
    Family::BOTH.map(|f| vec![f.is(), Expr::goto(f.name(stem))]).to_vec()
}

fn dropped(mut rule: Rule) -> Rule {
    rule.extend([Expr::Counter, Expr::drop()]);
    rule
}

fn accepted(mut rule: Rule) -> Rule {
    rule.push(Expr::accept());
    rule
}

fn ours(field: Field, prefix: &str) -> Expr {
    Expr::Cmp(field, CmpOp::Eq, Value::IfnamePrefix(prefix.into()))
}

fn theirs(field: Field, prefix: &str) -> Expr {
    Expr::Cmp(field, CmpOp::Ne, Value::IfnamePrefix(prefix.into()))
}

fn icmp(family: Family) -> Expr {
    Expr::eq(Field::L4proto, Value::U8(if family == Family::V4 { proto::ICMP } else { proto::ICMPV6 }))
}

fn reply() -> Rule {
    accepted(vec![Expr::ct_state(ct_state::ESTABLISHED), Expr::eq(Field::CtDirection, Value::U8(ct_direction::REPLY))])
}

/// Deleting a conntrack entry does not end a TCP flow: the server's next segment would make it anew, reversed.
fn new_without_syn() -> Rule {
    dropped(vec![
        Expr::ct_state(ct_state::NEW),
        Expr::eq(Field::L4proto, Value::U8(proto::TCP)),
        Expr::Masked(Field::TcpFlags, Value::U8(TCP_MASK), CmpOp::Ne, Value::U8(TCP_SYN)),
    ])
}

fn forward(family: Family, prefix: &str) -> Vec<Rule> {
    let (saddr, daddr) = (family.saddr(), family.daddr());
    let (bind, podnet) = (family.name("bind"), family.name("podnet"));
    let (from_pod, to_pod) = (ours(Field::Iifname, prefix), ours(Field::Oifname, prefix));
    let (from_else, to_else) = (theirs(Field::Iifname, prefix), theirs(Field::Oifname, prefix));
    vec![
        accepted(vec![
            from_else.clone(),
            to_else.clone(),
            Expr::not_in(&[saddr], &podnet),
            Expr::not_in(&[daddr], &podnet),
        ]),
        dropped(vec![from_pod.clone(), Expr::not_in(&[Field::Iifname, saddr], &bind)]),
        dropped(vec![to_pod, Expr::not_in(&[Field::Oifname, daddr], &bind)]),
        dropped(vec![from_else.clone(), Expr::lookup(&[saddr], &podnet)]),
        dropped(vec![to_else, Expr::lookup(&[daddr], &podnet)]),
        new_without_syn(),
        // What is related from a pod could cut anybody's flow: it waits for bindings of the flow it speaks of.
        dropped(vec![from_pod, Expr::ct_state(ct_state::RELATED)]),
        accepted(vec![from_else, icmp(family), Expr::ct_state(ct_state::RELATED)]),
        reply(),
        accepted(vec![Expr::lookup(&[Field::Iifname, Field::Oifname], "self")]),
        vec![Expr::vmap(&[Field::Iifname], family.name("out"))],
        vec![Expr::vmap(&[Field::Oifname], family.name("in"))],
    ]
}

fn input(family: Family, prefix: &str) -> Vec<Rule> {
    let saddr = family.saddr();
    let from_pod = ours(Field::Iifname, prefix);
    let mut rules = vec![
        accepted(vec![Expr::eq(Field::Iifname, Value::Ifname("lo".into()))]),
        accepted(vec![theirs(Field::Iifname, prefix), Expr::not_in(&[saddr], family.name("podnet"))]),
        dropped(vec![theirs(Field::Iifname, prefix)]),
    ];
    if family == Family::V6 {
        // Neighbour solicitation and advertisement, which never pass a router.
        rules.push(accepted(vec![
            icmp(family),
            Expr::eq(Field::Ip6HopLimit, Value::U8(255)),
            Expr::Range(Field::Icmp6Type, CmpOp::Eq, Value::U8(135), Value::U8(136)),
        ]));
    }
    rules.extend([
        dropped(vec![Expr::not_in(&[Field::Iifname, saddr], family.name("bind"))]),
        dropped(vec![Expr::ne(Field::FibDaddrType, Value::U32(fib_type::LOCAL))]),
        new_without_syn(),
        dropped(vec![from_pod, Expr::ct_state(ct_state::RELATED)]),
        reply(),
        vec![Expr::vmap(&[Field::Iifname], family.name("out"))],
    ]);
    rules
}

/// With route_localnet a neighbour could otherwise reach what listens on 127.0.0.1.
fn no_martian_loopback() -> Vec<Rule> {
    let one = |field: Field| {
        dropped(vec![
            Family::V4.is(),
            Expr::ne(Field::Iifname, Value::Ifname("lo".into())),
            Expr::Masked(field, Value::Ip4([255, 0, 0, 0].into()), CmpOp::Eq, Value::Ip4([127, 0, 0, 0].into())),
        ])
    };
    vec![one(Field::Ip4Saddr), one(Field::Ip4Daddr)]
}

/// What pods send out of the cluster leaves with the node's address.
fn masquerade(rules: &mut Ruleset, topology: &Topology<'_>) -> Vec<Rule> {
    let mut chain = Vec::new();
    for family in Family::BOTH {
        let Some(cluster) = range_set(rules, family, &topology.cluster) else { continue };
        chain.push(vec![
            family.is(),
            Expr::lookup(&[family.saddr()], family.name("podnet")),
            Expr::not_in(&[family.daddr()], cluster),
            Expr::not_in(&[family.daddr()], family.name(STRAY)),
            Expr::ne(Field::Oifname, Value::Ifname("lo".into())),
            Expr::Masquerade,
        ]);
    }
    chain
}
