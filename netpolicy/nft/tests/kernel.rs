//! The rules mean in the kernel what the IR says, with real packets between network namespaces.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::IpAddr;
use std::sync::Arc;

use cofferdam_netpolicy::backend::{BackendError, RuleBackend as _};
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::ir::{
    Base, Chain, ChainKind, ChainPolicy, CmpOp, Expr, Field, Hook, Interval, KeyType, NFPROTO_IPV4, Nat, PacketVerdict,
    Rule, Ruleset, Set, Value, ct_direction, ct_state, ct_status, fib_type, proto,
};
use cofferdam_netpolicy_nft::NftBackend;
use cofferdam_test_support::{Netns, needs};
use support::{Net, Probes as _, netns};

fn forward(rules: Vec<Rule>) -> Chain {
    Chain::base(Base { kind: ChainKind::Filter, hook: Hook::Forward, priority: 0, policy: ChainPolicy::Drop }, rules)
}

fn ip4(address: [u8; 4]) -> Value {
    Value::Ip4(address.into())
}

fn ipv4() -> Expr {
    Expr::eq(Field::Nfproto, Value::U8(NFPROTO_IPV4))
}

fn l4(protocol: u8) -> Expr {
    Expr::eq(Field::L4proto, Value::U8(protocol))
}

fn replies() -> Rule {
    vec![Expr::eq(Field::CtDirection, Value::U8(ct_direction::REPLY)), Expr::accept()]
}

/// Makes this the whole table.
fn program(ns: &Netns, backend: &Arc<NftBackend>, desired: &Ruleset) {
    let (backend, desired) = (backend.clone(), desired.clone());
    ns.run(move || {
        let current = backend.read().unwrap();
        backend.apply(&diff(&current, &desired)).unwrap();
        let after = backend.read().unwrap();
        let rest = diff(&after, &desired);
        assert!(rest.is_empty(), "{:.2000}", format!("{rest:?}"));
        assert!(after == desired.snapshot());
    });
}

fn backend(ns: &Netns) -> Arc<NftBackend> {
    Arc::new(ns.run(|| NftBackend::open("t", None).unwrap()))
}

/// Everything the IR has, in one table.
fn everything() -> Ruleset {
    let mut all = Ruleset::new("t");
    let mut names = Set::verdicts(&[KeyType::Ifname]);
    names.map(vec![Interval::ifname("va")], PacketVerdict::Goto("class".into()));
    names.map(vec![Interval::ifname("vb")], PacketVerdict::Jump("class".into()));
    all.set("names", names);
    let mut bound = Set::verdicts(&[KeyType::Ifname, KeyType::Ip4]);
    bound.map(vec![Interval::ifname("va"), Interval::exact(ip4([10, 1, 0, 2]))], PacketVerdict::Return);
    all.set("bound", bound);
    let mut six = Set::hash(&[KeyType::Ifname, KeyType::Ip6, KeyType::Proto, KeyType::Port, KeyType::Mark]);
    let address: IpAddr = "fd01::2".parse().unwrap();
    six.insert(vec![
        Interval::ifname("va"),
        Interval::exact(address),
        Interval::proto(6),
        Interval::port(80),
        Interval::exact(Value::U32(7)),
    ]);
    all.set("six", six);
    let mut blocks = Set::intervals(&[KeyType::Ip4]);
    for (first, last) in [
        ([0, 0, 0, 0], [9, 255, 255, 255]),
        ([10, 2, 0, 0], [10, 2, 255, 255]),
        ([10, 3, 0, 0], [10, 3, 0, 0]),
        ([240, 0, 0, 0], [255, 255, 255, 255]),
    ] {
        blocks.insert(vec![Interval::range(ip4(first), ip4(last))]);
    }
    all.set("blocks", blocks);
    let mut ports = Set::intervals(&[KeyType::Ip6, KeyType::Proto, KeyType::Port]);
    ports.insert(vec![
        Interval::network("fd02::/64".parse().unwrap()),
        Interval::proto(17),
        Interval::range(Value::Port(1000), Value::Port(2000)),
    ]);
    all.set("ports", ports);
    all.chain("class", Chain::regular(class()));
    all.chain("empty", Chain::regular(vec![]));
    all.chain(
        "forward",
        forward(vec![
            vec![Expr::vmap(&[Field::Iifname], "names")],
            vec![ipv4(), Expr::vmap(&[Field::Iifname, Field::Ip4Saddr], "bound")],
        ]),
    );
    let nat = |hook, priority| Base { kind: ChainKind::Nat, hook, priority, policy: ChainPolicy::Accept };
    let dnat = Expr::Dnat(Nat { address: "10.2.0.2".parse().unwrap(), port: Some(80) });
    all.chain("prerouting", Chain::base(nat(Hook::Prerouting, -100), vec![vec![ipv4(), l4(proto::TCP), dnat]]));
    let snat = Expr::Snat(Nat { address: "10.2.0.1".parse().unwrap(), port: None });
    all.chain(
        "postrouting",
        Chain::base(nat(Hook::Postrouting, 100), vec![vec![ipv4(), l4(proto::UDP), snat], vec![Expr::Masquerade]]),
    );
    all.chain("output", Chain::base(nat(Hook::Output, -100), vec![]));
    all.chain(
        "input",
        Chain::base(
            Base { kind: ChainKind::Filter, hook: Hook::Input, priority: -5, policy: ChainPolicy::Accept },
            vec![],
        ),
    );
    all
}

