//! A large policy in the kernel, and what it lets pass.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use cofferdam_netpolicy::PolicySnapshot;
use cofferdam_netpolicy::policy::NetworkPolicy;
use cofferdam_netpolicy::policy_limit::{MAX_ENTRIES, over_limit};
use cofferdam_test_support::needs;
use support::Probes as _;
use support::node::Node;

/// `peers` blocks, the last of which has the pods 2 and 3, and `ports` odd ports from `first` on.
fn policy(peers: usize, ports: usize, first: usize) -> PolicySnapshot {
    let block =
        |n: usize| format!(r#"{{"ipBlock":{{"cidr":"100.{}.{}.{}/32"}}}}"#, n >> 14, (n >> 6) & 255, 4 * (n & 63));
    let mut blocks: Vec<String> = (1..peers - 1).map(block).collect();
    blocks.extend(["10.88.0.2/31", "fd88::2/127"].map(|cidr| format!(r#"{{"ipBlock":{{"cidr":"{cidr}"}}}}"#)));
    let ports: Vec<String> = (0..ports).map(|n| format!(r#"{{"protocol":"UDP","port":{}}}"#, first + 2 * n)).collect();
    let rule = format!(r#"[{{"from":[{}],"ports":[{}]}}]"#, blocks.join(","), ports.join(","));
    let spec = serde_json::from_str(&format!(r#"{{"ingress":{rule}}}"#)).unwrap();
    assert_eq!(over_limit(&spec), None);
    let policy = NetworkPolicy { namespace: "acme".into(), name: "large".into(), spec };
    PolicySnapshot { policies: vec![Arc::new(policy)], ..Default::default() }
}

#[needs(root)]
#[test]
fn two_hundred_peers_and_ports_are_two_look_ups() {
    let node = Node::new(&policy(200, 200, 80));
    let (client, _) = node.ends();
    for (to, passes) in
        [("10.88.0.3:80", true), ("[fd88::3]:80", true), ("10.88.0.3:81", false), ("[fd88::3]:81", false)]
    {
        assert_eq!(client.udp(to), passes, "{to}");
    }
    assert!(!client.tcp("10.88.0.3:80"), "another protocol");
    let rules = node.ns.told("nft", "list table inet t");
    assert!(rules.lines().count() < 500, "{} lines", rules.lines().count());
}

#[needs(root)]
#[test]
fn the_kernel_takes_the_largest_policy_that_is_allowed() {
    let half = MAX_ENTRIES / 2;
    let node = Node::new(&policy(half, half - 1, 80));
    let (client, _) = node.ends();
    assert!(client.udp("10.88.0.3:80") && client.udp("[fd88::3]:80") && !client.udp("10.88.0.3:81"));
}
