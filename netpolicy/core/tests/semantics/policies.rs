//! What NetworkPolicies mean, point by point (docs/design/network-and-policy.md). All pods are of one tenant, so that
//! only NetworkPolicies decide.

use crate::check;
use crate::kit::{Cluster, container_port, ip, labels};

/// l2 (app=x) and l3 (app=y) here, r2 (app=y) elsewhere, in namespace a; l4 (app=y) in a2: all of acme.
fn one_tenant() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.tenant("acme", r#"{"isolation":"Open"}"#).namespace("a2", "acme", "team=a2");
    cluster.local("a", 2, "app=x").local("a", 3, "app=y").local("a2", 4, "app=y").remote("a", 2, "app=y");
    cluster
}

fn with(policies: &[&str]) -> Cluster {
    let mut cluster = one_tenant();
    policies.iter().for_each(|p| _ = cluster.policy("a", p));
    cluster
}

const X: &str = r#""podSelector":{"matchLabels":{"app":"x"}}"#;

#[test]
fn types_default_to_ingress_and_to_egress_only_with_egress_rules() {
    let cluster = with(&[&format!("{{{X}}}")]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false, "10.88.0.2" -> "10.88.0.3" "TCP/80" = true);
    let cluster = with(&[&format!(r#"{{{X},"egress":[{{"ports":[{{"port":80}}]}}]}}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false, "10.88.0.2" -> "10.88.0.3" "TCP/80" = true,
        "10.88.0.2" -> "10.88.0.3" "TCP/81" = false);
    // `egress: []` is no egress rule.
    let cluster = with(&[&format!(r#"{{{X},"egress":[]}}"#)]);
    check!(cluster, "10.88.0.2" -> "10.88.0.3" "TCP/80" = true);
}

#[test]
fn only_the_types_named_count() {
    let cluster = with(&[&format!(r#"{{{X},"policyTypes":["Egress"],"ingress":[{{"ports":[{{"port":80}}]}}]}}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/81" = true, "10.88.0.2" -> "10.88.0.3" "TCP/81" = false);
    for ingress in [r#","ingress":[]"#, ""] {
        let cluster = with(&[&format!(r#"{{{X},"policyTypes":["Ingress"]{ingress}}}"#)]);
        check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false, "10.88.0.3" -> "10.88.0.2" "ICMP" = false);
    }
}

#[test]
fn no_selector_differs_from_the_empty_one() {
    let from = |peers: &str| with(&[&format!(r#"{{{X},"ingress":[{{"from":[{peers}]}}]}}"#)]);
    // This namespace; all namespaces; both: AND; two peers: OR.
    let cluster = from(r#"{"podSelector":{}}"#);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true, "10.88.0.4" -> "10.88.0.2" "TCP/80" = false,
        "10.89.0.2" -> "10.88.0.2" "TCP/80" = true, "8.8.8.8" -> "10.88.0.2" "TCP/80" = false);
    let cluster = from(r#"{"namespaceSelector":{}}"#);
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = true, "8.8.8.8" -> "10.88.0.2" "TCP/80" = false);
    let a2 = r#""namespaceSelector":{"matchLabels":{"team":"a2"}}"#;
    let cluster = from(&format!(r#"{{{a2},"podSelector":{{"matchLabels":{{"app":"x"}}}}}}"#));
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = false);
    let cluster = from(&format!(r#"{{{a2}}},{{"podSelector":{{"matchLabels":{{"app":"y"}}}}}}"#));
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true);
    // No peers at all: everybody, outside too.
    let cluster = with(&[&format!(r#"{{{X},"ingress":[{{}}]}}"#)]);
    check!(cluster, "8.8.8.8" -> "10.88.0.2" "TCP/80" = true);
}

#[test]
fn expressions_mind_absent_keys_and_namespaces_have_their_name() {
    let from = |operator: &str, key: &str, values: &str| {
        let r = format!(r#"{{"key":"{key}","operator":"{operator}"{values}}}"#);
        with(&[&format!(r#"{{{X},"ingress":[{{"from":[{{"namespaceSelector":{{"matchExpressions":[{r}]}}}}]}}]}}"#)])
    };
    for (operator, key, values, expected) in [
        ("NotIn", "absent", r#","values":["v"]"#, true),
        ("In", "absent", r#","values":["v"]"#, false),
        ("NotIn", "team", r#","values":["a2"]"#, false),
        ("Exists", "team", "", true),
        ("DoesNotExist", "team", "", false),
        ("In", "kubernetes.io/metadata.name", r#","values":["a2"]"#, true),
        ("NotIn", "kubernetes.io/metadata.name", r#","values":["a2"]"#, false),
    ] {
        assert_eq!(
            from(operator, key, values).allows("10.88.0.4", "10.88.0.2", "TCP/80"),
            expected,
            "{operator} {key}"
        );
    }
    // A namespace in no file has its name as well.
    let mut cluster = from("NotIn", "kubernetes.io/metadata.name", r#","values":["bare"]"#);
    cluster.local("bare", 5, "").local.last_mut().unwrap().tenant = "acme".into();
    check!(cluster, "10.88.0.5" -> "10.88.0.2" "TCP/80" = false);
    // One that was not seen yet is meant by no demand.
    let mut cluster = from("DoesNotExist", "secret", "");
    cluster.local("unseen", 5, "").local.last_mut().unwrap().tenant = "acme".into();
    check!(cluster, "10.88.0.5" -> "10.88.0.2" "TCP/80" = true);
    cluster.snapshot.facts.complete = false;
    check!(cluster, "10.88.0.5" -> "10.88.0.2" "TCP/80" = false);
}

#[test]
fn policies_add_up_and_both_ends_must_allow() {
    let allow = |port: u16| format!(r#"{{{X},"ingress":[{{"ports":[{{"port":{port}}}]}}]}}"#);
    let y_sends_80 =
        r#"{"podSelector":{"matchLabels":{"app":"y"}},"policyTypes":["Egress"],"egress":[{"ports":[{"port":80}]}]}"#;
    let cluster = with(&[&allow(80), &allow(81), y_sends_80]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/81" = false,
        "10.88.0.4" -> "10.88.0.2" "TCP/81" = true, "10.88.0.4" -> "10.88.0.2" "TCP/82" = false,
        "10.88.0.2" -> "10.88.0.3" "TCP/82" = true);
}

#[test]
fn a_block_is_a_network_minus_its_own_exceptions_and_means_pods_too() {
    let block = |b: &str| format!(r#"{{"ipBlock":{b}}}"#);
    let from = |peers: &[String]| with(&[&format!(r#"{{{X},"ingress":[{{"from":[{}]}}]}}"#, peers.join(","))]);
    let cluster = from(&[block(r#"{"cidr":"10.88.0.0/24","except":["10.88.0.4/32"]}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true, "10.88.0.4" -> "10.88.0.2" "TCP/80" = false,
        "fd88::3" -> "fd88::2" "TCP/80" = false);
    // What one block excepts another may bring.
    let cluster =
        from(&[block(r#"{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}"#), block(r#"{"cidr":"10.88.0.4/32"}"#)]);
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false,
        "8.8.8.8" -> "10.88.0.2" "TCP/80" = true, "2001:db8::1" -> "fd88::2" "TCP/80" = false);
    let cluster = from(&[block(r#"{"cidr":"::/0"}"#)]);
    check!(cluster, "fd88::3" -> "fd88::2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false);
}

#[test]
fn host_network_pods_are_nodes_and_finished_ones_own_nothing() {
    let y_only = format!(r#"{{{X},"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"app":"y"}}}}}}]}}]}}"#);
    let mut cluster = with(&[&y_only]);
    check!(cluster, "10.89.0.2" -> "10.88.0.2" "TCP/80" = true);
    cluster.snapshot.facts.pods[0].finished = true;
    check!(cluster, "10.89.0.2" -> "10.88.0.2" "TCP/80" = false);
    cluster.snapshot.facts.pods[0].finished = false;
    cluster.snapshot.facts.pods[0].host_network = true;
    check!(cluster, "10.89.0.2" -> "10.88.0.2" "TCP/80" = false);
    // A local one is no subject: what it does is the node's.
    let mut cluster = with(&[r#"{"podSelector":{}}"#]);
    cluster.local("a", 5, "app=x");
    let pod = cluster.local.last_mut().unwrap();
    (pod.host_network, pod.addresses) = (true, vec![ip("192.168.0.10")]);
    check!(cluster, "8.8.8.8" -> "192.168.0.10" "TCP/80" = true, "192.168.0.10" -> "10.88.0.2" "TCP/80" = true);
}

#[test]
fn an_address_may_go_from_a_finished_pod_to_the_next() {
    let y_only = format!(r#"{{{X},"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"app":"y"}}}}}}]}}]}}"#);
    let mut cluster = with(&[&y_only]);
    cluster.remote("a", 9, "app=z").snapshot.facts.pods.last_mut().unwrap().addresses = vec![ip("10.89.0.2")];
    check!(cluster, "10.89.0.2" -> "10.88.0.2" "TCP/80" = false);
    cluster.snapshot.facts.pods[1].finished = true;
    check!(cluster, "10.89.0.2" -> "10.88.0.2" "TCP/80" = true);
}

#[test]
fn ports_have_defaults_names_and_ranges() {
    let ports = |all: &str| format!(r#"{{{X},"ingress":[{{"ports":[{all}]}}]}}"#);
    let cluster = with(&[&ports("{}")]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/9" = true, "10.88.0.3" -> "10.88.0.2" "UDP/9" = false,
        "10.88.0.3" -> "10.88.0.2" "ICMP" = false);
    let cluster = with(&[&ports(r#"{"port":80,"endPort":82},{"protocol":"UDP"}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/79" = false, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true,
        "10.88.0.3" -> "10.88.0.2" "TCP/82" = true, "10.88.0.3" -> "10.88.0.2" "TCP/83" = false,
        "10.88.0.3" -> "10.88.0.2" "UDP/9" = true, "10.88.0.3" -> "10.88.0.2" "SCTP/80" = false);
    // A rule of SCTP only isolates TCP.
    let cluster = with(&[&ports(r#"{"protocol":"SCTP","port":80}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false, "10.88.0.3" -> "10.88.0.2" "SCTP/80" = true);
    let mut cluster = with(&[&ports(r#"{"port":"web"}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/8080" = false);
    cluster.local[0].ports = vec![container_port("web", 8080, ""), container_port("web", 8081, "UDP")];
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/8080" = true, "10.88.0.3" -> "10.88.0.2" "UDP/8081" = false);
}

#[test]
fn a_named_port_of_egress_is_each_destinations_own_and_no_outside_addresss() {
    let to = |peers: &str| {
        format!(r#"{{{X},"policyTypes":["Egress"],"egress":[{{"to":[{peers}],"ports":[{{"port":"web"}}]}}]}}"#)
    };
    for peers in ["", r#"{"ipBlock":{"cidr":"0.0.0.0/0"}}"#, r#"{"podSelector":{}}"#] {
        let mut cluster = with(&[&to(peers)]);
        cluster.local[1].ports = vec![container_port("web", 8080, "TCP")];
        cluster.snapshot.facts.pods[0].ports = vec![container_port("web", 9090, "TCP")];
        check!(cluster, "10.88.0.2" -> "10.88.0.3" "TCP/8080" = true, "10.88.0.2" -> "10.88.0.3" "TCP/9090" = false,
            "10.88.0.2" -> "10.89.0.2" "TCP/9090" = true, "10.88.0.2" -> "8.8.8.8" "TCP/8080" = false);
    }
}

#[test]
fn rules_without_ports_mean_icmp_and_those_with_ports_do_not() {
    let cluster = with(&[&format!(r#"{{{X},"ingress":[{{"from":[{{"podSelector":{{}}}}]}}]}}"#)]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "ICMP" = true, "fd88::3" -> "fd88::2" "ICMP" = true,
        "10.88.0.4" -> "10.88.0.2" "ICMP" = false);
}

#[test]
fn the_own_node_reaches_its_pods_and_a_pod_itself_whatever_is_said() {
    let cluster = with(&[r#"{"podSelector":{},"policyTypes":["Ingress","Egress"]}"#]);
    check!(cluster, "192.168.0.10" -> "10.88.0.2" "TCP/80" = true, "10.88.0.1" -> "10.88.0.2" "TCP/80" = true,
        "10.88.0.2" -> "10.88.0.2" "TCP/80" = true, "fd88::2" -> "fd88::2" "UDP/80" = true,
        "192.168.0.1" -> "10.88.0.2" "TCP/80" = false, "10.88.0.2" -> "192.168.0.10" "TCP/80" = false);
}

#[test]
fn the_apis_labels_replace_those_of_the_request_and_changes_count_at_once() {
    let y_only = format!(r#"{{{X},"ingress":[{{"from":[{{"podSelector":{{"matchLabels":{{"app":"y"}}}}}}]}}]}}"#);
    let mut cluster = with(&[&y_only]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true, "10.88.0.3" -> "10.88.0.4" "TCP/80" = true);
    // The API's word on l3, of the same uid.
    cluster.remote("a", 200, "app=z");
    let pod = cluster.snapshot.facts.pods.last_mut().unwrap();
    (pod.name, pod.uid, pod.addresses) = ("l3".into(), "u3".into(), vec![ip("10.88.0.3")]);
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false);
    // It becomes a subject.
    cluster.snapshot.facts.pods.last_mut().unwrap().labels = labels("app=x");
    check!(cluster, "10.88.0.4" -> "10.88.0.3" "TCP/80" = false);
    // Another uid is another pod: it tells nothing of l3, and is a peer with its own address.
    let pod = cluster.snapshot.facts.pods.last_mut().unwrap();
    (pod.uid, pod.labels, pod.addresses) = ("new".into(), labels("app=y"), vec![ip("10.89.0.77")]);
    check!(cluster, "10.88.0.4" -> "10.88.0.3" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true,
        "10.89.0.77" -> "10.88.0.2" "TCP/80" = true);
}

#[test]
fn a_namespaces_new_labels_count_at_once() {
    let a2 = r#"{"namespaceSelector":{"matchLabels":{"team":"a2"}}}"#;
    let mut cluster = with(&[&format!(r#"{{{X},"ingress":[{{"from":[{a2}]}}]}}"#)]);
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = true);
    cluster.namespace("a2", "acme", "team=other");
    check!(cluster, "10.88.0.4" -> "10.88.0.2" "TCP/80" = false);
}

#[test]
fn a_pod_whose_labels_are_unknown_is_closed_until_its_object_tells_them() {
    let mut cluster = Cluster::new();
    cluster.tenant("acme", r#"{"isolation":"Open"}"#);
    cluster.local("a", 2, "").local("a", 3, "");
    cluster.local[0].labels = None;
    check!(cluster,
        "10.88.0.2" -> "10.88.0.3" "TCP/80" = false, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "8.8.8.8" "TCP/80" = false, "8.8.8.8" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.3" -> "8.8.8.8" "TCP/80" = true,
    );
    // Nobody else gets the address meanwhile.
    cluster.remote("a", 9, "");
    cluster.snapshot.facts.pods[0].addresses = vec!["10.88.0.2".parse().unwrap()];
    check!(cluster, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false);
    let known = cofferdam_tenant_cluster::ClusterPod {
        namespace: "a".into(),
        name: "l2".into(),
        uid: "u2".into(),
        ..Default::default()
    };
    cluster.snapshot.facts.pods.push(known);
    check!(cluster, "10.88.0.2" -> "10.88.0.3" "TCP/80" = true, "10.88.0.3" -> "10.88.0.2" "TCP/80" = true);
}