fn class() -> Vec<Rule> {
    let mask = Expr::Masked(Field::TcpFlags, Value::U8(0x17), CmpOp::Ne, Value::U8(2));
    vec![
        vec![Expr::ct_state(ct_state::NEW | ct_state::ESTABLISHED), Expr::ct_status(ct_status::DNAT), Expr::Counter],
        vec![l4(proto::TCP), mask, Expr::ct_state(ct_state::NEW), Expr::drop()],
        vec![
            l4(proto::ICMPV6),
            Expr::eq(Field::Icmp6Type, Value::U8(135)),
            Expr::eq(Field::Ip6HopLimit, Value::U8(255)),
            Expr::accept(),
        ],
        vec![l4(proto::ICMP), Expr::ne(Field::IcmpType, Value::U8(8)), Expr::drop()],
        vec![
            Expr::eq(Field::FibDaddrType, Value::U32(fib_type::LOCAL)),
            Expr::eq(Field::FibSaddrType, Value::U32(fib_type::UNICAST)),
            Expr::ret(),
        ],
        vec![
            Expr::eq(Field::Iifname, Value::IfnamePrefix("cfd".into())),
            Expr::ne(Field::Oifname, Value::Ifname("lo".into())),
            Expr::drop(),
        ],
        vec![Expr::Masked(Field::Ip4Daddr, ip4([255, 0, 0, 0]), CmpOp::Eq, ip4([127, 0, 0, 0])), Expr::drop()],
        vec![
            l4(proto::TCP),
            Expr::Range(Field::Dport, CmpOp::Ne, Value::Port(1), Value::Port(1023)),
            Expr::jump("empty"),
        ],
        vec![
            Expr::lookup(&[Field::Ip4Daddr], "blocks"),
            Expr::not_in(&[Field::Ip6Daddr, Field::L4proto, Field::Dport], "ports"),
            Expr::ret(),
        ],
        vec![
            Expr::lookup(&[Field::Iifname, Field::Ip6Saddr, Field::L4proto, Field::Sport, Field::Mark], "six"),
            Expr::ret(),
        ],
        vec![
            Expr::SetMark { mask: !1, xor: 1 },
            Expr::SetCtMark { mask: !2, xor: 2 },
            Expr::eq(Field::CtMark, Value::U32(2)),
        ],
        vec![Expr::Counter, Expr::Nflog { group: 5, prefix: "denied".into() }, Expr::drop()],
    ]
}

