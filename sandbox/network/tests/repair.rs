//! What we set on the host stays as it should be, whoever changes it and whatever pod CIDRs come.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;

use std::net::IpAddr;

use bed::{Host, Probes as _};
use cofferdam_sandbox::{Lease, NetworkError, PodNetwork as _};
use cofferdam_test_support::{Netns, eventually, needs};

/// Whether the node reaches a pod, and a pod another one, by all addresses that both have.
fn whole(host: &Host, (a, lease_a): &(Netns, Lease), (_, lease_b): &(Netns, Lease)) -> bool {
    let both = |address: &&IpAddr| lease_a.addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4());
    let node = lease_a.addresses.iter().chain(&lease_b.addresses).all(|to| host.ns.sees((*to, 80).into()));
    node && lease_b.addresses.iter().filter(both).all(|to| a.sees((*to, 80).into()))
}

fn set(host: &Host, cidrs: &[&str]) -> Result<(), NetworkError> {
    let cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    host.call(move |network| async move { network.set_pod_cidrs(cidrs).await })
}

#[needs(root)]
#[test]
fn what_somebody_takes_away_comes_back() {
    let host = Host::new();
    let (a, b) = (host.pod("a"), host.pod("b"));
    eventually("all is well", || whole(&host, &a, &b)).unwrap();
    let (v4, v6, link) = (a.1.addresses[0], a.1.addresses[1], &a.1.interface);
    let everything = || host.ns.sh("ip address show lo; ip route; ip -6 route; ip neigh; ip -6 neigh | sort");
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        // What the kernel adds to an address is not ours.
        lines.retain(|line| line.contains("88") && !line.contains("router") && !line.contains("proto kernel"));
        lines.sort();
        lines
    };
    let before = lines(&everything());
    for command in [
        "ip address del 10.88.0.1/32 dev lo".to_owned(),
        "ip address del fd88::1/128 dev lo".to_owned(),
        "ip address flush dev lo".to_owned(),
        "ip link set lo down".to_owned(),
        "ip route del blackhole 10.88.0.0/16".to_owned(),
        "ip -6 route del blackhole fd88::/64".to_owned(),
        "ip route flush table main; ip -6 route flush table main".to_owned(),
        format!("ip route del {v4}; ip -6 route del {v6}"),
        format!("ip route replace blackhole {v4}"),
        format!("ip neigh del {v4} dev {link}; ip -6 neigh del {v6} dev {link}"),
        format!("ip link set {link} down"),
        "echo 0 > /proc/sys/net/ipv4/ip_forward".to_owned(),
        "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding".to_owned(),
        format!("echo 0 > /proc/sys/net/ipv4/conf/{link}/rp_filter"),
    ] {
        host.ns.sh(&command);
        let harmed = || host.ns.sh(&format!("cat /proc/sys/net/ipv4/conf/{link}/rp_filter")).trim() != "1";
        eventually(&command, || !harmed() && lines(&everything()) == before && whole(&host, &a, &b)).unwrap();
    }
    host.ns.sh(&format!("ip link del {link}"));
    eventually("a link that was deleted", || whole(&host, &a, &b)).unwrap();
    assert_eq!(host.network.not_ready(), None);
    // What is taken away on purpose stays away.
    host.detach(&a.1);
    assert!(!everything().contains(&format!("{v4} ")));
}

#[needs(root)]
#[test]
fn the_next_daemon_repairs_what_an_earlier_one_set() {
    let mut host = Host::new();
    let (a, b) = (host.pod("a"), host.pod("b"));
    host.restart(vec![a.1.clone(), b.1.clone()]);
    host.ns.sh(&format!("ip address flush dev lo; ip link set {} down", a.1.interface));
    eventually("the pods are reached again", || whole(&host, &a, &b)).unwrap();
}

#[needs(root)]
#[test]
fn pods_run_on_through_every_change_of_pod_cidrs() {
    for new in [
        &["10.88.0.0/24", "fd88::/64"][..],
        &["10.88.3.0/24", "fd88::/64"],
        &["10.88.0.0/15", "fd88::/56"],
        &["10.0.0.0/8", "fd00::/8"],
        &["10.99.0.0/16", "fd99::/64"],
        &["10.88.7.9/16", "fd88::/64"],
        &["10.88.0.0/16"],
        &["fd88::/64"],
        &["10.88.0.0/16", "10.99.0.0/24", "fd88::/64"],
    ] {
        let host = Host::new();
        let a = host.pod("a");
        set(&host, new).unwrap();
        let b = host.pod("b");
        let told = |what: &str| format!("{new:?} {what}: {}", host.ns.sh("ip a show lo; ip route; ip -6 route"));
        eventually(&told("new pods"), || whole(&host, &a, &b) && whole(&host, &b, &a)).unwrap();
        assert!(b.1.addresses.iter().all(|address| {
            new.iter().any(|cidr| cidr.parse::<ipnetwork::IpNetwork>().unwrap().contains(*address))
        }));
        // And back, with pods of both.
        set(&host, &["10.88.0.0/16", "fd88::/64"]).unwrap();
        let c = host.pod("c");
        eventually(&told("and back"), || whole(&host, &a, &c) && whole(&host, &b, &c)).unwrap();
        set(&host, new).unwrap();
        host.detach(&a.1);
        host.detach(&c.1);
        let d = host.pod("d");
        eventually(&told("without the old pods"), || whole(&host, &d, &b)).unwrap();
        host.ns.sh("ip address flush dev lo");
        eventually("still repaired", || whole(&host, &d, &b)).unwrap();
        let routes = host.ns.sh("ip route show type blackhole; ip -6 route show type blackhole");
        assert_eq!(routes.lines().count(), new.len(), "{new:?}: {routes}");
    }
}

#[needs(root)]
#[test]
fn pod_cidrs_that_cannot_be_are_refused_and_change_nothing() {
    let host = Host::new();
    let (a, b) = (host.pod("a"), host.pod("b"));
    let before = host.ns.sh("ip address show lo; ip route; ip -6 route");
    for wrong in [&["10.88.0.2/31"][..], &["10.1.0.0/16", "10.1.2.0/24"], &["10.1.0.1/32"], &[]] {
        let refused = set(&host, wrong).unwrap_err();
        assert!(matches!(refused, NetworkError::Precondition(_)), "{wrong:?}: {refused}");
        assert_eq!(host.ns.sh("ip address show lo; ip route; ip -6 route"), before, "{wrong:?}");
        assert_eq!(host.network.pod_cidrs().len(), 2, "{wrong:?}");
        eventually("the pods go on", || whole(&host, &a, &b)).unwrap();
    }
}

#[needs(root)]
#[test]
fn a_start_finds_the_nodes_address_gone_and_sets_it_again() {
    let host = Host::new();
    for round in 0..5 {
        // The news and the next start are under way at once.
        host.ns.sh("ip address flush dev lo");
        let (_pod, lease) = host.pod(&format!("p{round}"));
        eventually("reached", || host.ns.sees((lease.addresses[0], 80).into())).unwrap();
    }
}

#[needs(root)]
#[test]
fn an_address_that_was_released_before_a_restart_rests_after_it() {
    let mut host = Host::new();
    let (a, b) = (host.pod("a"), host.pod("b"));
    host.detach(&a.1);
    host.restart(vec![b.1.clone()]);
    let next = host.network.allocate("c").unwrap();
    assert!(!next.addresses.iter().any(|address| a.1.addresses.contains(address)), "{next:?}");
    assert!(!next.addresses.iter().any(|address| b.1.addresses.contains(address)), "{next:?}");
}
