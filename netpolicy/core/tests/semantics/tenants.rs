//! The network between tenants.

use crate::check;
use crate::kit::{Cluster, ip};

/// l2, r2 of acme; l3, r3 of blue; l4 (DNS) and r4 of system; l5 of default.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.local("a", 2, "").remote("a", 2, "").local("b", 3, "").remote("b", 3, "");
    cluster.local("kube-system", 4, "k8s-app=kube-dns").remote("kube-system", 4, "").local("d", 5, "");
    cluster
}

fn with(acme: &str, blue: &str) -> Cluster {
    let mut cluster = cluster();
    cluster.tenant("acme", acme).tenant("blue", blue);
    cluster
}

#[test]
fn strict_reaches_its_own_tenant_only() {
    check!(cluster(), "10.88.0.2" -> "10.89.0.2" "TCP/80" = true, "10.89.0.2" -> "10.88.0.2" "ICMP" = true,
        "10.88.0.2" -> "10.88.0.3" "TCP/80" = false, "10.88.0.2" -> "10.89.0.3" "TCP/80" = false,
        "10.88.0.2" -> "8.8.8.8" "TCP/80" = false, "8.8.8.8" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "10.88.0.4" "UDP/53" = false, "10.88.0.2" -> "192.168.0.10" "TCP/22" = false,
        "10.88.0.2" -> "10.88.0.1" "TCP/10250" = false, "10.88.0.2" -> "192.168.0.11" "TCP/22" = false,
        "10.88.0.2" -> "192.168.0.1" "TCP/6443" = false, "10.88.0.2" -> "169.254.169.254" "TCP/80" = false,
        "10.88.0.2" -> "127.0.0.1" "TCP/80" = false, "fd88::2" -> "fd88::3" "TCP/80" = false,
        "fd88::2" -> "2001:db8::1" "TCP/80" = false, "fd88::2" -> "fd88::1" "TCP/80" = false);
}

