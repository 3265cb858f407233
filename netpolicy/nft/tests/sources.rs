//! Pods that lie about who they are, and what the kernel answers then: compiled rules and real packets.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_netpolicy::backend::RuleBackend as _;
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::{LocalPod, NodeConfig, PolicySnapshot, compile};
use cofferdam_netpolicy_nft::NftBackend;
use cofferdam_test_support::{Netns, eventually, needs};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6};
use nix::sys::socket::{sendto, socket};
use support::{Probes as _, netns};

/// A node with the pods 2 and 3 of acme and 4 of blue, which are Strict; pod N is 10.88.0.N and fd88::N at `cfdN`.
struct Node {
    ns: Netns,
    pods: [Netns; 3],
    _backend: Arc<NftBackend>,
}

impl Node {
    fn new() -> Self {
        let (ns, pods) = (netns(), [netns(), netns(), netns()]);
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            // Each error is to be seen, not one a second.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            ns.sysctl(name, value).unwrap();
        }
        for address in ["10.88.0.1/32", "fd88::1/128"] {
            ns.ip(&format!("addr add {address} dev lo")).unwrap();
        }
        ns.ip("route add blackhole 10.88.0.0/24").unwrap();
        ns.ip("-6 route add blackhole fd88::/64").unwrap();
        for (pod, n) in pods.iter().zip(2..) {
            link(&ns, pod, n);
        }
        let backend = program(&ns, &[local(2, "acme"), local(3, "acme"), local(4, "blue")]);
        pods.iter().for_each(|pod| pod.serve(80));
        let node = Node { ns, pods, _backend: backend };
        eventually("a way between the pods of a tenant", || {
            node.pods[0].udp("10.88.0.3:80") && node.pods[0].udp("[fd88::3]:80")
        })
        .unwrap();
        node
    }

    /// A pod of acme, and the one of blue.
    fn ends(&self) -> (&Netns, &Netns) {
        (&self.pods[0], &self.pods[2])
    }

    /// Waits until what was sent before must have come to pod 4 as well.
    fn settle(&self) {
        eventually("the node reaches the pod of blue", || self.ns.udp("10.88.0.4:80") && self.ns.udp("[fd88::4]:80"))
            .unwrap();
    }
}

/// The link of a pod, as the built-in network makes it: routed, no ARP, permanent neighbours.
fn link(ns: &Netns, pod: &Netns, n: u8) {
    let (host_mac, pod_mac) = (format!("02:00:00:00:01:{n:02x}"), format!("02:00:00:00:02:{n:02x}"));
    let path = pod.path().display();
    ns.ip(&format!(
        "link add cfd{n} address {host_mac} arp off type veth peer name eth0 address {pod_mac} netns {path}"
    ))
    .unwrap();
    ns.sysctl(&format!("ipv4/conf/cfd{n}/rp_filter"), "1").unwrap();
    ns.sysctl(&format!("ipv6/conf/cfd{n}/addr_gen_mode"), "1").unwrap();
    pod.sysctl("ipv6/conf/eth0/accept_dad", "0").unwrap();
    pod.ip("link set eth0 arp off").unwrap();
    pod.ip(&format!("addr add 10.88.0.{n}/32 dev eth0")).unwrap();
    pod.ip(&format!("addr add fd88::{n}/128 dev eth0 nodad")).unwrap();
    pod.ip("link set eth0 up").unwrap();
    ns.ip(&format!("link set cfd{n} up")).unwrap();
    for (family, gateway, address) in
        [("-4", "169.254.1.1", format!("10.88.0.{n}")), ("-6", "fe80::1", format!("fd88::{n}"))]
    {
        pod.ip(&format!("{family} neigh replace {gateway} lladdr {host_mac} nud permanent dev eth0")).unwrap();
        pod.ip(&format!("{family} route add default via {gateway} dev eth0 onlink")).unwrap();
        ns.ip(&format!("{family} neigh replace {address} lladdr {pod_mac} nud permanent dev cfd{n}")).unwrap();
        ns.ip(&format!("{family} route add {address} dev cfd{n}")).unwrap();
    }
}

