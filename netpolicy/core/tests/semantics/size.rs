//! What a policy costs: never more than its size, and nothing to what has no part in it.

use cofferdam_netpolicy::diff::diff;
use cofferdam_netpolicy::policy_limit::{MAX_CONDITIONS, MAX_ENTRIES};

use crate::check;
use crate::kit::{Cluster, container_port};

/// One rule of `peers` and `ports`, in both directions.
fn rule(peers: &[String], ports: &[String]) -> String {
    let (peers, ports) = (peers.join(","), ports.join(","));
    let side = |name: &str, peer: &str| format!(r#""{name}":[{{"{peer}":[{peers}],"ports":[{ports}]}}]"#);
    let (ingress, egress) = (side("ingress", "from"), side("egress", "to"));
    format!(r#"{{"policyTypes":["Ingress","Egress"],{ingress},{egress}}}"#)
}

fn blocks(count: usize) -> Vec<String> {
    // Every second network, so that none joins its neighbour.
    (0..count).map(|n| format!(r#"{{"ipBlock":{{"cidr":"10.{}.{}.0/24"}}}}"#, n / 100, 2 * (n % 100))).collect()
}

fn selectors(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"podSelector":{{"matchLabels":{{"app":"a{n}"}}}}}}"#)).collect()
}

fn odd_ports(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"port":{}}}"#, 1001 + 2 * n)).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!(r#"{{"port":"p{n}"}}"#)).collect()
}

/// Rules and elements that a policy adds to a cluster of one pod that it selects and 300 others.
fn cost(spec: &str) -> usize {
    let mut cluster = Cluster::new();
    cluster.local("a", 2, "");
    cluster.local[0].ports = (0..300).map(|n| container_port(&format!("p{n}"), 2000 + n, "TCP")).collect();
    for n in 0..200 {
        cluster.remote("a", n, &format!("app=a{n}"));
        cluster.snapshot.facts.pods.last_mut().unwrap().ports = vec![container_port(&format!("p{n}"), 80, "TCP")];
    }
    let size = |cluster: &Cluster| {
        let rules = cluster.rules();
        let elements: usize = rules.sets.values().map(|set| set.elements.len()).sum();
        rules.chains.values().map(|chain| chain.rules().len()).sum::<usize>() + elements
    };
    let before = size(&cluster);
    cluster.policy("a", spec);
    size(&cluster) - before
}

#[test]
fn peers_and_ports_add_up_and_are_never_multiplied() {
    for peers in [blocks(200), selectors(200), [blocks(100), selectors(100)].concat()] {
        for ports in [odd_ports(200), names(200), [odd_ports(100), names(100)].concat()] {
            let cost = cost(&rule(&peers, &ports));
            // Both directions, sets and a handful of rules; multiplied out it would be 80,000.
            assert!(cost <= 2 * (200 + 200) + 30, "{cost}");
        }
    }
}

#[test]
fn a_rule_of_many_means_what_its_parts_mean() {
    let mut cluster = Cluster::new();
    cluster.local("a", 2, "app=x").local("a", 3, "app=a7").local("a", 4, "app=no").remote("a", 2, "app=a199");
    cluster.local[1].ports = vec![container_port("p7", 7777, "TCP")];
    let peers = [blocks(100), selectors(200)].concat();
    let ports = [odd_ports(200), names(50), vec![r#"{"protocol":"UDP","port":5,"endPort":9}"#.into()]].concat();
    let subject = r#""podSelector":{"matchLabels":{"app":"x"}},"policyTypes""#;
    cluster.policy("a", &rule(&peers, &ports).replace(r#""policyTypes""#, subject));
    check!(cluster,
        "10.88.0.2" -> "10.88.0.3" "TCP/1001" = true, "10.88.0.2" -> "10.88.0.3" "TCP/1002" = false,
        "10.88.0.2" -> "10.88.0.3" "TCP/1399" = true, "10.88.0.2" -> "10.88.0.3" "TCP/7777" = true,
        "10.88.0.2" -> "10.88.0.3" "UDP/7" = true, "10.88.0.2" -> "10.88.0.3" "UDP/10" = false,
        "10.88.0.2" -> "10.88.0.4" "TCP/1001" = false, "10.88.0.2" -> "10.89.0.2" "TCP/1001" = true,
        "10.88.0.3" -> "10.88.0.2" "TCP/1003" = true, "10.88.0.4" -> "10.88.0.2" "TCP/1003" = false,
    );
}

#[test]
fn a_policy_over_the_limit_closes_what_it_selects_and_nothing_else() {
    let large = [blocks(1), vec![blocks(1)[0].clone(); MAX_ENTRIES]].concat();
    let many = vec![selectors(1)[0].clone(); MAX_CONDITIONS];
    for peers in [large, many] {
        let mut cluster = Cluster::new();
        cluster.local("a", 2, "app=x").local("a", 3, "").local("a", 4, "");
        let subject = r#""podSelector":{"matchLabels":{"app":"x"}},"policyTypes""#;
        cluster.policy("a", &rule(&peers, &[]).replace(r#""policyTypes""#, subject));
        check!(cluster,
            "10.88.0.3" -> "10.88.0.2" "TCP/80" = false, "10.88.0.2" -> "10.88.0.3" "TCP/80" = false,
            "10.88.0.3" -> "10.88.0.4" "TCP/80" = true,
        );
        // Another policy still adds what it allows.
        cluster.policy("a", r#"{"ingress":[{"ports":[{"port":80}]}]}"#);
        check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/81" = false);
    }
}

#[test]
fn a_remote_pod_is_one_element_wherever_its_address_lies() {
    let mut cluster = Cluster::new();
    cluster.tenant("acme", r#"{"isolation":"Open"}"#).tenant("blue", r#"{"isolation":"Open"}"#);
    cluster.local("a", 2, "").local("b", 3, "");
    for n in 0..100 {
        cluster.remote("a", n, "");
        // In no network of the cluster: nobody has told of one.
        cluster.snapshot.facts.pods.last_mut().unwrap().addresses = vec![format!("203.0.{n}.7").parse().unwrap()];
    }
    check!(cluster, "10.88.0.3" -> "203.0.5.7" "TCP/80" = false, "10.88.0.3" -> "203.0.5.8" "TCP/80" = true);
    let before = cluster.rules();
    cluster.remote("a", 200, "");
    cluster.snapshot.facts.pods.last_mut().unwrap().addresses = vec!["203.0.113.77".parse().unwrap()];
    let batch = diff(&before.snapshot(), &cluster.rules());
    let text: Vec<String> = batch.ops.iter().map(|op| format!("{op:.60?}")).collect();
    assert_eq!(batch.ops.len(), 2, "its tenant's set and the one of strays: {text:?}");
}
