//! Packets that the evaluator does not speak of: false sources, wrong interfaces, answers, errors, the host's own
//! business.

use cofferdam_netpolicy::ir::{Expr, Field, Hook, ct_direction, ct_state, fib_type, proto};

use crate::kernel::{Packet, passes, passes_hook};
use crate::kit::{Cluster, ip};

const TCP: Option<(u8, u16)> = Some((proto::TCP, 80));

/// l2 and l3 of acme, l4 of blue, r2 of acme; acme is Open.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.tenant("acme", r#"{"isolation":"Open","allowTo":[{"node":"own"}]}"#);
    cluster.local("a", 2, "").local("a", 3, "").local("b", 4, "").remote("a", 2, "");
    cluster
}

fn packet(from: &str, to: &str, iif: &str, oif: &str) -> Packet {
    Packet::new(ip(from), ip(to), iif, (!oif.is_empty()).then_some(oif), TCP)
}

#[track_caller]
fn expect(cluster: &Cluster, all: &[(&str, Packet, bool)]) {
    let rules = cluster.rules();
    for (what, packet, passed) in all {
        assert_eq!(passes(&rules, packet), *passed, "{what}: {packet:?}");
        // What a pod may not send never comes so far; the hooks that were there before stand without it.
        assert_eq!(passes_hook(&rules, packet), *passed, "{what}, at its hook: {packet:?}");
    }
}

#[test]
fn only_the_bound_interface_speaks_as_a_pod_or_to_it() {
    let mut cluster = cluster();
    cluster.local[1].addresses.push(ip("10.77.0.3")); // Of a former pod CIDR.
    expect(
        &cluster,
        &[
            ("the pod itself", packet("10.88.0.2", "10.88.0.3", "cfd2", "cfd3"), true),
            ("another pod's address", packet("10.88.0.3", "10.89.0.2", "cfd2", "eth0"), false),
            ("another pod's address of a former CIDR", packet("10.77.0.3", "10.89.0.2", "cfd2", "eth0"), false),
            ("an outside address", packet("8.8.8.8", "10.88.0.3", "cfd2", "cfd3"), false),
            ("another pod's, to the node", packet("10.88.0.3", "192.168.0.10", "cfd2", ""), false),
            ("a pod's address from outside", packet("10.88.0.2", "10.88.0.3", "eth0", "cfd3"), false),
            ("a former CIDR's from outside", packet("10.77.0.3", "10.88.0.2", "eth0", "cfd2"), false),
            ("a former CIDR's from outside, to the node", packet("10.77.0.3", "192.168.0.10", "eth0", ""), false),
            ("a pod's address from a bridge", packet("10.88.0.2", "8.8.8.8", "docker0", "eth0"), false),
            ("a pod's address from outside, to the node", packet("10.88.0.2", "192.168.0.10", "eth0", ""), false),
            ("an unused pod address", packet("10.88.0.9", "8.8.8.8", "cfd2", "eth0"), false),
            ("to a pod by a wrong interface", packet("8.8.8.8", "10.88.0.2", "eth0", "cfd3"), false),
            ("to a pod address that leaves the node", packet("8.8.8.8", "10.88.0.9", "eth0", "eth1"), false),
            ("an interface of ours that no pod has", packet("8.8.8.8", "10.89.0.2", "cfdx", "eth0"), false),
            ("to such an interface", packet("8.8.8.8", "10.89.0.2", "eth0", "cfdx"), false),
            ("such an interface, to the node", packet("8.8.8.8", "192.168.0.10", "cfdx", ""), false),
            ("IPv6 of another pod", packet("fd88::3", "2001:db8::1", "cfd2", "eth0"), false),
            ("the pod's IPv6", packet("fd88::2", "2001:db8::1", "cfd2", "eth0"), true),
        ],
    );
}