fn local(n: u8, tenant: &str) -> LocalPod {
    LocalPod {
        sandbox_id: format!("s{n}"),
        namespace: tenant.into(),
        name: format!("p{n}"),
        uid: format!("u{n}"),
        labels: Some(Default::default()),
        addresses: vec![Ipv4Addr::new(10, 88, 0, n).into(), six(&format!("fd88::{n}")).into()],
        interface: format!("cfd{n}"),
        tenant: tenant.into(),
        host_network: false,
        ports: Vec::new(),
    }
}

fn program(ns: &Netns, pods: &[LocalPod]) -> Arc<NftBackend> {
    let node = NodeConfig {
        table: "t".into(),
        interface_prefix: "cfd".into(),
        pod_cidrs: vec!["10.88.0.0/24".parse().unwrap(), "fd88::/64".parse().unwrap()],
        addresses: Vec::new(),
        nat64_prefixes: Vec::new(),
    };
    let rules = compile(&PolicySnapshot::default(), &node, pods);
    ns.run(move || {
        let backend = NftBackend::open("t", None).unwrap();
        backend.apply(&diff(&backend.read().unwrap(), &rules)).unwrap();
        assert!(diff(&backend.read().unwrap(), &rules).is_empty(), "it is read back as it was written");
        Arc::new(backend)
    })
}

fn six(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// An IPv6 packet of these headers and payload.
fn ip6(from: &str, to: &str, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(six(from).octets());
    packet.extend(six(to).octets());
    packet.extend(payload);
    packet
}

/// An IPv4 packet of UDP; the kernel fills in length and checksum.
fn ip4(from: &str, to: &str, ttl: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, ttl, UDP, 0, 0];
    packet.extend(from.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend(to.parse::<Ipv4Addr>().unwrap().octets());
    packet.extend(datagram());
    packet
}

const UDP: u8 = 17;

fn datagram() -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0, 9, 0, 16, 0, 0];
    bytes.extend(b"a secret");
    bytes
}

/// Sends a packet with its header as it is, whatever it says.
fn send(pod: &Netns, packet: &[u8]) {
    let packet = packet.to_vec();
    let version6 = packet[0] >> 4 == 6;
    pod.run(move || {
        let family = if version6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let fd = socket(family, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).unwrap();
        if version6 {
            let to: [u8; 16] = packet[24..40].try_into().unwrap();
            let to = SockaddrIn6::from(SocketAddrV6::new(to.into(), 0, 0, 0));
            sendto(fd.as_raw_fd(), &packet, &to, MsgFlags::empty()).unwrap();
        } else {
            let to: [u8; 4] = packet[16..20].try_into().unwrap();
            let to = SockaddrIn::from(SocketAddrV4::new(to.into(), 0));
            sendto(fd.as_raw_fd(), &packet, &to, MsgFlags::empty()).unwrap();
        }
    });
}

/// How many errors came to a pod.
fn errors(pod: &Netns) -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (four, six) = pod.run(|| (read("/proc/thread-self/net/snmp"), read("/proc/thread-self/net/snmp6")));
    let rows: Vec<&str> = four.lines().filter(|line| line.starts_with("Icmp:")).collect();
    let named = rows[0].split_whitespace().zip(rows[1].split_whitespace());
    let four = named.filter(|(name, _)| ["InDestUnreachs", "InTimeExcds", "InParmProbs"].contains(name));
    let names = ["Icmp6InDestUnreachs", "Icmp6InTimeExcds", "Icmp6InParmProblems", "Icmp6InPktTooBigs"];
    let rows = six.lines().filter_map(|line| line.split_once(char::is_whitespace));
    let six = rows.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.trim());
    four.map(|(_, value)| value).chain(six).map(|value| value.parse::<u64>().unwrap()).sum()
}

/// Hop-by-hop options with one that nobody knows and that asks for an answer, then UDP.
fn bad_options() -> Vec<u8> {
    [&[UDP, 0, 0x9e, 4, 0, 0, 0, 0][..], &datagram()].concat()
}

