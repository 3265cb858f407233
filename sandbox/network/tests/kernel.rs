//! What a pod's network does, with real packets.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bed::{Host, Probes as _, bare, network};
use cofferdam_sandbox::{Lease, NetworkAttachment, PodNetwork as _};
use cofferdam_test_support::{eventually, needs};

#[needs(root)]
#[test]
fn two_pods_and_their_host_reach_each_other_with_their_own_addresses() {
    let host = Host::new();
    let ((a, lease_a), (b, lease_b)) = (host.pod("a"), host.pod("b"));
    for (from, to) in lease_a.addresses.iter().zip(&lease_b.addresses) {
        assert_eq!(a.seen_by((*to, 80).into()), from.to_string(), "a to b");
        assert_eq!(b.seen_by((*from, 80).into()), to.to_string(), "b to a");
        let node = if to.is_ipv4() { "10.88.0.1" } else { "fd88::1" };
        assert_eq!(host.ns.seen_by((*to, 80).into()), node, "the node to b");
    }
    assert_eq!(a.seen_by("127.0.0.1:80".parse().unwrap()), "127.0.0.1", "loopback");
    assert_eq!(a.seen_by((lease_a.addresses[0], 80).into()), lease_a.addresses[0].to_string(), "itself");
    let lease = lease_a.clone();
    let (received, _, sent, _) = host.call(move |network| async move { network.counters(&lease).await }).unwrap();
    assert!(received > 100 && sent > 100, "{received} {sent}");
}

#[needs(root)]
#[test]
fn nothing_passes_before_the_link_is_up() {
    let host = Host::new();
    let (b, lease_b) = host.pod("b");
    let pod = bare();
    let (lease, _) = host.attach("a", NetworkAttachment::Netns(pod.path().to_owned())).unwrap();
    pod.serve();
    assert!(pod.cannot_reach((lease_b.addresses[0], 80).into()));
    assert!(b.cannot_reach((lease.addresses[0], 80).into()));
    host.up(&lease);
    pod.seen_by((lease_b.addresses[0], 80).into());
    drop(b);
}

