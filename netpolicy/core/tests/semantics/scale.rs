//! Compiling a full node takes no more than a moment.

use std::time::Instant;

use cofferdam_netpolicy::evaluate::Flow;
use cofferdam_netpolicy::topology::Topology;

use crate::kit::{Cluster, ip};

/// 1,000 local pods and 5,000 others in 100 namespaces of 50 tenants, with 1,000 policies.
fn large() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.node.pod_cidrs = vec!["10.88.0.0/16".parse().unwrap()];
    for n in 0..50 {
        cluster.tenant(
            &format!("t{n}"),
            r#"{"isolation":"Open","allowTo":[{"tenant":"t1"}],"allowFrom":[{"tenant":"*"}]}"#,
        );
    }
    for n in 0..100 {
        cluster.namespace(&format!("n{n}"), &format!("t{}", n % 50), &format!("team={}", n % 7));
    }
    for n in 0..1000u32 {
        cluster.local(&format!("n{}", n % 100), 0, &format!("app={}", n % 10));
        let pod = cluster.local.last_mut().unwrap();
        (pod.name, pod.interface) = (format!("p{n}"), format!("cfd{n}"));
        pod.addresses = vec![ip(&format!("10.88.{}.{}", 1 + n / 250, 1 + n % 250))];
    }
    for n in 0..5000u32 {
        cluster.remote(&format!("n{}", n % 100), 0, &format!("app={}", n % 10));
        let pod = cluster.snapshot.facts.pods.last_mut().unwrap();
        (pod.name, pod.uid) = (format!("q{n}"), format!("q{n}"));
        pod.addresses = vec![ip(&format!("10.89.{}.{}", n / 250, 1 + n % 250))];
    }
    for n in 0..1000 {
        let (app, peer) = (n % 10, (n / 100) % 10);
        cluster.policy(
            &format!("n{}", n % 100),
            &format!(
                r#"{{"podSelector":{{"matchLabels":{{"app":"{app}"}}}},"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"app":"{peer}"}}}}}},
                {{"namespaceSelector":{{"matchLabels":{{"team":"{}"}}}}}}],"ports":[{{"port":{}}}]}}]}}"#,
                n % 7,
                8000 + peer
            ),
        );
    }
    cluster
}

#[test]
fn a_thousand_pods_and_policies_compile_in_a_moment() {
    let cluster = large();
    let start = Instant::now();
    let rules = cluster.rules();
    let took = start.elapsed();
    eprintln!("compiled in {took:?}: {} chains, {} sets", rules.chains.len(), rules.sets.len());
    // A debug build takes a second and on a busy machine several; what is quadratic takes many minutes.
    assert!(took.as_secs() < 120, "{took:?}");
    assert_eq!(rules.sets["out4"].elements.len(), 1000);
    let topology = Topology::new(&cluster.snapshot, &cluster.node, &cluster.local);
    let start = Instant::now();
    let flow =
        Flow { from: ip("10.88.1.1"), to: ip("10.89.0.1"), port: None, to_own_node: false, from_own_node: false };
    (0..10).for_each(|_| drop(cofferdam_netpolicy::evaluate::explain(&topology, &flow)));
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}
