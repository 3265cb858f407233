//! What a sandbox does while it lives.

use std::fs;

use cofferdam_sandbox::{
    Attachment, ContainerState, ExecSpec, NamespaceMode, NetworkAttachment, Sandbox, SandboxError, SandboxFactory,
};
use cofferdam_test_support::{cgroup_dirs, needs, process_exists};
use tokio::io::AsyncReadExt;

use crate::bed::{Bed, SHIM, exit_of, memory};

async fn exec(node: &Bed, sandbox: &dyn Sandbox, container: &str, script: &str) -> (i32, String) {
    let mut process = node.container(sandbox.spec(), script).oci.process().clone().unwrap();
    process.set_terminal(Some(false));
    let spec = ExecSpec { container: container.into(), id: "e".into(), process, stdin: false };
    let mut streams = sandbox.pod().exec(&spec, true, true).await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    (streams.exit.await.unwrap().unwrap(), text)
}

#[needs(root)]
#[tokio::test]
async fn a_container_runs_logs_and_exits() {
    let node = Bed::new();
    let spec = node.spec();
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let netns = spec.dir.join("netns");
    assert_eq!(sandbox.attachment(), Attachment::Link(NetworkAttachment::Netns(netns.clone())));
    assert_eq!(sandbox.record().netns, Some(netns.clone()));
    assert!(fs::read_to_string("/proc/self/mountinfo").unwrap().contains(netns.to_str().unwrap()), "it is pinned");
    sandbox.start(None).await.unwrap();
    let mut events = sandbox.pod().events();
    let (short, _) = node.run(&*sandbox, "echo hello; hostname; echo oops >&2; exit 7").await;
    assert_eq!(exit_of(&mut events, &short).await.code, 7);
    let log = fs::read_to_string(node.log(&short)).unwrap();
    for line in ["stdout F hello", "stdout F web", "stderr F oops"] {
        assert!(log.contains(line), "{line} in {log}");
    }
    let (long, _) = node.run(&*sandbox, "sleep 1000").await;
    assert_eq!(exec(&node, &*sandbox, &long, "echo in; exit 3").await, (3, "in\n".into()));
    sandbox.pod().delete(&short).await.unwrap();
    let left: Vec<_> =
        sandbox.pod().list().await.unwrap().into_iter().map(|status| (status.id, status.state)).collect();
    assert_eq!(left, [(long, ContainerState::Running)]);
    sandbox.stop().await.unwrap();
    sandbox.stop().await.unwrap();
    for _ in 0..2 {
        factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    }
    node.assert_clean(&spec);
}

/// Descriptors of a shim that no pod accounts for.
fn strange_descriptors(shim: u32, dir: &std::path::Path) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{shim}/fd")).unwrap().flatten();
    let links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    let known = |link: &std::path::Path| {
        let text = link.to_string_lossy();
        let kinds = ["socket:", "anon_inode:", "net:[", "ipc:[", "uts:["];
        kinds.iter().any(|kind| text.starts_with(kind)) || text == "/dev/null" || link.starts_with(dir)
    };
    links.filter(|link| !known(link)).map(|link| link.display().to_string()).collect()
}

/// A daemon may have been started with any number of them, and all shims outlive it.
#[needs(root)]
#[tokio::test]
async fn a_shim_has_no_descriptor_but_its_own() {
    let node = Bed::new();
    let spec = node.spec();
    let factory = node.factory();
    let leak = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let sandbox = factory.create(&spec).await.unwrap();
    sandbox.start(None).await.unwrap();
    drop(leak);
    assert_eq!(strange_descriptors(sandbox.record().shim.pid, &spec.dir), [""; 0]);
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    node.assert_clean(&spec);
}