#[needs(root)]
#[test]
fn a_pod_cannot_speak_with_another_address_nor_learn_neighbours() {
    let host = Host::new();
    let ((a, lease_a), (_b, lease_b)) = (host.pod("a"), host.pod("b"));
    a.sh("ip addr add 10.88.0.77/32 dev eth0");
    let to: SocketAddr = (lease_b.addresses[0], 80).into();
    let answered = a.run(move || {
        let socket = UdpSocket::bind("10.88.0.77:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.send_to(b"x", to).unwrap();
        socket.recv(&mut [0; 4]).is_ok()
    });
    assert!(!answered, "rp_filter let a false source through");
    let link = host.ns.sh(&format!("ip -d link show {}; ip neigh show dev {0}", lease_a.interface));
    assert!(link.contains("NOARP") && link.contains("PERMANENT") && link.contains("addrgenmode none"), "{link}");
    assert!(
        host.ns.sh(&format!("ip addr show dev {}", lease_a.interface)).lines().all(|line| !line.contains("inet")),
        "the host's end has an address"
    );
}

#[needs(root)]
#[test]
fn addresses_that_no_pod_has_go_nowhere() {
    let host = Host::new();
    let routes = host.ns.sh("ip route; ip -6 route");
    assert!(routes.contains("blackhole 10.88.0.0/16") && routes.contains("blackhole fd88::/64"), "{routes}");
    assert!(host.ns.sh("ip addr show dev lo").contains("10.88.0.1/32"));
}

#[needs(root)]
#[test]
fn attaching_and_setting_up_twice_changes_nothing() {
    let host = Host::new();
    let (a, lease) = host.pod("a");
    let before = host.ns.sh("ip -o link | wc -l; ip route; ip -6 route");
    let (again, _) = host.attach("a", NetworkAttachment::Netns(a.path().to_owned())).unwrap();
    host.up(&again);
    assert_eq!((again, host.ns.sh("ip -o link | wc -l; ip route; ip -6 route")), (lease.clone(), before));
    host.ns.seen_by((lease.addresses[0], 80).into());
    // The namespace was made anew (a retry after a failure): the link moves there.
    let other = bare();
    host.attach("a", NetworkAttachment::Netns(other.path().to_owned())).unwrap();
    host.up(&lease);
    other.serve();
    host.ns.seen_by((lease.addresses[0], 80).into());
}

#[needs(root)]
#[test]
fn nothing_is_left_after_detach_and_the_address_rests() {
    let host = Host::new();
    let ((a, lease_a), (_b, lease_b)) = (host.pod("a"), host.pod("b"));
    // Connection tracking starts with the first rule that wants it.
    host.ns.sh("nft add table inet t; nft 'add chain inet t f { type filter hook forward priority 0; }'; nft add rule inet t f ct state new counter");
    let to: SocketAddr = (lease_b.addresses[0], 80).into();
    a.seen_by(to);
    a.seen_by((lease_b.addresses[1], 80).into());
    let flows = |address: &str| {
        std::fs::read_to_string("/proc/thread-self/net/nf_conntrack")
            .map(|all| all.matches(address).count())
            .unwrap_or(0)
    };
    let address = format!("={} ", lease_a.addresses[0]);
    let wanted = address.clone();
    let before = host.ns.run(move || flows(&wanted));
    assert!(before > 0, "no flow is tracked, so the test proves nothing");
    host.detach(&lease_a);
    assert_eq!(host.ns.run(move || flows(&address)), 0);
    let rest = host.ns.sh("ip -o link; ip route; ip -6 route; ip neigh");
    assert!(!rest.contains(&lease_a.interface) && !rest.contains(&format!("{} ", lease_a.addresses[0])), "{rest}");
    assert!(rest.contains(&lease_b.interface));
    assert_ne!(host.network.allocate("c").unwrap().addresses, lease_a.addresses);
    host.detach(&lease_a);
}

#[needs(root)]
#[test]
fn a_tap_carries_packets_and_ends_with_its_descriptor() {
    let host = Host::new();
    let (lease, tap) = host.attach("vm", NetworkAttachment::Tap).unwrap();
    host.up(&lease);
    let tap = tap.unwrap();
    let to: SocketAddr = (lease.addresses[0], 9).into();
    host.ns.run(move || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", to).unwrap());
    // A virtio-net header of 10 bytes, then the frame: to the pod's MAC address from the gateway's.
    let mut frame = [0; 2048];
    eventually("a packet", || {
        nix::unistd::read(&tap, &mut frame).is_ok_and(|length| length > 24) && frame[22..24] == [8, 0]
    })
    .unwrap();
    assert_eq!((&frame[10..16], &frame[16..22]), (&lease.mac[..], &lease.gateway_mac[..]));
    assert!(host.attach("vm", NetworkAttachment::Tap).is_err(), "a second owner of one tap");
    drop(tap);
    host.detach(&lease);
    assert!(!host.ns.sh("ip -o link").contains(&lease.interface));
}

#[needs(root)]
#[test]
fn recovery_keeps_the_living_and_removes_orphans() {
    let mut host = Host::new();
    let ((_a, lease_a), (_b, lease_b)) = (host.pod("a"), host.pod("b"));
    let (kept, next) = (lease_a.clone(), network(&host.ns, &host.state));
    // The daemon before is gone: it would set up again what is removed.
    host.network = next.clone();
    assert!(next.not_ready().is_some());
    // Connection tracking starts with the first rule that wants it.
    host.ns.sh("nft add table inet t; nft 'add chain inet t f { type filter hook output priority 0; }'; nft add rule inet t f ct state new counter");
    let (own, orphans) = (lease_a.addresses.clone(), lease_b.addresses.clone());
    for address in own.iter().chain(&orphans) {
        host.ns.seen_by((*address, 80).into());
    }
    let flows = |lease: &Lease| {
        let wanted = lease.addresses[0].to_string();
        host.ns.run(move || {
            let all = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
            all.matches(&format!("={wanted} ")).count()
        })
    };
    assert!(flows(&lease_a) > 0 && flows(&lease_b) > 0, "no flow is tracked, so the test proves nothing");
    let restarted = next.clone();
    host.call(move |_| async move { restarted.recover(&[kept]).await }).unwrap();
    assert_eq!(next.not_ready(), None);
    assert!(flows(&lease_a) > 0, "a living pod lost its flows");
    assert_eq!(flows(&lease_b), 0, "the next owner of the address would inherit flows");
    let links = host.ns.sh("ip -o link");
    assert!(links.contains(&lease_a.interface) && !links.contains(&lease_b.interface), "{links}");
    host.ns.seen_by((lease_a.addresses[0], 80).into());
    assert_ne!(next.allocate("c").unwrap().addresses, lease_a.addresses);
}

#[needs(root)]
#[test]
fn other_pod_cidrs_take_the_place_of_the_old_ones_when_no_pod_uses_them() {
    let host = Host::new();
    let (_a, lease) = host.pod("a");
    host.call(|network| async move { network.set_pod_cidrs(vec!["10.99.0.0/24".parse().unwrap()]).await }).unwrap();
    let routes = host.ns.sh("ip route; ip -6 route");
    assert!(routes.contains("blackhole 10.99.0.0/24") && routes.contains("blackhole 10.88.0.0/16"), "{routes}");
    assert_eq!(host.network.allocate("b").unwrap().addresses, ["10.99.0.2".parse::<std::net::IpAddr>().unwrap()]);
    host.detach(&lease);
    let rest = host.ns.sh("ip route; ip -6 route; ip addr show dev lo");
    assert!(!rest.contains("10.88.") && !rest.contains("fd88::"), "{rest}");
}

#[needs(root)]
#[test]
fn a_part_of_the_old_cidr_keeps_the_address_that_the_node_has_in_both() {
    let host = Host::new();
    host.call(|network| async move { network.set_pod_cidrs(vec!["10.88.0.0/25".parse().unwrap()]).await }).unwrap();
    assert!(host.ns.sh("ip address show lo").contains("10.88.0.1/32"));
    let routes = host.ns.sh("ip route show type blackhole");
    assert!(routes.contains("10.88.0.0/25") && routes.lines().count() == 1, "{routes}");
    // Its route has the node's address as its source.
    let (_pod, lease) = host.pod("a");
    host.ns.seen_by((lease.addresses[0], 80).into());
}

#[needs(root)]
#[test]
fn pods_take_the_mtu_of_the_uplink() {
    let host = Host::new();
    let outside = bare();
    host.ns.sh(&format!("ip link add up0 mtu 1400 type veth peer name eth0 netns {}", outside.path().display()));
    host.ns.sh("ip addr add 172.31.0.1/24 dev up0; ip link set up0 up; ip route add default via 172.31.0.2");
    let pod = bare();
    let (lease, _) = host.attach("p", NetworkAttachment::Netns(pod.path().to_owned())).unwrap();
    host.up(&lease);
    assert!(pod.sh("ip link show eth0").contains("mtu 1400"));
}
