//! In any cluster the compiled rules decide as the evaluator does.

use std::net::IpAddr;

use cofferdam_tenant::Protocol;
use proptest::prelude::*;
use proptest::sample::select;

use crate::kernel::passes;
use crate::kit::{Cluster, Port, container_port, ip};

fn network() -> impl Strategy<Value = String> {
    let tenants = || select(vec!["acme", "blue", "default", "system", "*"]);
    let ports =
        || select(vec!["", r#","ports":["TCP/80"]"#, r#","ports":["UDP/53","TCP/80"]"#, r#","ports":["TCP/6443"]"#]);
    let target = prop_oneof![
        tenants().prop_map(|t| format!(r#""tenant":"{t}""#)),
        select(vec![
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/8",
            "8.8.8.8/32",
            "169.254.169.254/32",
            "192.168.0.10/32",
            "10.89.0.9/32",
            "10.88.0.2/32"
        ])
        .prop_map(|c| format!(r#""cidr":"{c}""#)),
        select(vec![r#""node":"own""#, r#""dns":true"#, r#""apiServer":true"#]).prop_map(str::to_owned),
    ];
    let to = (target, ports()).prop_map(|(t, p)| format!("{{{t}{p}}}"));
    let from = (tenants(), ports()).prop_map(|(t, p)| format!(r#"{{"tenant":"{t}"{p}}}"#));
    let all = (select(vec!["Strict", "Open"]), prop::collection::vec(to, 0..4), prop::collection::vec(from, 0..3));
    all.prop_map(|(i, to, from)| {
        format!(r#"{{"isolation":"{i}","allowTo":[{}],"allowFrom":[{}]}}"#, to.join(","), from.join(","))
    })
}

fn policy() -> impl Strategy<Value = String> {
    let peer = select(vec![
        r#"{"podSelector":{}}"#,
        r#"{"podSelector":{"matchLabels":{"app":"x"}}}"#,
        r#"{"namespaceSelector":{}}"#,
        r#"{"namespaceSelector":{"matchLabels":{"team":"b"}},"podSelector":{"matchLabels":{"app":"y"}}}"#,
        r#"{"namespaceSelector":{"matchExpressions":[{"key":"team","operator":"NotIn","values":["b"]}]}}"#,
        r#"{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.88.0.0/29","10.89.0.2/32"]}}"#,
        r#"{"ipBlock":{"cidr":"0.0.0.0/0"}}"#,
        r#"{"ipBlock":{"cidr":"::/0","except":["fd88::2/128"]}}"#,
    ]);
    let port = select(vec![
        r#"{"port":80}"#,
        r#"{"protocol":"UDP"}"#,
        r#"{"port":"web"}"#,
        r#"{"protocol":"UDP","port":"web"}"#,
        r#"{"port":50,"endPort":90}"#,
        r#"{"protocol":"SCTP","port":80}"#,
        "{}",
    ]);
    let (peers, ports) = (prop::collection::vec(peer, 0..3), prop::collection::vec(port, 0..3));
    let rule = (peers, ports).prop_map(|(p, q)| (p.join(","), q.join(",")));
    let rules = || prop::option::of(prop::collection::vec(rule.clone(), 0..3));
    let write = |side: &str, peer: &str, rules: Option<Vec<(String, String)>>| {
        let one = |(p, q): (String, String)| format!(r#"{{"{peer}":[{p}],"ports":[{q}]}}"#);
        rules.map_or(String::new(), |r| {
            format!(r#","{side}":[{}]"#, r.into_iter().map(one).collect::<Vec<_>>().join(","))
        })
    };
    let subject = select(vec!["{}", r#"{"matchLabels":{"app":"x"}}"#]);
    let types = select(vec!["", r#","policyTypes":["Egress"]"#, r#","policyTypes":["Ingress","Egress"]"#]);
    (subject, types, rules(), rules()).prop_map(move |(subject, types, ingress, egress)| {
        let (ingress, egress) = (write("ingress", "from", ingress), write("egress", "to", egress));
        format!(r#"{{"podSelector":{subject}{types}{ingress}{egress}}}"#)
    })
}

/// Namespace, label, last octet, and what is odd about it.
type AnyPod = (&'static str, &'static str, u8, u8);

fn pods() -> impl Strategy<Value = Vec<AnyPod>> {
    let namespaces = vec!["a", "b", "d", "ghosts", "kube-system", "nowhere"];
    prop::collection::vec(
        (select(namespaces), select(vec!["app=x", "app=y", "k8s-app=kube-dns"]), 2..6u8, 0..8u8),
        0..6,
    )
}

prop_compose! {
    fn clusters()(
        networks in prop::collection::vec(network(), 4),
        policies in prop::collection::vec((select(vec!["a", "b", "d"]), policy()), 0..4),
        local in pods(),
        remote in pods(),
        complete in any::<bool>(),
    ) -> Cluster {
        let mut cluster = Cluster::new();
        cluster.namespace("ghosts", "nobody", "").namespace("kube-system", "", "");
        for (name, network) in ["acme", "blue", "default", "system"].iter().zip(&networks) {
            cluster.tenant(name, network);
        }
        cluster.snapshot.facts.api_servers.push("10.89.0.3:6443".parse().unwrap());
        policies.iter().for_each(|(namespace, spec)| _ = cluster.policy(namespace, spec));
        cluster.snapshot.facts.complete = complete;
        for (namespace, more, n, odd) in local {
            // No two local pods have one interface.
            if !cluster.local.iter().any(|p| p.interface == format!("cfd{n}")) && namespace != "ghosts" {
                cluster.local(namespace, n, more);
                let pod = cluster.local.last_mut().unwrap();
                pod.ports = vec![container_port("web", 80, if odd % 2 == 0 { "TCP" } else { "UDP" })];
                match odd {
                    0 => pod.addresses = vec![ip(&format!("10.77.0.{n}"))], // Of a former pod CIDR.
                    1 => pod.addresses.truncate(1),
                    2 => pod.host_network = true,
                    _ => {}
                }
            }
        }
        for (i, (namespace, more, n, odd)) in remote.into_iter().enumerate() {
            cluster.remote(namespace, n, more);
            let pod = cluster.snapshot.facts.pods.last_mut().unwrap();
            pod.name = format!("r{n}-{i}");
            pod.ports = vec![container_port("web", 80, "")];
            match odd {
                0 => pod.addresses.push(ip(&format!("10.88.0.{n}"))), // Claims what is local.
                1 => pod.finished = true,
                2 => pod.host_network = true,
                3 => (pod.name, pod.uid) = (format!("l{n}"), "other".into()),
                4 => pod.addresses.push(ip(&format!("fd89::{n}"))),
                _ => {}
            }
        }
        cluster
    }
}

fn ends() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = (2..7).flat_map(|n| [ip(&format!("10.88.0.{n}")), ip(&format!("fd88::{n}"))]).collect();
    all.extend((2..7).flat_map(|n| [ip(&format!("10.89.0.{n}")), ip(&format!("10.77.0.{n}"))]));
    let others = ["10.88.0.1", "fd88::1", "192.168.0.10", "192.168.0.1", "8.8.8.8", "169.254.169.254", "10.96.0.1"];
    all.extend(others.map(ip));
    all.extend(["10.89.0.9", "fd89::3", "2001:db8::1", "fd00::10", "fd00::11"].map(ip));
    all
}

const PORTS: [Port; 6] = [
    None,
    Some((Protocol::Tcp, 80)),
    Some((Protocol::Udp, 53)),
    Some((Protocol::Udp, 80)),
    Some((Protocol::Sctp, 80)),
    Some((Protocol::Tcp, 6443)),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..Default::default() })]
    #[test]
    fn rules_and_evaluator_agree(cluster in clusters()) {
        let (rules, topology) = (cluster.rules(), cluster.topology());
        let ends = ends();
        for from in ends.iter().filter(|f| !cluster.node.owns(**f)) {
            for to in ends.iter().filter(|t| t.is_ipv4() == from.is_ipv4()) {
                for port in PORTS {
                    let passed = passes(&rules, &cluster.packet(*from, *to, port));
                    let share = cluster.share(&topology, *from, *to, port);
                    prop_assert_eq!(passed, share, "{} to {} {:?}: {:?}", from, to, port, cluster.explain(*from, *to, port));
                }
            }
        }
    }
}
