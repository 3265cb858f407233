//! What the daemon keeps is for root only, and what a pod may write of it has a bound.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{PodSpec, eventually, needs};

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777)
}

/// Everything below the pods' directories that others could read or enter, were STATE open.
fn private(daemon: &cofferdam_test_support::Daemon) -> Result<()> {
    for dir in [daemon.root(), daemon.state(), daemon.state().join("pods")] {
        assert_eq!(mode(&dir)?, 0o700, "{}", dir.display());
    }
    for file in [daemon.root().join("state.redb"), daemon.state().join("cluster-objects"), daemon.socket()] {
        assert_eq!(mode(&file)?, 0o600, "{}", file.display());
    }
    Ok(())
}

fn files_of_etc_are_bounded(kind: Kind) -> Result<()> {
    let daemon = daemon("etc", kind)?.start()?;
    let before = daemon.snapshot()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "etc"), &sleeper("writes"))?;
    private(&daemon)?;
    let sh = |script: &str| crictl.exec(&pod.container, &["sh", "-c", script]);
    sh("echo nameserver 192.0.2.1 >> /etc/resolv.conf")?;
    assert!(sh("cat /etc/resolv.conf")?.contains("192.0.2.1"), "a pod may write its own");
    sh("echo 192.0.2.9 db >> /etc/hosts; echo other > /etc/hostname")?;
    let written = "for f in resolv.conf hosts hostname; do dd if=/dev/zero of=/etc/$f bs=64k count=64 2>/dev/null; done; \
                   cat /etc/resolv.conf /etc/hosts /etc/hostname | wc -c";
    let written: u64 = sh(written)?.trim().parse()?;
    assert!(written <= 256 * 1024, "{written} bytes of the node's /run");
    crictl.remove_pod(&pod.sandbox)?;
    daemon.wait_clean(&before)
}

#[needs(root)]
#[test]
fn a_pod_writes_its_resolv_conf_and_cannot_fill_the_nodes_memory_with_it() -> Result<()> {
    files_of_etc_are_bounded(Kind::Namespace)
}

#[needs(root)]
#[test]
fn a_pod_in_a_vm_cannot_either() -> Result<()> {
    files_of_etc_are_bounded(Kind::Vm)
}

#[needs(root)]
#[test]
fn modes_do_not_depend_on_the_umask_of_the_daemon() -> Result<()> {
    for mask in [0, 0o077] {
        // One process a test; the daemon inherits it.
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
        let daemon = daemon("umask", Kind::Namespace)?.start()?;
        let sandbox = daemon.crictl().run_pod(&PodSpec::new("default", "any"))?;
        private(&daemon)?;
        let pod = daemon.state().join("pods").join(sandbox);
        assert_eq!(mode(&pod)?, 0o700);
        for name in ["resolv.conf", "hosts", "hostname"] {
            assert_eq!(mode(&pod.join("etc").join(name))?, 0o644, "every user of a container reads {name}");
        }
        rustix::process::umask(before);
    }
    Ok(())
}

#[needs(root)]
#[test]
fn a_pod_that_is_run_right_after_its_namespaces_file_meets_the_floor() -> Result<()> {
    let daemon = daemon("floor", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    daemon.cluster().tenant("acme", "sandbox: {minimum: vm}")?;
    for round in 0..5 {
        let name = format!("strict-{round}");
        daemon.cluster().namespace(&name, Some("acme"))?;
        let pod = PodSpec::new(&name, "lax").handler("namespace");
        let refused = crictl.try_run_pod(&pod)?.err()?;
        assert!(refused.contains("PermissionDenied"), "round {round}: {refused}");
    }
    // A file that is not whole could hold anybody's namespace.
    fs::write(daemon.cluster().path().join("broken.yaml"), "kind: [")?;
    let refused = crictl.try_run_pod(&PodSpec::new("never-seen", "x").handler("namespace"))?.err()?;
    assert!(refused.contains("Unavailable") && refused.contains("broken.yaml"), "{refused}");
    fs::remove_file(daemon.cluster().path().join("broken.yaml"))?;
    eventually("what is read is believed", || {
        Ok(crictl.try_run_pod(&PodSpec::new("never-seen", "y").handler("namespace"))?.code == 0)
    })
}
