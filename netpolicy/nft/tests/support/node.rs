//! A node with pods in network namespaces, under compiled rules.
#![allow(dead_code)]

use std::net::Ipv4Addr;
use std::sync::Arc;

use cofferdam_netpolicy::backend::RuleBackend as _;
use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::{LocalPod, NodeConfig, PolicySnapshot, compile};
use cofferdam_netpolicy_nft::NftBackend;
use cofferdam_test_support::{Netns, eventually};

use super::{Probes as _, netns};

/// A node with the pods 2 and 3 of acme and 4 of blue, which are Strict; pod N is 10.88.0.N and fd88::N at `cfdN`.
pub struct Node {
    pub ns: Netns,
    pub pods: [Netns; 3],
    _backend: Arc<NftBackend>,
}

impl Node {
    /// With these facts and policies.
    pub fn new(snapshot: &PolicySnapshot) -> Self {
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
        let backend = program(&ns, snapshot, &[local(2, "acme"), local(3, "acme"), local(4, "blue")]);
        pods.iter().for_each(|pod| [80, 81].iter().for_each(|port| pod.serve(*port)));
        let node = Node { ns, pods, _backend: backend };
        node.settle();
        node
    }

    /// A pod of acme, and the one of blue.
    pub fn ends(&self) -> (&Netns, &Netns) {
        (&self.pods[0], &self.pods[2])
    }

    /// Waits until what was sent before must have come to pod 4 as well.
    pub fn settle(&self) {
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
        addresses: vec![Ipv4Addr::new(10, 88, 0, n).into(), format!("fd88::{n}").parse().unwrap()],
        interface: format!("cfd{n}"),
        tenant: tenant.into(),
        host_network: false,
        ports: Vec::new(),
    }
}

fn program(ns: &Netns, snapshot: &PolicySnapshot, pods: &[LocalPod]) -> Arc<NftBackend> {
    let node = NodeConfig {
        table: "t".into(),
        interface_prefix: "cfd".into(),
        pod_cidrs: vec!["10.88.0.0/24".parse().unwrap(), "fd88::/64".parse().unwrap()],
        addresses: Vec::new(),
        nat64_prefixes: Vec::new(),
    };
    let rules = compile(snapshot, &node, pods);
    ns.run(move || {
        let backend = NftBackend::open("t", None).unwrap();
        backend.apply(&diff(&backend.read().unwrap(), &rules)).unwrap();
        assert!(diff(&backend.read().unwrap(), &rules).is_empty(), "it is read back as it was written");
        Arc::new(backend)
    })
}
