//! The guest's end of its link, in a network namespace that stands for the guest; iproute2 is the oracle.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

use cofferdam_network::configure_guest;
use cofferdam_pod_api::GuestLink;
use cofferdam_test_support::{Netns, needs};

fn ip(arguments: &str) -> String {
    let out = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(out.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn in_a_guest(test: impl FnOnce() + Send) {
    let guest = Netns::new().unwrap();
    // As a kernel leaves it that has just booted.
    guest.ip("link set lo down").unwrap();
    guest.run(test);
}

fn link() -> GuestLink {
    GuestLink {
        mac: [2, 0, 0, 0, 0, 7],
        gateway_mac: [2, 0, 0, 0, 0, 1],
        addresses: vec!["10.88.0.9".parse().unwrap(), "fd88::9".parse().unwrap()],
        gateways: vec!["169.254.1.1".parse().unwrap(), "fe80::1".parse().unwrap()],
        mtu: 1400,
    }
}

#[needs(root)]
#[test]
fn the_interface_is_found_by_its_mac_address_and_becomes_the_pods() {
    in_a_guest(|| {
        ip("link add enp0s2 address 02:00:00:00:00:07 type veth peer name other");
        ip("link set other up");
        // Again changes nothing.
        for _ in 0..2 {
            configure_guest(Some(&link())).unwrap();
            let eth = ip("address show eth0");
            for word in ["mtu 1400", "NOARP", "state UP", "inet 10.88.0.9/32", "inet6 fd88::9/128"] {
                assert!(eth.contains(word), "{word}: {eth}");
            }
            assert!(!eth.contains("fe80::") && !eth.contains("tentative"), "no address of its own making: {eth}");
            assert!(ip("-4 route show").contains("default via 169.254.1.1 dev eth0"), "{}", ip("-4 route show"));
            assert!(ip("-4 route get 192.0.2.1").contains("src 10.88.0.9"));
            assert!(ip("-6 route get 2001:db8::1").contains("via fe80::1 dev eth0"), "{}", ip("-6 route show"));
            for gateway in ["169.254.1.1", "fe80::1"] {
                let neighbours = ip(&format!("neighbour show {gateway} dev eth0"));
                assert!(neighbours.contains("02:00:00:00:00:01 PERMANENT"), "{neighbours}");
            }
            assert!(ip("address show lo").contains("127.0.0.1"));
        }
    });
}

#[needs(root)]
#[test]
fn without_a_link_lo_comes_up() {
    in_a_guest(|| {
        configure_guest(None).unwrap();
        assert!(ip("address show lo").contains("LOOPBACK,UP"));
    });
}

#[needs(root)]
#[test]
fn a_mac_address_that_nothing_has_is_an_error_that_names_it_and_what_there_is() {
    in_a_guest(|| {
        let error = configure_guest(Some(&link())).unwrap_err().to_string();
        assert!(error.contains("02:00:00:00:00:07") && error.contains("lo 00:00:00:00:00:00"), "{error}");
    });
}
