//! Bad input gets a clear error that says what and where, and leaves nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use cofferdam_e2e::{Kind, daemon, sleeper};
use cofferdam_test_support::{ContainerSpec, Daemon, PodSpec, copy_storage, corrupt_blob, eventually, image, needs};
use serde_json::{Value, json};

/// The error names all of these.
fn names(error: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(error.contains(part), "{part:?} is not in: {error}");
    }
    Ok(())
}

#[needs(root)]
#[test]
fn what_a_pod_cannot_have_is_refused_by_name_and_leaves_nothing() -> Result<()> {
    let daemon = daemon("refused", Kind::Vm)?.start()?;
    let crictl = daemon.crictl();
    let clean = daemon.snapshot()?;
    let refused = |pod: PodSpec, parts: &[&str]| names(&crictl.try_run_pod(&pod)?.err()?, parts);
    let linux = |key: &'static str, value: Value| {
        PodSpec::new("default", "bad").with(move |config| config["linux"]["security_context"][key] = value)
    };
    refused(PodSpec::new("default", "bad").handler("wasm"), &["InvalidArgument", "wasm"])?;
    refused(linux("privileged", json!(true)), &["PermissionDenied", "privileged", "default"])?;
    refused(linux("namespace_options", json!({"network": 2, "pid": 1})), &["PermissionDenied", "hostNetwork"])?;
    let localhost = json!({"profile_type": 2, "localhost_ref": "x.json"});
    refused(linux("seccomp", localhost), &["InvalidArgument", "seccomp"])?;
    let ports = PodSpec::new("default", "bad")
        .with(|c| c["port_mappings"] = json!([{"container_port": 80, "host_port": 8080}]));
    refused(ports, &["InvalidArgument", "port_mappings[0].host_port"])?;
    let mapping = json!([{"container_id": 0, "host_id": 1_000_000, "length": 65536}]);
    let options = json!({"pid": 1, "userns_options": {"mode": 0, "uids": mapping, "gids": mapping}});
    refused(linux("namespace_options", options).handler("vm"), &["userns_options"])?;
    let sysctl = PodSpec::new("default", "bad").with(|c| c["linux"]["sysctls"] = json!({"kernel.panic": "1"}));
    refused(sysctl, &["kernel.panic"])?;
    daemon.wait_clean(&clean)
}

