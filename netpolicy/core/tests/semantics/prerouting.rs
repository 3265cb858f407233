//! What is decided before the kernel answers anything.

use cofferdam_netpolicy::ir::proto;

use crate::kernel::{Packet, passes_prerouting};
use crate::kit::{Cluster, ip};

/// l2 of acme, l4 of blue.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.local("a", 2, "").local("b", 4, "");
    cluster
}

fn packet(from: &str, to: &str, iif: &str, hop_limit: u8) -> Packet {
    let node = cluster().node.owns(ip(to));
    let packet = Packet::new(ip(from), ip(to), iif, (!node).then_some("any"), Some((proto::UDP, 9)));
    Packet { hop_limit, ..packet }
}

#[track_caller]
fn expect(all: &[(&str, Packet, bool)]) {
    let rules = cluster().rules();
    for (what, packet, passed) in all {
        assert_eq!(passes_prerouting(&rules, packet), *passed, "{what}: {packet:?}");
    }
}

#[test]
fn a_source_that_is_not_the_interfaces_own_is_dropped_whatever_it_is_for() {
    expect(&[
        ("its own", packet("10.88.0.2", "8.8.8.8", "cfd2", 64), true),
        ("its own, IPv6", packet("fd88::2", "2001:db8::1", "cfd2", 64), true),
        ("another pod's", packet("10.88.0.4", "8.8.8.8", "cfd2", 64), false),
        ("another pod's, IPv6", packet("fd88::4", "2001:db8::1", "cfd2", 64), false),
        ("a pod's of another node", packet("10.89.0.7", "10.88.0.4", "cfd2", 64), false),
        ("an outside one", packet("2001:db8::1", "fd88::4", "cfd2", 64), false),
        ("another pod's, to the node", packet("fd88::4", "fd00::10", "cfd2", 64), false),
        ("none, to the node", packet("::", "fd00::10", "cfd2", 64), false),
        ("link-local, to another pod", packet("fe80::2", "fd88::4", "cfd2", 64), false),
        ("an interface of nobody", packet("10.88.0.2", "8.8.8.8", "cfdx", 64), false),
        ("a pod's by another interface", packet("fd88::4", "2001:db8::1", "eth0", 64), false),
        ("the node's own way to itself", packet("10.88.0.1", "10.88.0.1", "lo", 64), true),
        ("from outside to a pod", packet("2001:db8::1", "fd88::4", "eth0", 64), true),
        ("of nobody's business", packet("172.16.0.1", "172.17.0.1", "wg0", 1), true),
    ]);
}

#[test]
fn what_would_expire_here_is_dropped_if_an_answer_could_tell_of_pods() {
    expect(&[
        ("to another pod", packet("10.88.0.2", "10.88.0.4", "cfd2", 1), false),
        ("to an address that no pod has", packet("10.88.0.2", "10.88.0.9", "cfd2", 1), false),
        ("to another pod, IPv6", packet("fd88::2", "fd88::4", "cfd2", 1), false),
        ("with nothing left", packet("fd88::2", "fd88::4", "cfd2", 0), false),
        ("to the outside", packet("10.88.0.2", "8.8.8.8", "cfd2", 1), false),
        ("one hop more", packet("10.88.0.2", "10.88.0.4", "cfd2", 2), true),
        ("to the node", packet("10.88.0.2", "192.168.0.10", "cfd2", 1), true),
        ("to the node among the pods", packet("fd88::2", "fd88::1", "cfd2", 1), true),
        ("from another node's pod to a pod", packet("10.89.0.7", "10.88.0.4", "eth0", 1), false),
        ("from another node's pod to the node", packet("10.89.0.7", "10.88.0.1", "eth0", 1), true),
    ]);
}

#[test]
fn neighbours_speak_on_their_link_only() {
    let message = |from: &str, to: &str, kind: u8, hop_limit: u8| Packet {
        proto: proto::ICMPV6,
        icmp6_type: kind,
        ..packet(from, to, "cfd2", hop_limit)
    };
    expect(&[
        ("solicitation", message("fe80::2", "ff02::1:ff00:1", 135, 255), true),
        ("advertisement to one", message("fe80::2", "fe80::1", 136, 255), true),
        ("duplicate address detection", message("::", "ff02::1:ff00:2", 135, 255), true),
        ("that was routed", message("fe80::2", "ff02::1:ff00:1", 135, 254), false),
        ("to another pod", message("fe80::2", "fd88::4", 135, 255), false),
        ("to the outside", message("fe80::2", "2001:db8::1", 136, 255), false),
        ("as another pod", message("fd88::4", "ff02::1:ff00:1", 135, 255), false),
        ("as nobody, to one", message("::", "fe80::1", 135, 255), false),
        ("as nobody, to all", message("::", "ff02::1", 135, 255), false),
        ("an advertisement as nobody", message("::", "ff02::1:ff00:2", 136, 255), false),
        ("router advertisement", message("fe80::2", "ff02::1", 134, 255), false),
        ("echo", message("fe80::2", "fe80::1", 128, 255), false),
    ]);
}