#[test]
fn open_adds_outside_dns_and_the_api_server() {
    let cluster = with(r#"{"isolation":"Open"}"#, r#"{"isolation":"Open"}"#);
    check!(cluster, "10.88.0.2" -> "8.8.8.8" "TCP/80" = true, "8.8.8.8" -> "10.88.0.2" "TCP/80" = true,
        "fd88::2" -> "2001:db8::1" "UDP/9" = true, "10.88.0.2" -> "10.88.0.4" "UDP/53" = true,
        "10.88.0.2" -> "10.88.0.4" "TCP/53" = true, "10.88.0.2" -> "10.88.0.4" "TCP/9153" = false,
        "10.88.0.2" -> "192.168.0.1" "TCP/6443" = true, "10.88.0.2" -> "192.168.0.1" "TCP/22" = false,
        "10.88.0.2" -> "10.88.0.3" "TCP/80" = false, "10.88.0.2" -> "10.89.0.3" "TCP/80" = false,
        "10.88.0.2" -> "10.89.0.99" "TCP/80" = false, "10.89.0.99" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "192.168.0.10" "TCP/22" = false, "192.168.0.11" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "10.88.0.1" "TCP/22" = false, "10.88.0.2" -> "169.254.169.254" "TCP/80" = false,
        "10.88.0.2" -> "10.96.0.1" "TCP/443" = false, "10.88.0.2" -> "224.0.0.1" "UDP/9" = false,
        "fd88::2" -> "ff02::1" "UDP/9" = false, "fd88::2" -> "fe80::1" "UDP/9" = false);
}

#[test]
fn a_cross_tenant_flow_needs_both_tenants() {
    let (to, from) = (
        r#"{"allowTo":[{"tenant":"blue","ports":["TCP/80","TCP/81"]}]}"#,
        r#"{"allowFrom":[{"tenant":"acme","ports":["TCP/80"]}]}"#,
    );
    check!(with(to, "{}"), "10.88.0.2" -> "10.88.0.3" "TCP/80" = false);
    check!(with("{}", from), "10.88.0.2" -> "10.88.0.3" "TCP/80" = false);
    check!(with(to, from), "10.88.0.2" -> "10.88.0.3" "TCP/80" = true, "10.88.0.2" -> "10.88.0.3" "TCP/81" = false,
        "10.88.0.2" -> "10.88.0.3" "ICMP" = false, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "10.89.0.3" "TCP/80" = true, "10.89.0.2" -> "10.88.0.3" "TCP/80" = true);
    let all = with(r#"{"allowTo":[{"tenant":"*"}]}"#, r#"{"allowFrom":[{"tenant":"*"}]}"#);
    check!(all, "10.88.0.2" -> "10.88.0.3" "ICMP" = true, "10.88.0.2" -> "10.88.0.5" "TCP/80" = false);
}

#[test]
fn no_network_policy_widens_what_tenants_allow() {
    let mut cluster = cluster();
    cluster.policy("a", r#"{"podSelector":{},"policyTypes":["Ingress","Egress"],"ingress":[{}],"egress":[{}]}"#);
    cluster.policy("b", r#"{"podSelector":{},"ingress":[{"from":[{"namespaceSelector":{}}]}]}"#);
    check!(cluster, "10.88.0.2" -> "10.88.0.3" "TCP/80" = false, "10.88.0.3" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "8.8.8.8" "TCP/80" = false, "10.88.0.2" -> "192.168.0.10" "TCP/80" = false);
}

#[test]
fn a_cidr_means_outside_unless_it_is_one_address() {
    let cluster =
        with(r#"{"allowTo":[{"cidr":"0.0.0.0/0"},{"cidr":"::/0","ports":["TCP/443"]}]}"#, r#"{"isolation":"Open"}"#);
    check!(cluster, "10.88.0.2" -> "8.8.8.8" "ICMP" = true, "fd88::2" -> "2001:db8::1" "TCP/443" = true,
        "fd88::2" -> "2001:db8::1" "TCP/80" = false, "10.88.0.2" -> "10.88.0.3" "TCP/80" = false,
        "10.88.0.2" -> "10.89.0.3" "TCP/80" = false, "10.88.0.2" -> "10.89.0.99" "TCP/80" = false,
        "10.88.0.2" -> "192.168.0.10" "TCP/22" = false, "10.88.0.2" -> "192.168.0.1" "TCP/6443" = false,
        "10.88.0.2" -> "10.96.0.1" "TCP/443" = false, "10.88.0.2" -> "169.254.169.254" "TCP/80" = false,
        "8.8.8.8" -> "10.88.0.2" "TCP/80" = false);
    let one = |address: &str| with(&format!(r#"{{"allowTo":[{{"cidr":"{address}/32"}}]}}"#), r#"{"isolation":"Open"}"#);
    check!(one("169.254.169.254"), "10.88.0.2" -> "169.254.169.254" "TCP/80" = true);
    check!(one("192.168.0.11"), "10.88.0.2" -> "192.168.0.11" "TCP/22" = true);
    check!(one("192.168.0.10"), "10.88.0.2" -> "192.168.0.10" "TCP/22" = true);
    // Never what a pod has, be its owner known or disputed.
    check!(one("10.88.0.3"), "10.88.0.2" -> "10.88.0.3" "TCP/80" = false);
    check!(one("10.89.0.3"), "10.88.0.2" -> "10.89.0.3" "TCP/80" = false);
    let mut disputed = one("10.89.0.3");
    disputed.remote("d", 9, "").snapshot.facts.pods.last_mut().unwrap().addresses = vec![ip("10.89.0.3")];
    check!(disputed, "10.88.0.2" -> "10.89.0.3" "TCP/80" = false);
}

#[test]
fn dns_the_api_server_and_the_node_can_be_named_with_ports() {
    let cluster = with(r#"{"allowTo":[{"dns":true}]}"#, r#"{"allowTo":[{"dns":true,"ports":["UDP/53"]}]}"#);
    check!(cluster, "10.88.0.2" -> "10.88.0.4" "UDP/53" = true, "10.88.0.2" -> "10.88.0.4" "TCP/53" = true,
        "10.88.0.3" -> "10.88.0.4" "UDP/53" = true, "10.88.0.3" -> "10.88.0.4" "TCP/53" = false,
        "10.88.0.2" -> "10.89.0.4" "UDP/53" = false, "10.88.0.2" -> "192.168.0.1" "TCP/6443" = false);
    let mut cluster =
        with(r#"{"allowTo":[{"apiServer":true}]}"#, r#"{"allowTo":[{"apiServer":true,"ports":["TCP/1"]}]}"#);
    cluster
        .snapshot
        .facts
        .api_servers
        .extend(["192.168.0.10:6444", "10.89.0.4:6443"].map(|a| a.parse::<std::net::SocketAddr>().unwrap()));
    check!(cluster, "10.88.0.2" -> "192.168.0.1" "TCP/6443" = true, "10.88.0.2" -> "192.168.0.1" "UDP/6443" = false,
        "10.88.0.2" -> "192.168.0.10" "TCP/6444" = true, "10.88.0.2" -> "192.168.0.10" "TCP/22" = false,
        "10.88.0.2" -> "10.89.0.4" "TCP/6443" = true, "10.88.0.2" -> "10.89.0.4" "TCP/6444" = false,
        "10.88.0.3" -> "192.168.0.1" "TCP/6443" = false);
    let cluster = with(r#"{"allowTo":[{"node":"own","ports":["TCP/443"]}]}"#, "{}");
    check!(cluster, "10.88.0.2" -> "192.168.0.10" "TCP/443" = true, "10.88.0.2" -> "192.168.0.10" "TCP/22" = false,
        "10.88.0.2" -> "10.88.0.1" "TCP/443" = true, "fd88::2" -> "fd88::1" "TCP/443" = true,
        "10.88.0.2" -> "192.168.0.11" "TCP/443" = false, "10.88.0.3" -> "192.168.0.10" "TCP/443" = false);
}

#[test]
fn dns_pods_are_those_of_the_system_tenant_only() {
    let mut cluster = with(r#"{"allowTo":[{"dns":true}]}"#, "{}");
    cluster.local("b", 7, "k8s-app=kube-dns");
    check!(cluster, "10.88.0.2" -> "10.88.0.7" "UDP/53" = false);
    // Then NetworkPolicy of the DNS pods decides.
    cluster.policy("kube-system", r#"{"podSelector":{}}"#);
    check!(cluster, "10.88.0.2" -> "10.88.0.4" "UDP/53" = false);
}

#[test]
fn system_needs_the_destinations_consent() {
    let mut cluster = with("{}", r#"{"allowFrom":[{"tenant":"system"}]}"#);
    cluster.tenant("system", r#"{"allowTo":[{"tenant":"*"}]}"#);
    check!(cluster, "10.88.0.4" -> "10.88.0.3" "TCP/80" = true, "10.88.0.4" -> "10.88.0.2" "TCP/80" = false);
}

#[test]
fn an_address_that_two_pods_claim_is_nobodys_and_local_truth_wins() {
    let mut cluster = cluster();
    cluster.remote("a", 9, "").snapshot.facts.pods.last_mut().unwrap().addresses =
        vec![ip("10.89.0.2"), ip("10.88.0.3")];
    check!(cluster, "10.88.0.2" -> "10.89.0.2" "TCP/80" = false, "10.89.0.2" -> "10.88.0.2" "TCP/80" = false,
        "10.88.0.2" -> "10.88.0.3" "TCP/80" = false);
    // What is this node's, no pod elsewhere has.
    let mut cluster = self::cluster();
    cluster.snapshot.facts.pods[0].addresses = ["10.88.0.99", "10.88.0.1", "192.168.0.10"].map(ip).into();
    check!(cluster, "10.88.0.2" -> "10.88.0.99" "TCP/80" = false, "10.88.0.2" -> "10.88.0.1" "TCP/80" = false,
        "10.88.0.2" -> "192.168.0.10" "TCP/80" = false);
}

#[test]
fn a_namespaces_new_tenant_counts_at_once_for_remote_pods_and_never_for_local_ones() {
    let mut cluster = cluster();
    cluster.namespace("b", "acme", "");
    check!(cluster, "10.88.0.2" -> "10.89.0.3" "TCP/80" = true, "10.88.0.2" -> "10.88.0.3" "TCP/80" = false);
}

#[test]
fn pods_of_unknown_tenants_and_namespaces_are_foreign_even_to_each_other() {
    let mut cluster = with(r#"{"isolation":"Open"}"#, r#"{"allowTo":[{"tenant":"*"}],"allowFrom":[{"tenant":"*"}]}"#);
    cluster.tenant("default", r#"{"allowFrom":[{"tenant":"*"}],"allowTo":[{"tenant":"*"}]}"#);
    cluster.namespace("ghosts", "nobody", "").remote("ghosts", 7, "").remote("ghosts", 8, "").remote("unseen", 9, "");
    check!(cluster, "10.88.0.2" -> "10.89.0.7" "TCP/80" = false, "10.89.0.7" -> "10.88.0.3" "TCP/80" = false,
        "10.89.0.7" -> "10.89.0.8" "TCP/80" = false, "10.88.0.3" -> "10.89.0.9" "TCP/80" = true);
    // Where not all namespaces are known, one that was not seen is not of `default`.
    cluster.snapshot.facts.complete = false;
    check!(cluster, "10.88.0.3" -> "10.89.0.9" "TCP/80" = false, "10.89.0.9" -> "10.88.0.5" "TCP/80" = false);
}

#[test]
fn a_pod_of_a_former_pod_cidr_is_a_pod_still() {
    let mut cluster = with(r#"{"isolation":"Open"}"#, r#"{"isolation":"Open"}"#);
    cluster.local[1].addresses = vec![ip("10.77.0.3")];
    cluster.local.iter_mut().find(|p| p.name == "l2").unwrap().addresses = vec![ip("10.77.0.2")];
    cluster.local[1].namespace = "b".into();
    check!(cluster, "10.77.0.2" -> "10.77.0.3" "TCP/80" = false, "10.77.0.2" -> "8.8.8.8" "TCP/80" = true);
}

#[test]
fn with_nothing_loaded_nothing_of_a_pod_passes() {
    let mut cluster = with(r#"{"isolation":"Open"}"#, "{}");
    cluster.snapshot.facts.blocked = Some("a.yaml:3: bad".into());
    check!(cluster, "10.88.0.2" -> "10.89.0.2" "TCP/80" = false, "8.8.8.8" -> "10.88.0.2" "TCP/80" = false);
    assert!(cluster.explain(ip("10.88.0.2"), ip("8.8.8.8"), None).egress.rule.contains("a.yaml:3"));
}
