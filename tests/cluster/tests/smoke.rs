//! The cluster comes up, runs what clusters run, and leaves nothing.

use anyhow::{Context as _, Result};
use cofferdam_cluster_tests::Cluster;
use cofferdam_test_support::{eventually, needs};

/// A web server behind a Service, and a pod that asks it.
const SITE: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: registry.k8s.io/e2e-test-images/agnhost:2.66.1
        args: [netexec]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1, timeoutSeconds: 20}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 8000, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.k8s.io/e2e-test-images/busybox:1.37.0-2
    command: [sh, -c, 'echo the client has started; exec sleep 100000']
";

#[needs(root)]
#[test]
fn a_deployment_answers_by_its_services_name() -> Result<()> {
    let cluster = Cluster::start("smoke")?;
    cluster.start_dns()?;
    let kubectl = cluster.kubectl();
    kubectl.apply("site", SITE)?;
    kubectl.wait_condition(&["deployment", "web", "--namespace=shop"], "Available")?;
    kubectl.wait_condition(&["pod", "client", "--namespace=shop"], "Ready")?;

    let fetch = ["exec", "--namespace=shop", "client", "--", "timeout", "5", "wget", "-q", "-O", "-"];
    // The Service's rules and its name follow the ready pods a moment later.
    eventually("the Service answers by name", || {
        let name = kubectl.run(&[&fetch[..], &["http://web.shop.svc.cluster.local:8000/hostname"]].concat())?;
        Ok(name.starts_with("web-"))
    })?;
    let peer = kubectl.run(&[&fetch[..], &["http://web:8000/clientip"]].concat())?;
    let client = kubectl.get(&["pod", "client", "--namespace=shop"])?;
    let address = client["status"]["podIP"].as_str().context("the client has no address")?;
    assert!(peer.starts_with(&format!("{address}:")), "{peer} is not from {address}");
    assert_eq!(kubectl.run(&["logs", "--namespace=shop", "client"])?, "the client has started\n");
    let failed = kubectl.output(&["exec", "--namespace=shop", "client", "--", "sh", "-c", "exit 7"])?;
    assert_eq!(failed.code, 7);

    kubectl.run(&["delete", "namespace", "shop", "--timeout=110s"])?;
    cluster.stop()
}