#[test]
fn what_is_of_no_pod_is_left_alone() {
    let loopback = Packet { iif: "lo".into(), ..packet("10.88.0.1", "10.88.0.1", "lo", "") };
    let mut stray = packet("8.8.8.8", "172.17.0.2", "eth0", "docker0");
    (stray.tcp_flags, stray.ct_state) = (16, ct_state::INVALID);
    expect(
        &cluster(),
        &[
            ("a VPN", packet("10.8.0.2", "172.16.0.1", "wg0", "eth0"), true),
            ("a stray segment to another runtime", stray, true),
            ("ssh to the node", packet("8.8.8.8", "192.168.0.10", "eth0", ""), true),
            ("the node to itself", loopback, true),
            ("a remote pod to the node", packet("10.89.0.2", "192.168.0.10", "eth0", ""), true),
        ],
    );
}

#[test]
fn replies_pass_and_the_original_direction_is_asked_again() {
    let denied = packet("10.88.0.4", "10.88.0.2", "cfd4", "cfd2");
    let mut established = denied.clone();
    (established.ct_state, established.tcp_flags) = (ct_state::ESTABLISHED, 16);
    let mut invalid = denied.clone().reply();
    invalid.ct_state = ct_state::INVALID;
    expect(
        &cluster(),
        &[
            ("new", denied.clone(), false),
            ("a reply", denied.clone().reply(), true),
            ("established, original direction", established, false),
            ("invalid, as if a reply", invalid, false),
            ("a reply with a false source", packet("10.88.0.3", "10.88.0.2", "cfd4", "cfd2").reply(), false),
            ("a reply to the node", packet("10.88.0.4", "192.168.0.10", "cfd4", "").reply(), true),
        ],
    );
}

#[test]
fn tcp_begins_with_a_lone_syn() {
    let flags = |f: u8, to: &str, oif: &str| Packet { tcp_flags: f, ..packet("10.88.0.2", to, "cfd2", oif) };
    for (to, oif) in [("10.88.0.3", "cfd3"), ("8.8.8.8", "eth0"), ("192.168.0.10", "")] {
        let all = [("syn", 2, true), ("syn ece cwr", 0xc2, true), ("ack", 16, false), ("syn ack", 18, false)];
        let all =
            [&all[..], &[("rst", 4, false), ("fin", 1, false), ("syn fin", 3, false), ("none", 0, false)]].concat();
        for (what, f, passed) in all {
            expect(&cluster(), &[(what, flags(f, to, oif), passed)]);
        }
    }
    expect(
        &cluster(),
        &[("ack from outside", Packet { tcp_flags: 16, ..packet("8.8.8.8", "10.88.0.2", "eth0", "cfd2") }, false)],
    );
}

#[test]
fn icmp_errors_come_from_outside_only() {
    let related = |p: Packet, v6: bool| Packet {
        proto: if v6 { proto::ICMPV6 } else { proto::ICMP },
        ct_state: ct_state::RELATED,
        icmp6_type: 2,
        ..p
    };
    let mut tcp = packet("8.8.8.8", "10.88.0.4", "eth0", "cfd4");
    tcp.ct_state = ct_state::RELATED;
    let mut from_else_reply = related(packet("8.8.8.8", "10.88.0.4", "eth0", "cfd4"), false);
    from_else_reply.ct_direction = ct_direction::REPLY;
    expect(
        &cluster(),
        &[
            ("from the uplink", related(packet("8.8.8.8", "10.88.0.4", "eth0", "cfd4"), false), true),
            ("from the uplink, in reply", from_else_reply, true),
            ("from the uplink, IPv6", related(packet("2001:db8::1", "fd88::4", "eth0", "cfd4"), true), true),
            ("from a pod", related(packet("10.88.0.2", "10.88.0.3", "cfd2", "cfd3"), false), false),
            ("from a pod to outside", related(packet("fd88::2", "2001:db8::1", "cfd2", "eth0"), true), false),
            ("from a pod to the node", related(packet("10.88.0.2", "192.168.0.10", "cfd2", ""), false), false),
            (
                "from the uplink with a pod's source",
                related(packet("10.88.0.2", "10.88.0.4", "eth0", "cfd4"), false),
                false,
            ),
            ("another related flow is evaluated", tcp, false),
        ],
    );
}

