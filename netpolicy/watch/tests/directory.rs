//! The directory source, as files come, change and break.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_netpolicy::{PolicySnapshot, PolicySource};
use cofferdam_netpolicy_watch::edit::{self, EditError, Outcome};
use cofferdam_netpolicy_watch::{DirectorySource, PolicyKinds, SourceConfig, parse};
use cofferdam_tenant_source::Loader;
use tokio::sync::watch;

const ACME: &str =
    "apiVersion: cofferdam.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n  sandbox: {minimum: vm}\n";
const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {cofferdam.dev/tenant: acme}}\n";
const POLICY: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - podSelector: {matchLabels: {role: client}}
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
      ports: [{port: 80}, {port: http, protocol: TCP}, {port: 100, endPort: 200, protocol: UDP}]
";

fn loaded(files: &[(&str, &str)]) -> PolicySnapshot {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    Loader::<PolicyKinds>::new(dir.path(), SourceConfig::default()).load()
}

async fn until(seen: &mut watch::Receiver<Arc<PolicySnapshot>>, what: impl FnMut(&Arc<PolicySnapshot>) -> bool) {
    tokio::time::timeout(Duration::from_secs(180), seen.wait_for(what)).await.unwrap().unwrap();
}

#[test]
fn objects_of_all_kinds_in_many_documents_are_read() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: far, namespace: shop, labels: {role: client}}\n\
               spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]}\n\
               status: {phase: Running, podIPs: [{ip: 10.9.0.4}]}\n";
    let all = loaded(&[("a.yaml", &format!("{ACME}---\n{SHOP}---\n# nothing\n---\n{POLICY}---\n{pod}"))]);
    assert_eq!(all.facts.blocked, None);
    assert!(all.facts.tenants.contains_key("acme") && all.facts.tenants.contains_key("system"));
    assert_eq!(all.facts.tenant_of("shop"), Some("acme"));
    assert_eq!((all.policies.len(), all.facts.pods.len()), (1, 1));
    assert_eq!(all.facts.pods[0].ports[0].container_port, 8080);
}

#[test]
fn a_pod_as_the_api_writes_it_is_read_with_its_sidecars() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web-x1, generateName: web-, namespace: shop, uid: u1,\n  \
               creationTimestamp: null, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30}\n\
               spec:\n  containers: [{name: c, image: x}]\n  initContainers:\n  - {name: once, ports: [{name: a, containerPort: 1}]}\n  \
               - {name: side, restartPolicy: Always, ports: [{name: b, containerPort: 2, hostPort: 3}]}\n\
               status: {phase: Running, podIP: 10.9.0.4, podIPs: [{ip: 10.9.0.4}, {ip: 'fd00::4'}]}\n";
    let all = loaded(&[("a.yaml", pod)]);
    assert_eq!(all.facts.blocked, None);
    let pod = &all.facts.pods[0];
    assert_eq!(pod.ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!((pod.addresses.len(), pod.finished, pod.uid.as_str()), (2, false, "u1"));
}

#[test]
fn a_missing_directory_is_empty_and_other_files_are_passed_over() {
    let none = Loader::<PolicyKinds>::new("/nonexistent/cluster.d", SourceConfig::default()).load();
    assert!(none.facts.blocked.is_none() && none.facts.complete);
    let some = loaded(&[("README.md", "hello"), (".x.yaml", "{"), ("a.yaml", SHOP)]);
    assert_eq!(some.facts.ignored_files, [".x.yaml", "README.md"]);
    assert_eq!(some.facts.blocked, None);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let tenant = |spec: &str| format!("{ACME}  {spec}\n");
    for (text, line, reason) in [
        (tenant("quota: {pods: 3}"), 6, "not supported yet"),
        (tenant("images: {allow: []}"), 6, "not supported yet"),
        (tenant("userNamespace: Required"), 6, "not supported yet"),
        (tenant("sandbx: {}"), 6, "sandbx"),
        (ACME.replace("acme", "system"), 3, "config"),
        (ACME.replace("acme", "'*'"), 3, "DNS name"),
        (SHOP.replace("name: shop", "name: Shop"), 3, "DNS name"),
        (SHOP.replace("name: shop", "name: ''"), 3, "DNS name"),
        (POLICY.replace("namespace: shop", "namespace: ../x"), 3, "DNS name"),
        (POLICY.replace("port: 80}", "port: '80'}"), 10, "no name of a port"),
        (POLICY.replace("port: 80}", "port: 0}"), 10, "0 is no port"),
        (POLICY.replace("endPort: 200", "endPort: 99"), 10, "below port"),
        (POLICY.replace("port: http,", "port: http, endPort: 9,"), 10, "needs a port number"),
        (POLICY.replace("  ingress:", "  ingres:"), 6, "ingres"),
        (POLICY.replace("except:", "excpt:"), 9, "excpt"),
        (POLICY.replace("apiVersion: networking.k8s.io/v1", "apiVersion: networking.k8s.io/v2"), 2, "not an object"),
        (SHOP.replace("kind: Namespace", "kind: Namespace\nkind: Tenant"), 3, "kind"),
        (tenant("vm: {memory: '0'}"), 6, "spec.vm.memory"),
        (tenant("network: {allowTo: [{cidr: 10.0.0.0/99}]}"), 6, ""),
        (tenant("network: {allowTo: [{node: other}]}"), 6, "other"),
        (POLICY.replace("podSelector: {matchLabels: {app", "podSelectr: {matchLabels: {app"), 5, "podSelectr"),
        (POLICY.replace("10.1.0.0/16", "11.1.0.0/16"), 9, "except"),
        (format!("{SHOP}---\n{SHOP}"), 5, "already in line 1"),
        (
            format!("{SHOP}---\napiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n"),
            6,
            "not supported yet",
        ),
        (format!("{SHOP}---\napiVersion: v1\nkind: Secret\n"), 6, "Secret"),
        ("a: [".into(), 1, ""),
    ] {
        let error = parse("f.yaml", &text).unwrap_err();
        assert!(error.reason.contains(reason), "{error}");
        assert_eq!(error.line, line, "{error}");
    }
}