#[needs(root)]
#[tokio::test]
async fn the_shim_stays_outside_and_a_container_that_may_trace_cannot_see_it() {
    let node = Bed::new();
    let mut spec = node.spec();
    spec.namespaces.pid = NamespaceMode::Pod;
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let shim = sandbox.record().shim.pid;
    for kind in ["pid", "mnt", "user", "net", "ipc", "uts", "cgroup"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{kind}")).unwrap();
        assert_eq!(of(&shim.to_string()), of("self"), "{kind}");
    }
    let cgroups = fs::read_to_string(format!("/proc/{shim}/cgroup")).unwrap();
    let outside = cgroups.lines().filter(|line| !line.starts_with("0:")).all(|line| line.ends_with(&spec.shim_cgroup));
    assert!(outside, "{cgroups}");
    assert!(fs::metadata(format!("/proc/{shim}/exe")).is_ok(), "root still can look");
    let mut events = sandbox.pod().events();
    let (id, _) = node.run(&*sandbox, "for p in /proc/[0-9]*; do readlink $p/exe; done").await;
    assert_eq!(exit_of(&mut events, &id).await.code, 0);
    let log = fs::read_to_string(node.log(&id)).unwrap();
    // The init of its PID namespace is all that it sees: no process of the host's.
    assert!(log.contains("/bin/busybox") && log.matches("memfd").count() == 1, "{log}");
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    node.assert_clean(&spec);
}

#[needs(root)]
#[tokio::test]
async fn what_kubelet_made_and_what_the_next_attempt_runs_is_left_alone() {
    let node = Bed::new();
    let (mut first, mut second) = (node.spec(), node.spec());
    let shared = format!("{}/kubepods/podX", node.node.cgroup());
    cofferdam_pod_client::cgroup::make(&shared).unwrap();
    first.cgroup.clone_from(&shared);
    second.cgroup.clone_from(&shared);
    for spec in [&mut first, &mut second] {
        spec.namespaces.pid = NamespaceMode::Pod;
    }
    let factory = node.factory();
    let old = factory.create(&first).await.unwrap();
    let new = factory.create(&second).await.unwrap();
    node.run(&*old, "sleep 1000").await;
    let (_, kept) = node.run(&*new, "sleep 1000").await;
    old.stop().await.unwrap();
    factory.remove_leftovers(&first, Some(&old.record())).await.unwrap();
    assert!(process_exists(kept) && new.pod().list().await.unwrap().len() == 1);
    new.resize(Some(1.0), Some(1 << 30)).await.unwrap();
    new.stop().await.unwrap();
    factory.remove_leftovers(&second, Some(&new.record())).await.unwrap();
    assert!(!process_exists(kept) && !cgroup_dirs(&shared).unwrap().is_empty(), "the pod's cgroup is kubelet's");
}

#[needs(root)]
#[tokio::test]
async fn limits_of_a_cgroup_of_our_own_are_applied() {
    let node = Bed::new();
    let spec = node.spec();
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    sandbox.resize(Some(0.5), Some(64 << 20)).await.unwrap();
    let read = |names: [&str; 2]| {
        let files = cgroup_dirs(&spec.cgroup).unwrap().into_iter().flat_map(|dir| names.map(|name| dir.join(name)));
        files.filter_map(|file| fs::read_to_string(file).ok()).next().unwrap().trim().to_owned()
    };
    assert_eq!(read(["memory.limit_in_bytes", "memory.max"]), (64 << 20).to_string());
    assert!(read(["cpu.cfs_quota_us", "cpu.max"]).starts_with("50000"));
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, None).await.unwrap();
    node.assert_clean(&spec);
}

#[needs(root)]
#[tokio::test]
async fn a_cgroup_outside_of_the_pods_is_refused() {
    let node = Bed::new();
    let spec = node.spec();
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let other = node.container(&node.spec(), "true");
    let refusal = sandbox.check_container(&other).unwrap_err();
    assert!(matches!(&refusal, SandboxError::Unsupported { field, .. } if field == "linux.cgroups_path"), "{refusal}");
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, None).await.unwrap();
}

#[needs(root)]
#[tokio::test]
async fn an_idle_shim_with_one_container_is_small() {
    let node = Bed::new();
    let mut spec = node.spec();
    // As large as a real one.
    spec.init_seccomp = [0x06u8, 0, 0, 0, 0, 0, 0xff, 0x7f].repeat(500);
    let factory = node.factory();
    let sandbox = factory.create(&spec).await.unwrap();
    let (id, _) = node.run(&*sandbox, "sleep 1000").await;
    exec(&node, &*sandbox, &id, "echo in").await;
    let shim = sandbox.record().shim.pid;
    // The binary's own pages are one memfd's, shared by all shims.
    let private = memory(shim, "Anonymous");
    println!("shim: {private} KiB of its own");
    // The goal is that of the released one, which is static, not relocated and optimised for size.
    let most = if std::env::var_os(SHIM).is_some() { 150 } else { 2048 };
    assert!(private <= most, "{private} KiB, {most} are allowed");
    sandbox.stop().await.unwrap();
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
}
