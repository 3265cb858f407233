//! Pods that lie about who they are, and what the kernel answers then: compiled rules and real packets.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use cofferdam_netpolicy::PolicySnapshot;
use cofferdam_test_support::{Netns, eventually, needs};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6};
use nix::sys::socket::{sendto, socket};
use support::node::Node;
use support::{Probes as _, netns};

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
    let node = Node::new(&PolicySnapshot::default());
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
    let node = Node::new(&PolicySnapshot::default());
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