#[needs(root)]
#[test]
fn everything_is_read_back_as_it_was_written_and_nft_agrees() {
    let ns = netns();
    let backend = backend(&ns);
    program(&ns, &backend, &everything());
    let json: serde_json::Value = serde_json::from_str(&ns.told("nft", "-j list table inet t")).unwrap();
    let count =
        |kind: &str| json["nftables"].as_array().unwrap().iter().filter(|entry| entry.get(kind).is_some()).count();
    assert_eq!((count("chain"), count("set"), count("map"), count("rule")), (7, 3, 2, 17), "{json}");
    let text = ns.told("nft", "list table inet t");
    for expected in [
        "type ifname : verdict",
        "\"va\" : goto class",
        "\"va\" . 10.1.0.2 : return",
        "type ifname . ipv6_addr . inet_proto . inet_service . mark",
        "0.0.0.0-9.255.255.255, 10.2.0.0/16",
        "240.0.0.0/4",
        "fd02::/64 . udp . 1000-2000",
        "iifname vmap @names",
        "iifname . ip saddr vmap @bound",
        "tcp dport != 1-1023",
        "iifname \"cfd*\"",
        "dnat ip to 10.2.0.2:80",
        "snat ip to 10.2.0.1",
        "masquerade",
        "log prefix \"denied\" group 5",
        "policy drop",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[needs(root)]
#[test]
fn any_table_becomes_any_other_by_its_diff() {
    let ns = netns();
    let backend = backend(&ns);
    program(&ns, &backend, &everything());
    let mut smaller = everything();
    smaller.chains.retain(|name, _| ["class", "forward", "empty"].contains(&name.as_str()));
    let mut blocks = Set::intervals(&[KeyType::Ip4]);
    blocks.insert(vec![Interval::range(ip4([10, 2, 0, 0]), ip4([10, 2, 0, 9]))]);
    blocks.insert(vec![Interval::range(ip4([10, 2, 0, 10]), ip4([255, 255, 255, 255]))]);
    smaller.set("blocks", blocks);
    smaller.sets.remove("bound");
    smaller.chain("forward", forward(vec![vec![Expr::vmap(&[Field::Iifname], "names")]]));
    program(&ns, &backend, &smaller);
    program(&ns, &backend, &Ruleset::new("t"));
    program(&ns, &backend, &everything());
}

#[needs(root)]
#[test]
fn a_refused_batch_changes_nothing_and_says_which_operation() {
    let ns = netns();
    let backend = backend(&ns);
    program(&ns, &backend, &everything());
    ns.run(move || {
        let before = backend.read().unwrap();
        let mut broken = everything();
        broken.chain("extra", Chain::regular(vec![vec![Expr::jump("nowhere")]]));
        let error = backend.apply(&diff(&before, &broken)).unwrap_err();
        assert!(
            matches!(&error, BackendError::Refused { operation, .. } if operation == "add rules to extra"),
            "{error}"
        );
        assert_eq!(backend.read().unwrap(), before);
    });
}

#[needs(root)]
#[test]
fn a_peer_more_leaves_the_counters_of_rules_alone() {
    let net = Net::new();
    let backend = backend(&net.router);
    let mut rules = Ruleset::new("t");
    rules.set("peers", Set::hash(&[KeyType::Ip4]));
    rules.chain(
        "forward",
        forward(vec![vec![Expr::Counter, Expr::accept()], vec![ipv4(), Expr::lookup(&[Field::Ip4Saddr], "peers")]]),
    );
    program(&net.router, &backend, &rules);
    assert!(net.a.udp("10.2.0.2:80"));
    let mut peers = Set::hash(&[KeyType::Ip4]);
    peers.insert(vec![Interval::exact(ip4([10, 9, 9, 9]))]);
    rules.set("peers", peers);
    program(&net.router, &backend, &rules);
    assert!(!net.router.told("nft", "list table inet t").contains("packets 0"));
}

#[needs(root)]
#[test]
fn packets_meet_the_verdicts_of_their_rules() {
    let net = Net::new();
    let backend = backend(&net.router);
    let accept = |mut exprs: Vec<Expr>| {
        exprs.push(Expr::accept());
        vec![replies(), exprs]
    };
    let dport = |port| Expr::eq(Field::Dport, Value::Port(port));
    // Rules, then whether UDP to port 80, to port 81 and UDP over IPv6 to port 80 pass.
    let cases: Vec<(&str, Vec<Rule>, [bool; 3])> = vec![
        ("nothing is allowed", vec![], [false, false, false]),
        ("all is allowed", accept(vec![]), [true, true, true]),
        (
            "without the reply rule answers drop",
            vec![vec![Expr::eq(Field::Iifname, Value::Ifname("va".into())), Expr::accept()]],
            [false, false, false],
        ),
        ("one port", accept(vec![l4(proto::UDP), dport(80)]), [true, false, true]),
        ("another protocol", accept(vec![l4(proto::TCP), dport(80)]), [false, false, false]),
        (
            "a range",
            accept(vec![l4(proto::UDP), Expr::Range(Field::Dport, CmpOp::Eq, Value::Port(81), Value::Port(90))]),
            [false, true, false],
        ),
        (
            "outside a range",
            accept(vec![l4(proto::UDP), Expr::Range(Field::Dport, CmpOp::Ne, Value::Port(81), Value::Port(90))]),
            [true, false, true],
        ),
        ("a source", accept(vec![ipv4(), Expr::eq(Field::Ip4Saddr, ip4([10, 1, 0, 2]))]), [true, true, false]),
        ("another source", accept(vec![ipv4(), Expr::eq(Field::Ip4Saddr, ip4([10, 1, 0, 3]))]), [false, false, false]),
        (
            "a prefix",
            accept(vec![ipv4(), Expr::Masked(Field::Ip4Daddr, ip4([255, 255, 0, 0]), CmpOp::Eq, ip4([10, 2, 0, 0]))]),
            [true, true, false],
        ),
        (
            "an interface by prefix",
            accept(vec![Expr::eq(Field::Oifname, Value::IfnamePrefix("vb".into()))]),
            [true, true, true],
        ),
        ("a peer in a set", accept(vec![ipv4(), Expr::lookup(&[Field::Ip4Saddr], "peers")]), [true, true, false]),
        ("no peer of a set", accept(vec![ipv4(), Expr::not_in(&[Field::Ip4Saddr], "peers")]), [false, false, false]),
        (
            "a named port",
            accept(vec![ipv4(), Expr::lookup(&[Field::Ip4Daddr, Field::L4proto, Field::Dport], "named")]),
            [false, true, false],
        ),
        ("an ipBlock", accept(vec![ipv4(), Expr::lookup(&[Field::Ip4Daddr], "blocks")]), [true, true, false]),
        (
            "an ipBlock with an except",
            accept(vec![ipv4(), Expr::lookup(&[Field::Ip4Daddr], "excepted")]),
            [false, false, false],
        ),
        (
            "block and ports",
            accept(vec![Expr::lookup(&[Field::Ip6Daddr, Field::L4proto, Field::Dport], "six")]),
            [false, false, true],
        ),
        (
            "by verdict map",
            vec![replies(), vec![Expr::vmap(&[Field::Iifname], "out")], vec![Expr::accept()]],
            [true, true, true],
        ),
        (
            "by bound map",
            vec![replies(), vec![ipv4(), Expr::vmap(&[Field::Iifname, Field::Ip4Saddr], "bound")]],
            [true, true, false],
        ),
        ("deny in a chain", vec![replies(), vec![Expr::jump("deny80")], vec![Expr::accept()]], [false, true, false]),
    ];
    for (name, rules, expected) in cases {
        let mut table = sets();
        table.chain("forward", forward(rules));
        program(&net.router, &backend, &table);
        let seen = [net.a.udp("10.2.0.2:80"), net.a.udp("10.2.0.2:81"), net.a.udp("[fd02::2]:80")];
        assert_eq!(seen, expected, "{name}");
    }
}

/// The sets and chains that the cases speak of.
fn sets() -> Ruleset {
    let mut table = Ruleset::new("t");
    let source = || Interval::exact(ip4([10, 1, 0, 2]));
    let mut peers = Set::hash(&[KeyType::Ip4]);
    peers.insert(vec![source()]);
    table.set("peers", peers);
    let mut named = Set::hash(&[KeyType::Ip4, KeyType::Proto, KeyType::Port]);
    named.insert(vec![Interval::exact(ip4([10, 2, 0, 2])), Interval::proto(proto::UDP), Interval::port(81)]);
    table.set("named", named);
    let mut blocks = Set::intervals(&[KeyType::Ip4]);
    blocks.insert(vec![Interval::network("10.2.0.0/24".parse().unwrap())]);
    table.set("blocks", blocks);
    let mut excepted = Set::intervals(&[KeyType::Ip4]);
    excepted.insert(vec![Interval::range(ip4([10, 0, 0, 0]), ip4([10, 2, 0, 1]))]);
    excepted.insert(vec![Interval::range(ip4([10, 2, 0, 3]), ip4([255, 255, 255, 255]))]);
    table.set("excepted", excepted);
    let mut six = Set::intervals(&[KeyType::Ip6, KeyType::Proto, KeyType::Port]);
    six.insert(vec![
        Interval::network("fd00::/8".parse().unwrap()),
        Interval::proto(proto::UDP),
        Interval::range(Value::Port(80), Value::Port(80)),
    ]);
    six.insert(vec![
        Interval::network("10::/64".parse().unwrap()),
        Interval::proto(proto::UDP),
        Interval::range(Value::Port(1), Value::Port(65535)),
    ]);
    table.set("six", six);
    let mut out = Set::verdicts(&[KeyType::Ifname]);
    out.map(vec![Interval::ifname("va")], PacketVerdict::Jump("returns".into()));
    out.map(vec![Interval::ifname("vb")], PacketVerdict::Drop);
    table.set("out", out);
    let mut bound = Set::verdicts(&[KeyType::Ifname, KeyType::Ip4]);
    bound.map(vec![Interval::ifname("va"), source()], PacketVerdict::Accept);
    table.set("bound", bound);
    table.chain("returns", Chain::regular(vec![vec![Expr::ret()], vec![Expr::drop()]]));
    let port = Expr::eq(Field::Dport, Value::Port(80));
    table.chain(
        "deny80",
        Chain::regular(vec![vec![
            l4(proto::UDP),
            port,
            Expr::Counter,
            Expr::Nflog { group: 1, prefix: "d".into() },
            Expr::drop(),
        ]]),
    );
    table
}

#[needs(root)]
#[test]
fn a_flow_is_answered_but_not_opened_from_the_other_side() {
    let net = Net::new();
    net.a.serve(80);
    let backend = backend(&net.router);
    let mut table = Ruleset::new("t");
    table.chain(
        "forward",
        forward(vec![replies(), vec![Expr::eq(Field::Iifname, Value::Ifname("va".into())), Expr::accept()]]),
    );
    program(&net.router, &backend, &table);
    assert!(net.a.tcp("10.2.0.2:80"));
    assert!(!net.b.tcp("10.1.0.2:80"));
}

#[needs(root)]
#[test]
fn destinations_and_sources_are_translated() {
    let net = Net::new();
    let backend = backend(&net.router);
    let mut table = Ruleset::new("t");
    let nat = |hook, priority| Base { kind: ChainKind::Nat, hook, priority, policy: ChainPolicy::Accept };
    let to = Expr::Dnat(Nat { address: "10.2.0.2".parse().unwrap(), port: Some(81) });
    let service = vec![
        ipv4(),
        l4(proto::TCP),
        Expr::eq(Field::Ip4Daddr, ip4([10, 96, 0, 1])),
        Expr::eq(Field::Dport, Value::Port(443)),
        to,
    ];
    table.chain("prerouting", Chain::base(nat(Hook::Prerouting, -100), vec![service]));
    table.chain(
        "postrouting",
        Chain::base(
            nat(Hook::Postrouting, 100),
            vec![vec![Expr::eq(Field::Oifname, Value::Ifname("vb".into())), Expr::Masquerade]],
        ),
    );
    // After masquerading b sees the router's address, so it answers without a route to a.
    table.chain(
        "forward",
        forward(vec![
            replies(),
            vec![
                ipv4(),
                l4(proto::TCP),
                Expr::eq(Field::Dport, Value::Port(81)),
                Expr::ct_status(ct_status::DNAT),
                Expr::accept(),
            ],
        ]),
    );
    program(&net.router, &backend, &table);
    net.b.ip("route del default").unwrap();
    assert!(net.a.tcp("10.96.0.1:443"));
    assert!(!net.a.tcp("10.2.0.2:81"));
}

#[needs(root)]
#[test]
fn values_that_do_not_fit_are_refused_before_the_kernel_sees_them() {
    let ns = netns();
    let backend = backend(&ns);
    ns.run(move || {
        for rule in [
            vec![Expr::eq(Field::Dport, Value::U32(80))],
            vec![Expr::Range(Field::Dport, CmpOp::Eq, Value::Port(9), Value::Port(8))],
            vec![Expr::Range(Field::Mark, CmpOp::Eq, Value::U32(1), Value::U32(8))],
            vec![Expr::eq(Field::Iifname, Value::Ifname("a-name-of-16-byte".into()))],
            vec![Expr::lookup(&[Field::CtState], "s")],
            vec![Expr::jump("x".repeat(256))],
            vec![Expr::Counter; 200],
        ] {
            let mut table = Ruleset::new("t");
            table.chain("c", Chain::regular(vec![rule.clone()]));
            let error = backend.apply(&diff(&backend.read().unwrap(), &table)).unwrap_err();
            assert!(matches!(error, BackendError::Invalid { .. }), "{rule:?}: {error}");
        }
    });
}

#[needs(root)]
#[test]
fn large_sets_and_tables_go_in_one_batch() {
    let ns = netns();
    let backend = backend(&ns);
    let mut table = Ruleset::new("t");
    let mut peers = Set::hash(&[KeyType::Ip4]);
    (0..50_000u32).for_each(|n| peers.insert(vec![Interval::exact(Value::Ip4((0x0a00_0000 + n).into()))]));
    table.set("peers", peers.clone());
    for n in 0..500 {
        table.chain(
            format!("c{n}"),
            Chain::regular(vec![
                vec![ipv4(), Expr::lookup(&[Field::Ip4Saddr], "peers"), Expr::ret()],
                vec![Expr::drop()],
            ]),
        );
    }
    program(&ns, &backend, &table);
    peers.insert(vec![Interval::exact(ip4([192, 168, 0, 1]))]);
    let old = table.snapshot();
    table.set("peers", peers);
    let batch = diff(&old, &table);
    assert_eq!(batch.ops.len(), 1, "one element more in 50,000 is one operation");
    ns.run(move || backend.apply(&batch).unwrap());
}