#[needs(root)]
#[test]
fn what_a_container_cannot_have_is_refused_by_name_and_leaves_nothing() -> Result<()> {
    let daemon = daemon("container", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    crictl.pull(&image("busybox"))?;
    let pod = PodSpec::new("default", "good");
    let sandbox = crictl.run_pod(&pod)?;
    let held = daemon.snapshot()?;
    let refused =
        |container: ContainerSpec, parts: &[&str]| names(&crictl.try_create(&sandbox, &container, &pod)?.err()?, parts);
    refused(ContainerSpec::new("bad", "127.0.0.1:5000/test/absent:latest"), &["absent"])?;
    refused(sleeper("bad").with(|c| c["CDI_devices"] = json!([{"name": "a/b=c"}])), &["CDI_devices"])?;
    let host_path = sleeper("bad").with(|c| c["mounts"] = json!([{"container_path": "/host", "host_path": "/etc"}]));
    refused(host_path, &["PermissionDenied", "/etc"])?;
    let image_volume =
        sleeper("bad").with(|c| c["mounts"] = json!([{"container_path": "/x", "image": {"image": "a"}}]));
    refused(image_volume, &["mounts[0].image"])?;
    let user = sleeper("bad").with(|c| c["linux"]["security_context"]["run_as_username"] = json!("nobody-at-all"));
    refused(user, &["nobody-at-all"])?;
    daemon.wait_clean(&held)?;
    // A command that is not there: the container is made, its start says so, and so does its status.
    let missing =
        crictl.create(&sandbox, &ContainerSpec::new("missing", &image("busybox")).command(&["/no/such"]), &pod)?;
    names(&crictl.run(&["start", &missing])?.err()?, &["/no/such"])?;
    let status = crictl.inspect(&missing)?["status"].clone();
    assert_eq!((&status["state"], &status["reason"]), (&json!("CONTAINER_EXITED"), &json!("StartError")));
    crictl.remove_pod(&sandbox)
}

#[needs(root)]
#[test]
fn images_that_are_missing_or_lie_are_refused_and_leave_nothing() -> Result<()> {
    let broken = std::env::temp_dir().join(format!("cofferdam-broken-{}", std::process::id()));
    copy_storage(&broken)?;
    corrupt_blob(&broken, &a_layer_only_of(&broken, "web")?)?;
    let checked = (|| {
        let daemon = Daemon::builder("lies").images(&broken).start()?;
        let crictl = daemon.crictl();
        names(&crictl.run(&["pull", "127.0.0.1:5000/test/absent:latest"])?.err()?, &["NotFound", "test/absent"])?;
        names(&crictl.run(&["pull", &image("web")])?.err()?, &["sha256:", "digest"])?;
        let images = crictl.json(&["images"])?;
        assert_eq!(images["images"].as_array().map(Vec::len), Some(0), "{images}");
        Ok(())
    })();
    fs::remove_dir_all(&broken)?;
    checked
}

/// The digest of a layer that busybox does not share.
fn a_layer_only_of(storage: &Path, name: &str) -> Result<String> {
    let digests = |image: &str| -> Result<BTreeSet<String>> {
        let dir = storage.join(format!("docker/registry/v2/repositories/test/{image}/_layers/sha256"));
        let entries = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    };
    let own = digests(name)?.difference(&digests("busybox")?).next().cloned();
    Ok(format!("sha256:{}", own.context("no layer of its own")?))
}

#[needs(root)]
#[test]
fn a_broken_object_keeps_the_last_good_version_and_is_named() -> Result<()> {
    let daemon = Daemon::builder("broken").start()?;
    daemon.cluster().tenant("acme", "sandbox: {minimum: namespace}")?;
    daemon.cluster().namespace("acme", Some("acme"))?;
    let crictl = daemon.crictl();
    let started = || crictl.run_pod(&PodSpec::new("acme", "good")).map(drop);
    eventually("the tenant is known", || Ok(started().is_ok()))?;
    daemon.cluster().write(
        "tenant-acme",
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec:\n  sandbox: {minimun: vm}\n",
    )?;
    let degraded = || -> Result<String> {
        let status: Value = serde_json::from_str(&daemon.cli(&["status", "-o", "json"])?.ok()?)?;
        Ok(status["degraded"].to_string())
    };
    eventually("status names it", || Ok(degraded()?.contains("tenant-acme.yaml:5")))?;
    names(&degraded()?, &["minimun"])?;
    started()
}

#[needs(root)]
#[test]
fn a_broken_object_at_the_start_blocks_pods_until_it_is_mended() -> Result<()> {
    let daemon = Daemon::builder("blocked").cluster("bad", "kind: Tenant\nmetadata: [\n").start()?;
    let crictl = daemon.crictl();
    let refused = crictl.try_run_pod(&PodSpec::new("default", "bad"))?.err()?;
    names(&refused, &["Unavailable", "bad.yaml"])?;
    let status = crictl.json(&["info"])?;
    let conditions = status["status"]["conditions"].to_string();
    names(&conditions, &["NetworkReady", "bad.yaml"])?;
    daemon.cluster().remove("bad")?;
    eventually("mended", || Ok(crictl.try_run_pod(&PodSpec::new("default", "good"))?.code == 0))
}

#[needs(root)]
#[test]
fn an_unknown_key_or_a_second_daemon_is_refused_at_the_start() -> Result<()> {
    let mut wrong = Daemon::builder("unknown-key").config("[network]\npod_cdirs = []\n").prepare()?;
    names(&wrong.start_and_fail()?.stderr, &["pod_cdirs", "00.toml"])?;
    let mut first = Daemon::builder("second").start()?;
    let second = first.cli(&[
        "serve",
        "--config",
        &first.config_file().display().to_string(),
        "--root",
        &first.root().display().to_string(),
        "--state",
        &first.state().display().to_string(),
    ])?;
    assert_ne!(second.code, 0);
    names(&second.stderr, &[&first.root().display().to_string()])?;
    assert!(first.term()?.success());
    Ok(())
}

#[needs(root)]
#[test]
fn a_vm_that_does_not_boot_says_so_and_leaves_nothing() -> Result<()> {
    let good = cofferdam_test_support::ensure_vm_image()?;
    let bad = std::env::temp_dir().join(format!("cofferdam-bad-vm-{}", std::process::id()));
    cofferdam_test_support::run("cp", ["-a", &good.display().to_string(), &bad.display().to_string()])?;
    let checked = (|| {
        // An initramfs of zeros: the kernel panics.
        for entry in fs::read_dir(bad.join("current"))?.flatten() {
            if entry.file_name().to_string_lossy().contains("initr") {
                fs::write(entry.path(), vec![0; usize::try_from(entry.metadata()?.len())?])?;
            }
        }
        let config = format!("[vm]\nimage_dir = \"{}\"\n", bad.display());
        let daemon = Daemon::builder("no-boot").config(&config).start()?;
        let clean = daemon.snapshot()?;
        let error = daemon.crictl().try_run_pod(&PodSpec::new("default", "dark").handler("vm"))?.err()?;
        names(&error, &["panic"])?;
        daemon.wait_clean(&clean)
    })();
    fs::remove_dir_all(&bad)?;
    checked
}

#[needs(root)]
#[test]
fn without_an_image_the_vm_handler_is_not_listed_and_names_the_command() -> Result<()> {
    let daemon = Daemon::builder("no-image").config("[vm]\nimage_dir = \"/nonexistent\"\n").start()?;
    let info = daemon.crictl().json(&["info"])?;
    let handlers: Vec<&str> =
        info["runtimeHandlers"].as_array().into_iter().flatten().filter_map(|h| h["name"].as_str()).collect();
    assert!(handlers.contains(&"namespace") && !handlers.contains(&"vm"), "{info}");
    let error = daemon.crictl().try_run_pod(&PodSpec::new("default", "dark").handler("vm"))?.err()?;
    names(&error, &["FailedPrecondition", "cofferdam vm-image build"])
}
