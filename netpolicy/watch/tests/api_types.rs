//! Whatever the API's own types write, a directory reads.
//!
//! The directory source has strict types of its own, since those of `k8s-openapi` pass over unknown fields. The values
//! below name every field, so a Kubernetes release with a new field does not compile here until somebody has looked at
//! it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use cofferdam_netpolicy::policy::{IntOrName, PolicyType};
use cofferdam_netpolicy_watch::parse;
use cofferdam_tenant_source::Object;
use k8s_openapi::api::core::v1::{Container, ContainerPort, Namespace, Pod, PodIP, PodSpec, PodStatus};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ManagedFieldsEntry, ObjectMeta, OwnerReference,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        annotations: Some(map("a", "b")),
        creation_timestamp: None,
        deletion_grace_period_seconds: Some(30),
        deletion_timestamp: None,
        finalizers: Some(vec!["f".into()]),
        generate_name: Some("web-".into()),
        generation: Some(3),
        labels: Some(map("app", "web")),
        managed_fields: Some(vec![ManagedFieldsEntry::default()]),
        name: Some(name.into()),
        namespace: namespace.map(Into::into),
        owner_references: Some(vec![OwnerReference::default()]),
        resource_version: Some("7".into()),
        self_link: Some("/x".into()),
        uid: Some("u1".into()),
    }
}

fn selector() -> LabelSelector {
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: "tier".into(),
            operator: "In".into(),
            values: Some(vec!["front".into()]),
        }]),
        match_labels: Some(map("app", "web")),
    }
}

fn peers() -> Vec<NetworkPolicyPeer> {
    let block = IPBlock { cidr: "10.0.0.0/8".into(), except: Some(vec!["10.1.0.0/16".into()]) };
    vec![
        NetworkPolicyPeer { ip_block: Some(block), namespace_selector: None, pod_selector: None },
        NetworkPolicyPeer { ip_block: None, namespace_selector: Some(selector()), pod_selector: Some(selector()) },
    ]
}

fn ports() -> Vec<NetworkPolicyPort> {
    vec![
        NetworkPolicyPort { end_port: Some(90), port: Some(IntOrString::Int(80)), protocol: Some("UDP".into()) },
        NetworkPolicyPort { end_port: None, port: Some(IntOrString::String("http".into())), protocol: None },
    ]
}

