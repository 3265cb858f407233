//! A tenant's floor and its policies hold while the files that say so are being changed.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use anyhow::{Result, ensure};
use cofferdam_e2e::{Kind, Reach, daemon, reach, run, sleeper, web};
use cofferdam_test_support::{Daemon, PodSpec, eventually, namespace_yaml, needs, tenant_yaml};

/// Whether a namespace sandbox is refused to a pod of this namespace.
fn floor_holds(daemon: &Daemon, namespace: &str, name: &str) -> Result<bool> {
    let output = daemon.crictl().try_run_pod(&PodSpec::new(namespace, name).handler("namespace"))?;
    if output.code == 0 {
        daemon.crictl().remove_pod(output.stdout.trim())?;
        return Ok(false);
    }
    Ok(output.stderr.contains("PermissionDenied"))
}

/// The pod's start comes right after the file, before any event can have been heard.
#[needs(root)]
#[test]
fn a_namespace_written_just_before_its_first_pod_has_its_floor() -> Result<()> {
    let daemon = daemon("just-before", Kind::Namespace)?.start()?;
    for number in 0..10 {
        let name = format!("fresh-{number}");
        // Much else to read at the same time.
        for other in 0..40 {
            daemon.cluster().namespace(&format!("other-{number}-{other}"), None)?;
        }
        let both =
            format!("{}---\n{}", namespace_yaml(&name, Some(&name)), tenant_yaml(&name, "sandbox: {minimum: vm}"));
        daemon.cluster().write(&name, &both)?;
        ensure!(floor_holds(&daemon, &name, "first")?, "{name}: no floor");
    }
    Ok(())
}

#[needs(root)]
#[test]
fn a_file_that_is_truncated_moved_or_broken_leaves_the_floor() -> Result<()> {
    let mut daemon = daemon("changes", Kind::Namespace)?.prepare()?;
    daemon.cluster().tenant("acme", "sandbox: {minimum: vm}")?;
    daemon.cluster().namespace("acme", Some("acme"))?;
    daemon.start()?;
    let held = |daemon: &Daemon, when: &str| -> Result<()> {
        ensure!(floor_holds(daemon, "acme", "pod")?, "{when}: the floor is gone");
        Ok(())
    };
    held(&daemon, "at first")?;
    let file = daemon.cluster().path().join("namespace-acme.yaml");
    let text = fs::read_to_string(&file)?;
    // An editor that truncates and then writes, seen in the middle.
    let mut writer = OpenOptions::new().write(true).truncate(true).open(&file)?;
    held(&daemon, "truncated")?;
    writer.write_all(text.as_bytes().get(..text.len() / 2).unwrap_or_default())?;
    held(&daemon, "half written")?;
    writer.write_all(text.as_bytes().get(text.len() / 2..).unwrap_or_default())?;
    drop(writer);
    held(&daemon, "written")?;
    // The directory moved away and back.
    let away = daemon.dir().join("away");
    fs::rename(daemon.cluster().path(), &away)?;
    held(&daemon, "moved away")?;
    daemon.kill9_and_restart()?;
    held(&daemon, "moved away, and the daemon restarted")?;
    fs::rename(&away, daemon.cluster().path())?;
    held(&daemon, "moved back")?;
    // A file that says nothing, across a restart.
    daemon.cluster().write("tenant-acme", "kind: Tenant\nmetadata: {name: acme\n")?;
    held(&daemon, "broken")?;
    daemon.kill9_and_restart()?;
    held(&daemon, "broken, and the daemon restarted")
}

/// What is new and broken does not cut those who run.
#[needs(root)]
#[test]
fn a_new_file_that_is_broken_and_a_restart_cut_nobody() -> Result<()> {
    let mut daemon = daemon("broken", Kind::Namespace)?.prepare()?;
    daemon.cluster().tenant("acme", "network: {isolation: Strict}")?;
    daemon.cluster().namespace("acme", Some("acme"))?;
    daemon.start()?;
    let server = run(&daemon, PodSpec::new("acme", "server"), &web("main"))?;
    let client = run(&daemon, PodSpec::new("acme", "client"), &sleeper("main"))?;
    let to = server.ip(&daemon)?;
    eventually("the pair talks", || Ok(reach(&daemon, &client, &to, 80)? == Reach::Yes))?;
    daemon.cluster().write("new", "kind: NetworkPolicy\nmetadata: [\n")?;
    daemon.kill9_and_restart()?;
    eventually("the pair talks after the restart", || Ok(reach(&daemon, &client, &to, 80)? == Reach::Yes))?;
    let status = daemon.cli(&["status"])?;
    ensure!(status.stdout.contains("new.yaml"), "status does not name the file: {}", status.stdout);
    Ok(())
}