#[test]
fn a_broken_file_keeps_its_last_good_version_and_blocks_when_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.yaml");
    fs::write(&file, "kind: [").unwrap();
    let mut loader = Loader::<PolicyKinds>::new(dir.path(), SourceConfig::default());
    assert!(loader.load().facts.blocked.unwrap().contains("a.yaml:1"));
    fs::write(&file, SHOP).unwrap();
    assert_eq!(loader.load().facts.blocked, None);
    fs::write(&file, "kind: [").unwrap();
    let kept = loader.load();
    assert_eq!(kept.facts.blocked, None);
    assert!(kept.facts.namespaces.contains_key("shop") && kept.facts.warnings[0].contains("a.yaml:1"));
    fs::remove_file(&file).unwrap();
    assert!(loader.load().facts.namespaces.is_empty());
}

#[tokio::test]
async fn changes_are_seen_even_when_the_directory_comes_later() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("deep/cluster.d");
    let source = DirectorySource::start(&dir, None, SourceConfig::default()).unwrap();
    let mut seen = source.snapshots();
    for _ in 0..3 {
        edit::apply(&dir, "-", &format!("{SHOP}---\n{POLICY}")).unwrap();
        until(&mut seen, |s| s.policies.len() == 1 && s.facts.namespaces.len() == 1).await;
        edit::delete(&dir, "-", POLICY).unwrap();
        until(&mut seen, |s| s.policies.is_empty() && s.facts.namespaces.len() == 1).await;
        for entry in fs::read_dir(&dir).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        until(&mut seen, |s| s.facts.namespaces.is_empty()).await;
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn apply_writes_all_or_nothing_and_says_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let outcomes = |yaml: &str| -> Vec<Outcome> {
        edit::apply(dir.path(), "in.yaml", yaml).unwrap().into_iter().map(|e| e.outcome).collect()
    };
    assert!(matches!(edit::apply(dir.path(), "in.yaml", &format!("{SHOP}---\nkind: x\n")), Err(EditError::Input(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(outcomes(&format!("{ACME}---\n{SHOP}")), [Outcome::Created, Outcome::Created]);
    assert_eq!(
        outcomes(&format!("{ACME}---\n{}", SHOP.replace("acme", "blue"))),
        [Outcome::Unchanged, Outcome::Changed]
    );
    let deleted = edit::delete(dir.path(), "in.yaml", &format!("{SHOP}---\n{POLICY}")).unwrap();
    assert_eq!(deleted.iter().map(|e| e.outcome).collect::<Vec<_>>(), [Outcome::Deleted, Outcome::Absent]);
}

#[test]
fn an_object_among_others_in_one_file_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("all.yaml"), format!("{ACME}---\n{SHOP}")).unwrap();
    assert!(matches!(edit::apply(dir.path(), "in.yaml", ACME), Err(EditError::Elsewhere { .. })));
}

#[tokio::test]
async fn a_refresh_shows_what_was_written_before_it_and_a_new_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let source = DirectorySource::start(dir.path(), None, SourceConfig::default()).unwrap();
    for round in 0..20 {
        let name = format!("n{round}");
        fs::write(dir.path().join(format!("{name}.yaml")), SHOP.replace("shop", &name)).unwrap();
        source.refresher().refresh().await;
        assert!(source.snapshots().borrow().facts.namespaces.contains_key(&name), "{name}");
    }
    edit::delete(dir.path(), "-", &SHOP.replace("shop", "n3")).unwrap();
    source.refresher().refresh_after_removal().await;
    assert!(!source.snapshots().borrow().facts.namespaces.contains_key("n3"));
    source.set_config(SourceConfig { refuse_unlabelled: true, ..Default::default() });
    source.refresher().refresh().await;
    assert!(source.snapshots().borrow().facts.refuse_unlabelled);
}