/// The object as the API server would send it. JSON is YAML.
fn read(object: &impl serde::Serialize) -> Object<std::sync::Arc<cofferdam_netpolicy::policy::NetworkPolicy>> {
    let text = serde_json::to_string(object).unwrap();
    let mut objects = parse("object.yaml", &text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(objects.len(), 1);
    objects.remove(0).object
}

#[test]
fn a_network_policy_is_read_whole() {
    let policy = NetworkPolicy {
        metadata: metadata("web", Some("shop")),
        spec: Some(NetworkPolicySpec {
            egress: Some(vec![NetworkPolicyEgressRule { ports: Some(ports()), to: Some(peers()) }]),
            ingress: Some(vec![NetworkPolicyIngressRule { from: Some(peers()), ports: Some(ports()) }]),
            pod_selector: Some(selector()),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
        }),
    };
    let Object::Further(read) = read(&policy) else { panic!("not a policy") };
    assert_eq!((read.namespace.as_str(), read.name.as_str()), ("shop", "web"));
    let spec = &read.spec;
    assert_eq!(spec.policy_types, [PolicyType::Ingress, PolicyType::Egress]);
    assert_eq!(spec.pod_selector.match_labels, map("app", "web"));
    assert_eq!(spec.pod_selector.match_expressions[0].values, ["front"]);
    assert_eq!((&spec.ingress[0].from, &spec.ingress[0].ports), (&spec.egress[0].to, &spec.egress[0].ports));
    let block = spec.ingress[0].from[0].ip_block.as_ref().unwrap();
    assert_eq!((block.cidr.to_string(), block.except[0].to_string()), ("10.0.0.0/8".into(), "10.1.0.0/16".into()));
    assert!(spec.ingress[0].from[1].pod_selector.is_some() && spec.ingress[0].from[1].namespace_selector.is_some());
    let ports = &spec.ingress[0].ports;
    assert_eq!((ports[0].port.clone(), ports[0].end_port), (Some(IntOrName::Number(80)), Some(90)));
    assert_eq!(ports[1].port, Some(IntOrName::Name("http".into())));
}

#[test]
fn a_namespace_is_read_with_its_labels() {
    let namespace = Namespace { metadata: metadata("shop", None), spec: Some(Default::default()), status: None };
    let Object::Namespace(name, labels) = read(&namespace) else { panic!("not a namespace") };
    assert_eq!((name.as_str(), labels), ("shop", map("app", "web")));
}

#[test]
fn a_pod_is_read_as_a_peer() {
    let port = ContainerPort { container_port: 8080, name: Some("http".into()), ..Default::default() };
    let container = Container { name: "c".into(), ports: Some(vec![port]), ..Default::default() };
    let pod = Pod {
        metadata: metadata("web", Some("shop")),
        spec: Some(PodSpec { containers: vec![container], host_network: Some(true), ..Default::default() }),
        status: Some(PodStatus {
            phase: Some("Succeeded".into()),
            pod_ip: Some("10.9.0.4".into()),
            pod_ips: Some(vec![PodIP { ip: "10.9.0.4".into() }, PodIP { ip: "fd00::4".into() }]),
            ..Default::default()
        }),
    };
    let Object::Pod(read) = read(&pod) else { panic!("not a pod") };
    assert_eq!((read.uid.as_str(), read.labels.clone(), read.addresses.len()), ("u1", map("app", "web"), 2));
    assert_eq!((read.ports[0].name.as_str(), read.ports[0].container_port), ("http", 8080));
    assert!(read.host_network && read.finished);
}

fn policies(text: &str) -> Vec<cofferdam_netpolicy::policy::PolicySpec> {
    let found = parse("a.yaml", text).unwrap().into_iter();
    found
        .map(|located| match located.object {
            Object::Further(policy) => policy.spec.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// As Go reads JSON: null leaves a field at its zero value, in a list it is an object without any field.
#[test]
fn null_is_the_absent_field() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, labels: {x: }}\n";
    for (nulls, plain) in [
        ("podSelector:", "podSelector: {}"),
        ("podSelector: {matchLabels: , matchExpressions: }", "podSelector: {}"),
        ("podSelector: {matchLabels: {a: }}", "podSelector: {matchLabels: {a: ''}}"),
        (
            "podSelector: {matchExpressions: [{key: a, operator: Exists, values: }]}",
            "podSelector: {matchExpressions: [{key: a, operator: Exists}]}",
        ),
        ("policyTypes:\n  ingress:\n  egress:", "podSelector: {}"),
        ("ingress: [{from: , ports: }]\n  egress: [{to: , ports: }]", "ingress: [{}]\n  egress: [{}]"),
        ("ingress: [null]", "ingress: [{}]"),
        (
            "ingress: [{from: [{podSelector: {}, namespaceSelector: , ipBlock: }]}]",
            "ingress: [{from: [{podSelector: {}}]}]",
        ),
        (
            "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: }, podSelector: }]}]",
            "ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]",
        ),
        ("ingress: [{ports: [{port: 80, protocol: , endPort: }, null]}]", "ingress: [{ports: [{port: 80}, {}]}]"),
    ] {
        let read = |spec: &str| policies(&format!("{head}spec:\n  {spec}\n"));
        assert_eq!(read(nulls), read(plain), "{nulls}");
    }
    assert_eq!(policies(&format!("{head}spec:\n")), [Default::default()]);
    // What the API server refuses stays refused.
    for wrong in ["ingress: [{from: [null]}]", "ingress: [{from: [{ipBlock: {cidr: }}]}]", "policyTypes: [null]"] {
        assert!(parse("a.yaml", &format!("{head}spec:\n  {wrong}\n")).is_err(), "{wrong}");
    }
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, uid: , labels: , annotations: {b: }}\nspec: {hostNetwork: , \
               containers: [{ports: , restartPolicy: }], initContainers: }\nstatus: {phase: , podIP: , podIPs: }\n";
    assert!(parse("a.yaml", pod).is_ok());
    assert!(parse("a.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\nstatus:\n").is_ok());
}

#[test]
fn a_list_is_its_objects_each_with_its_line() {
    let list = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems:\n\
                - apiVersion: v1\n  kind: Namespace\n  metadata: {name: a, labels: {x: \"1\"}}\n\
                - apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: p, namespace: a}\n\
                \u{20} spec:\n    ingress:\n    - ports: [{port: 80}]\n";
    let found = parse("a.yaml", list).unwrap();
    assert_eq!(found.iter().map(|o| (o.key.0, o.line)).collect::<Vec<_>>(), [("Namespace", 5), ("NetworkPolicy", 8)]);
    // What is written of one object alone means the same.
    for located in &found {
        assert_eq!(parse("b.yaml", &located.text).unwrap()[0].object, located.object);
    }
    let typed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n- metadata: {name: p}\n";
    assert_eq!(policies(typed), [Default::default()]);
    assert!(parse("a.yaml", "apiVersion: v1\nkind: List\nitems:\n").unwrap().is_empty());
    for (wrong, line) in [
        ("apiVersion: v1\nkind: List\nitems:\n- 1\n", 4),
        ("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: []}\n", 4),
        (
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n",
            5,
        ),
        ("---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: A}}\n", 5),
    ] {
        assert_eq!(parse("a.yaml", wrong).unwrap_err().line, line, "{wrong}");
    }
}

/// A node that reads it lets it allow nothing instead: whoever wrote it must not keep others' files from being read.
#[test]
fn a_policy_over_the_limit_is_refused_with_its_line_where_people_check_it() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: big, namespace: a}\nspec:\n";
    let block = "      - {ipBlock: {cidr: 10.0.0.0/8}}\n";
    let text = |count: usize| format!("{head}  ingress:\n    - from:\n{}", block.repeat(count));
    assert_eq!(cofferdam_netpolicy_watch::parse("a.yaml", &text(9_999)).unwrap().len(), 1);
    let error = cofferdam_netpolicy_watch::parse("a.yaml", &text(10_000)).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("a.yaml", 4));
    assert!(error.reason.contains("10001 rules, peers, exceptions and ports are more than the 10000"), "{error}");
}
