//! The command line, against a running daemon.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use cofferdam_e2e::{Kind, daemon};
use cofferdam_test_support::{Daemon, image, needs};
use serde_json::Value;

fn json(daemon: &Daemon, args: &[&str]) -> Result<Value> {
    let text = daemon.cli(&[args, &["-o", "json"]].concat())?.ok()?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

fn objects(image: &str) -> String {
    format!(
        "apiVersion: cofferdam.dev/v1alpha1
kind: Tenant
metadata: {{name: green}}
spec: {{sandbox: {{minimum: namespace}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{cofferdam.dev/tenant: green}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: till, namespace: shop, labels: {{app: till}}}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: {image}
    command: [sh, -c, 'echo open; sleep 1000']
    env: [{{name: GREETING, value: hello}}]
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, emptyDir: {{}}}}]
"
    )
}

#[needs(root)]
#[test]
fn objects_are_applied_looked_at_and_deleted_without_a_trace() -> Result<()> {
    let daemon = Daemon::builder("cli").start()?;
    let clean = daemon.snapshot()?;
    let file = daemon.dir().join("shop.yaml");
    fs::write(&file, objects(&image("busybox")))?;
    let file = file.display().to_string();
    daemon.cli(&["apply", "-f", &file])?.ok()?;
    assert!(daemon.cli(&["apply", "-f", &file])?.ok()?.contains("unchanged"));

    let pods = json(&daemon, &["pods"])?;
    let pod = &pods[0];
    let seen = ["namespace", "name", "tenant", "sandbox"].map(|key| pod[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(seen, ["shop", "till", "green", "namespace"], "{pods}");
    assert!(pod["shimPid"].as_u64().is_some_and(|pid| pid > 1) && pod["vmmPid"].is_null(), "{pods}");
    assert!(Path::new(pod["netns"].as_str().unwrap_or_default()).exists(), "{pods}");

    let exec = |script: &str| daemon.cli(&["exec", "shop/till", "--", "sh", "-c", script]);
    assert_eq!(exec("echo $GREETING >/data/x; cat /data/x")?.ok()?, "hello\n");
    assert_eq!(exec("exit 7")?.code, 7);
    assert!(daemon.cli(&["logs", "shop/till"])?.ok()?.contains("open"));
    assert!(json(&daemon, &["tenants"])?.to_string().contains("\"green\""));
    assert!(daemon.cli(&["policy", "show"])?.ok()?.contains("cofferdam"));
    assert!(json(&daemon, &["image", "list"])?.to_string().contains("test/busybox"));

    daemon.cli(&["delete", "-f", &file])?.ok()?;
    daemon.cli(&["delete", "-f", &file])?.ok()?;
    assert_eq!(json(&daemon, &["pods"])?, Value::Array(Vec::new()));
    daemon.wait_clean(&clean)
}

#[needs(root)]
#[test]
fn a_bad_file_is_refused_whole_with_line_and_reason() -> Result<()> {
    let daemon = Daemon::builder("cli-bad").start()?;
    let before = daemon.snapshot()?;
    let file = daemon.dir().join("bad.yaml");
    for (good, bad, line, word) in [
        ("sandbox: {minimum: namespace}", "sandbox: {minimum: fort}", 4, "fort"),
        ("    command:", "    livenessProbe: {}\n    command:", 18, "livenessProbe"),
        ("kind: Namespace", "kind: Deployment", 7, "Deployment"),
    ] {
        fs::write(&file, objects(&image("busybox")).replace(good, bad))?;
        let error = daemon.cli(&["apply", "-f", &file.display().to_string()])?.err()?;
        let place = format!("bad.yaml:{line}");
        assert!(error.contains(&place) && error.contains(word), "{place}, {word}: {error}");
    }
    assert_eq!(json(&daemon, &["pods"])?, Value::Array(Vec::new()));
    assert_eq!(fs::read_dir(daemon.cluster().path())?.count(), 0);
    daemon.wait_clean(&before)
}

#[needs(root)]
#[test]
fn the_shipped_example_runs() -> Result<()> {
    let daemon = daemon("example", Kind::Vm)?.start()?;
    let clean = daemon.snapshot()?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/examples/two-tenants").canonicalize()?;
    let example = example.display().to_string();
    daemon.cli(&["apply", "-f", &example])?.ok()?;
    let pods = json(&daemon, &["pods"])?;
    for pod in pods.as_array().into_iter().flatten() {
        let vm = pod["tenant"] == "acme";
        assert_eq!(pod["sandbox"], if vm { "vm" } else { "namespace" }, "{pod}");
        assert_eq!(pod["vmmPid"].is_u64() && pod["virtiofsdPid"].is_u64(), vm, "{pod}");
    }
    let host = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    for (pod, own_kernel) in [("acme/web", true), ("blue/web", false)] {
        let release = daemon.cli(&["exec", pod, "--", "uname", "-r"])?.ok()?;
        assert_eq!(release != host, own_kernel, "{pod}: {release}");
    }
    daemon.cli(&["delete", "-f", &example])?.ok()?;
    daemon.wait_clean(&clean)
}
