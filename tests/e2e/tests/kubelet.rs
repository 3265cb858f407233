//! A real kubelet with the configuration as shipped: two static pods that name no handler, so their tenants decide.

use std::path::Path;

use anyhow::{Context as _, Result};
use cofferdam_e2e::{Kind, daemon};
use cofferdam_test_support::{Daemon, Kubelet, eventually, image, needs};

/// A web server with both kinds of probe, and a container that ends by itself.
fn pod(namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: site, namespace: {namespace}, labels: {{app: site}}}}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: web
    image: {web}
    ports: [{{name: http, containerPort: 80}}]
    livenessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
    readinessProbe: {{exec: {{command: [cat, /www/healthz]}}, periodSeconds: 1}}
    resources: {{requests: {{cpu: 50m, memory: 32Mi}}, limits: {{cpu: 500m, memory: 128Mi}}}}
  - name: batch
    image: {busybox}
    command: [sh, -c, 'echo round; sleep 3; exit 4']
    resources: {{requests: {{cpu: 50m, memory: 16Mi}}, limits: {{cpu: 200m, memory: 64Mi}}}}
",
        web = image("web"),
        busybox = image("busybox"),
    )
}

fn restarts(kubelet: &Kubelet, namespace: &str) -> Result<u64> {
    kubelet.container_status(namespace, "site", "batch")?["restartCount"].as_u64().context("no restartCount")
}

fn sandboxes(daemon: &Daemon) -> Result<Vec<(String, String)>> {
    let pods: serde_json::Value = serde_json::from_str(&daemon.cli(&["pods", "-o", "json"])?.ok()?)?;
    let text = |pod: &serde_json::Value, key: &str| pod[key].as_str().unwrap_or_default().to_owned();
    let pods = pods.as_array().context("not a list")?;
    let mut all: Vec<_> = pods.iter().map(|pod| (text(pod, "tenant"), text(pod, "sandbox"))).collect();
    all.sort();
    Ok(all)
}

#[needs(root)]
#[test]
fn kubelet_runs_a_vm_pod_and_a_namespace_pod_through_a_restart() -> Result<()> {
    let mut daemon = daemon("kubelet", Kind::Vm)?.prepare()?;
    daemon.cluster().tenant("acme", "sandbox: {minimum: vm, default: vm}")?;
    daemon.cluster().tenant("blue", "sandbox: {minimum: namespace}")?;
    for name in ["acme", "blue"] {
        daemon.cluster().namespace(name, Some(name))?;
    }
    daemon.start()?;
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/kubelet/config.yaml").canonicalize()?;
    let kubelet = Kubelet::start(&daemon, &config)?;
    // Its own: a mount of its directory over itself, and tables with hints for other programs.
    eventually("kubelet has settled", || Ok(daemon.snapshot()?.of("nft table").len() >= 6))?;
    let clean = daemon.snapshot()?;
    for namespace in ["acme", "blue"] {
        kubelet.write_pod(namespace, &pod(namespace))?;
    }
    for namespace in ["acme", "blue"] {
        let ready = || Ok(kubelet.container_status(namespace, "site", "web")?["ready"] == true);
        eventually(&format!("{namespace}/site is ready"), ready)?;
    }
    let kinds = [("acme", "vm"), ("blue", "namespace")].map(|(t, s)| (t.to_owned(), s.to_owned()));
    assert_eq!(sandboxes(&daemon)?, kinds);

    for namespace in ["acme", "blue"] {
        assert!(kubelet.exec(namespace, "site", "web", &["cat", "/www/index.html"])?.contains("cofferdam test page"));
        eventually("it is started again", || Ok(restarts(&kubelet, namespace)? >= 1))?;
        eventually("logs", || Ok(kubelet.logs(namespace, "site", "batch")?.contains("round")))?;
        let last = kubelet.container_status(namespace, "site", "batch")?["lastState"]["terminated"]["exitCode"].clone();
        assert_eq!(last, 4);
    }

    let before: Vec<u64> = ["acme", "blue"].iter().map(|n| restarts(&kubelet, n)).collect::<Result<_>>()?;
    let web = |namespace: &str| kubelet.container_status(namespace, "site", "web");
    let ids = [web("acme")?["containerID"].clone(), web("blue")?["containerID"].clone()];
    daemon.kill9_and_restart()?;
    for (namespace, before) in ["acme", "blue"].iter().zip(before) {
        eventually("the count goes on", || Ok(restarts(&kubelet, namespace)? > before))?;
    }
    assert_eq!([web("acme")?["containerID"].clone(), web("blue")?["containerID"].clone()], ids, "not started again");
    for namespace in ["acme", "blue"] {
        assert_eq!(web(namespace)?["restartCount"], 0);
        assert_eq!(web(namespace)?["ready"], true);
        kubelet.remove_pod(namespace)?;
    }
    eventually("all pods are removed", || Ok(sandboxes(&daemon)?.is_empty()))?;
    kubelet.stop()?;
    daemon.wait_clean(&clean)
}