#[test]
fn of_ipv6s_own_messages_only_neighbours_pass() {
    let icmp6 = |kind: u8, hops: u8, from: &str, to: &str| Packet {
        proto: proto::ICMPV6,
        icmp6_type: kind,
        hop_limit: hops,
        fib: fib_type::MULTICAST,
        ..packet(from, to, "cfd2", "")
    };
    expect(
        &cluster(),
        &[
            ("solicitation", icmp6(135, 255, "fe80::2", "ff02::1:ff00:1"), true),
            ("advertisement", icmp6(136, 255, "fe80::2", "ff02::1"), true),
            ("solicitation that was routed", icmp6(135, 254, "fe80::2", "ff02::1:ff00:1"), false),
            ("router advertisement", icmp6(134, 255, "fe80::2", "ff02::1"), false),
            ("router solicitation", icmp6(133, 255, "fe80::2", "ff02::2"), false),
            ("redirect", icmp6(137, 255, "fe80::2", "fd88::1"), false),
            ("multicast listener report", icmp6(143, 1, "fe80::2", "ff02::16"), false),
            ("multicast", Packet { fib: fib_type::MULTICAST, ..packet("10.88.0.2", "224.0.0.1", "cfd2", "") }, false),
            (
                "broadcast",
                Packet { fib: fib_type::BROADCAST, ..packet("10.88.0.2", "255.255.255.255", "cfd2", "") },
                false,
            ),
            ("link-local source", packet("fe80::2", "fd88::1", "cfd2", ""), false),
        ],
    );
}

#[test]
fn a_pod_reaches_itself_only_by_its_own_interface() {
    let mut cluster = cluster();
    cluster.policy("a", r#"{"podSelector":{},"policyTypes":["Ingress","Egress"]}"#);
    expect(
        &cluster,
        &[
            ("hairpin", packet("10.88.0.2", "10.88.0.2", "cfd2", "cfd2"), true),
            ("a hairpin with a false source", packet("10.88.0.3", "10.88.0.2", "cfd2", "cfd2"), false),
            ("from outside with its own source", packet("10.88.0.2", "10.88.0.2", "eth0", "cfd2"), false),
        ],
    );
}

#[test]
fn every_bound_interface_is_in_both_maps() {
    let rules = cluster().rules();
    for family in ["4", "6"] {
        for bound in rules.sets[&format!("bind{family}")].elements.keys() {
            for map in ["out", "in"] {
                assert!(rules.sets[&format!("{map}{family}")].elements.contains_key(&bound[..1]), "{bound:?}");
            }
        }
    }
}

#[test]
fn masquerading_spares_the_cluster_and_nothing_else() {
    let rules = cluster().rules();
    let (_, chain) = rules.chains.iter().find(|(_, c)| c.hook().is_some_and(|b| b.hook == Hook::Postrouting)).unwrap();
    let spared = |address: &str| {
        let value = cofferdam_netpolicy::ir::Value::from(ip(address));
        let sets = chain.rules().iter().flatten().filter_map(|e| match e {
            Expr::Lookup(fields, _, set) if [Field::Ip4Daddr, Field::Ip6Daddr].contains(&fields[0]) => Some(set),
            _ => None,
        });
        sets.flat_map(|s| rules.sets[s].elements.keys()).any(|e| {
            std::mem::discriminant(&e[0].first) == std::mem::discriminant(&value)
                && e[0].first <= value
                && value <= e[0].last
        })
    };
    for address in ["10.88.0.9", "10.89.0.2", "192.168.0.11", "10.96.0.1", "fd88::5", "fd00::11"] {
        assert!(spared(address), "{address}");
    }
    // A metadata server knows the node, not the pods.
    for address in ["8.8.8.8", "169.254.169.254", "2001:db8::1"] {
        assert!(!spared(address), "{address}");
    }
}