/// The first fragment of a datagram whose rest never comes.
fn first_fragment() -> Vec<u8> {
    [&[UDP, 0, 0, 1, 0, 0, 0, 7][..], &datagram()].concat()
}

#[needs(root)]
#[test]
fn a_packet_in_anothers_name_makes_the_node_tell_it_nothing() {
    let node = Node::new();
    let (attacker, victim) = node.ends();
    node.ns.sysctl("netfilter/nf_conntrack_frag6_timeout", "1").unwrap();
    let lies = [
        ("the hop limit", ip6("fd88::4", "fd88::3", UDP, 1, &datagram())),
        ("the hop limit, to the victim", ip6("fd88::4", "fd88::4", UDP, 1, &datagram())),
        ("no route", ip6("fd88::4", "2001:db8::1", UDP, 64, &datagram())),
        ("no port of the node", ip6("fd88::4", "fd88::1", UDP, 64, &datagram())),
        ("bad options", ip6("fd88::4", "fd88::3", 0, 64, &bad_options())),
        ("bad options, to the node", ip6("fd88::4", "fd88::1", 0, 64, &bad_options())),
        ("a fragment alone", ip6("fd88::4", "fd88::3", 44, 64, &first_fragment())),
        ("a fragment alone, to the node", ip6("fd88::4", "fd88::1", 44, 64, &first_fragment())),
        ("TTL", ip4("10.88.0.4", "10.88.0.3", 1)),
        ("no route of IPv4", ip4("10.88.0.4", "203.0.113.1", 64)),
        ("no port of the node, IPv4", ip4("10.88.0.4", "10.88.0.1", 64)),
    ];
    let before = errors(victim);
    for (what, packet) in &lies {
        send(attacker, packet);
        node.settle();
        assert_eq!(errors(victim) - before, 0, "{what}");
    }
    // Nothing must come: a slow machine makes this weaker, not false.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(errors(victim) - before, 0, "fragments without their rest");
    // The node does answer, and the pod's own mistakes it tells.
    let own = errors(attacker);
    send(attacker, &ip6("fd88::2", "2001:db8::1", UDP, 64, &datagram()));
    eventually("the pod is told that there is no route", || errors(attacker) > own).unwrap();
}

#[needs(root)]
#[test]
fn a_probe_that_expires_tells_of_no_pod() {
    let node = Node::new();
    let (attacker, _) = node.ends();
    let before = errors(attacker);
    for hops in [0, 1] {
        for to in ["fd88::4", "fd88::9", "fd88::3"] {
            send(attacker, &ip6("fd88::2", to, UDP, hops, &datagram()));
        }
    }
    for to in ["10.88.0.4", "10.88.0.9", "10.88.0.3"] {
        send(attacker, &ip4("10.88.0.2", to, 1));
    }
    // From elsewhere, as a pod of another node would.
    let outside = netns();
    node.ns.ip(&format!("link add up0 type veth peer name eth0 netns {}", outside.path().display())).unwrap();
    node.ns.ip("addr add 192.0.2.1/24 dev up0").unwrap();
    node.ns.ip("link set up0 up").unwrap();
    outside.ip("addr add 192.0.2.2/24 dev eth0").unwrap();
    outside.ip("link set eth0 up").unwrap();
    outside.ip("route add default via 192.0.2.1").unwrap();
    outside.serve(80);
    eventually("a way from outside to the node", || node.ns.udp("192.0.2.2:80")).unwrap();
    let elsewhere = errors(&outside);
    for to in ["10.88.0.4", "10.88.0.9"] {
        send(&outside, &ip4("192.0.2.2", to, 1));
    }
    node.settle();
    assert!(node.ns.udp("192.0.2.2:80"));
    assert_eq!((errors(attacker) - before, errors(&outside) - elsewhere), (0, 0));
    // With a hop more, what is allowed arrives.
    assert!(attacker.udp("10.88.0.3:80") && attacker.udp("[fd88::3]:80"));
    assert!(!attacker.udp("10.88.0.4:80") && !attacker.udp("[fd88::4]:80"));
}
