//! VM sandboxes with the real shim and the real agent.
// A test that unwraps fails with the line it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "pod/bed.rs"]
mod bed;

use std::fs;
use std::time::{Duration, Instant};

use bed::{Bed, exit_of, gone};
use cofferdam_pod_client::identity;
use cofferdam_sandbox::{Attachment, NetworkAttachment, Recovered, Sandbox, SandboxError, SandboxFactory};
use cofferdam_test_support::{PATIENCE, eventually_async, needs};
use cofferdam_vm::{Accel, VmConfig};
use rustix::process::{Pid, Signal, kill_process};

/// One after another: each VM takes a CPU for seconds.
#[needs(root)]
#[tokio::test]
async fn vm_sandboxes() {
    let node = Bed::new();
    its_shim_is_confined_and_has_no_descriptor_but_its_own(&node).await;
    a_container_runs_with_a_kernel_of_its_own(&node).await;
    volumes_are_seen_as_they_change(&node).await;
    a_restarted_daemon_finds_its_vm(&node).await;
    a_dead_vmm_is_a_dead_sandbox(&node).await;
    a_vm_that_does_nothing_more_is_stopped_all_the_same(&node).await;
    a_vm_that_does_not_boot_is_an_error_that_says_why(&node).await;
    what_is_missing_is_named(&node);
}

fn report(what: &str, since: Instant) {
    println!("{what}: {:?}", since.elapsed());
}

async fn up(node: &Bed) -> (std::sync::Arc<dyn Sandbox>, cofferdam_sandbox::SandboxSpec) {
    let spec = node.spec();
    let start = Instant::now();
    let sandbox = node.factory(node.config()).create(&spec).await.unwrap();
    assert_eq!(sandbox.attachment(), Attachment::Link(NetworkAttachment::Tap));
    sandbox.start(None).await.unwrap();
    report("boot to a set-up agent", start);
    (sandbox, spec)
}

async fn down(node: &Bed, sandbox: &dyn Sandbox) {
    let factory = node.factory(node.config());
    let start = Instant::now();
    sandbox.stop().await.unwrap();
    sandbox.stop().await.unwrap();
    report("stop", start);
    for _ in 0..2 {
        factory.remove_leftovers(sandbox.spec(), Some(&sandbox.record())).await.unwrap();
    }
    node.assert_clean(sandbox.spec());
}

/// Descriptors of a shim that no pod accounts for.
fn strange_descriptors(shim: u32, dir: &std::path::Path) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{shim}/fd")).unwrap().flatten();
    let links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    let known = |link: &std::path::Path| {
        let text = link.to_string_lossy();
        let kinds = ["socket:", "anon_inode:"];
        kinds.iter().any(|kind| text.starts_with(kind)) || text == "/dev/null" || link.starts_with(dir)
    };
    links.filter(|link| !known(link)).map(|link| link.display().to_string()).collect()
}

async fn its_shim_is_confined_and_has_no_descriptor_but_its_own(node: &Bed) {
    let leak = fs::File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let (sandbox, spec) = up(node).await;
    drop(leak);
    let shim = sandbox.record().shim.pid;
    assert_eq!(strange_descriptors(shim, &spec.dir), [""; 0]);
    let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(status.contains(line), "{line} in {status}");
    }
    down(node, &*sandbox).await;
}

async fn a_container_runs_with_a_kernel_of_its_own(node: &Bed) {
    let (sandbox, _) = up(node).await;
    let mut events = sandbox.pod().events();
    let start = Instant::now();
    let container =
        node.run(&*sandbox, "echo hello; hostname; uname -r; cat /proc/meminfo; echo oops >&2; exit 7", &[]).await;
    assert_eq!(exit_of(&mut events, &container).await.code, 7);
    report("a container from create to exit", start);
    let log = fs::read_to_string(node.log(&container)).unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    for line in ["stdout F hello", "stdout F web", "stderr F oops", "-cloud-amd64"] {
        assert!(log.contains(line), "{line:?} is not in {log}");
    }
    assert!(!log.contains(host.trim()), "the host's kernel");
    sandbox.pod().delete(&container).await.unwrap();
    sandbox.release(&container).await.unwrap();
    sandbox.release(&container).await.unwrap();
    let record = sandbox.record();
    let shim = fs::read_to_string(format!("/proc/{}/status", record.shim.pid)).unwrap();
    assert!(shim.contains("CapEff:\t0000000000000000") && !shim.contains("Uid:\t0"), "{shim}");
    assert!(sandbox.resize(None, Some(8 << 30)).await.is_err() && sandbox.resize(Some(64.0), None).await.is_err());
    down(node, &*sandbox).await;
}

async fn volumes_are_seen_as_they_change(node: &Bed) {
    let (sandbox, _) = up(node).await;
    let volume = node.node.dir().join("volume");
    fs::create_dir_all(volume.join("..1")).unwrap();
    fs::write(volume.join("..1/key"), "first").unwrap();
    std::os::unix::fs::symlink("..1", volume.join("..data")).unwrap();
    fs::write(node.node.dir().join("hosts"), "the hosts").unwrap();
    let mut events = sandbox.pod().events();
    let script = "cat /etc/hosts; cat /v/..data/key; echo; touch /v/new || echo read-only; \
                  while ! grep -q second /v/..data/key; do sleep 0.1; done; echo; echo swapped";
    let mounts = [(volume.as_path(), "/v", "ro"), (&node.node.dir().join("hosts"), "/etc/hosts", "rw")];
    let container = node.run(&*sandbox, script, &mounts).await;
    let logged = async || fs::read_to_string(node.log(&container)).is_ok_and(|log| log.contains("first"));
    eventually_async("the container logs", logged).await.unwrap();
    // As kubelet replaces a config map.
    fs::create_dir_all(volume.join("..2")).unwrap();
    fs::write(volume.join("..2/key"), "second").unwrap();
    std::os::unix::fs::symlink("..2", volume.join("..new")).unwrap();
    fs::rename(volume.join("..new"), volume.join("..data")).unwrap();
    assert_eq!(exit_of(&mut events, &container).await.code, 0);
    let log = fs::read_to_string(node.log(&container)).unwrap();
    for line in ["the hosts", "first", "read-only", "swapped"] {
        assert!(log.contains(line), "{line:?} is not in {log}");
    }
    assert!(!volume.join("new").exists());
    down(node, &*sandbox).await;
}

async fn a_restarted_daemon_finds_its_vm(node: &Bed) {
    let (sandbox, spec) = up(node).await;
    let record = sandbox.record();
    drop(sandbox);
    let factory = node.factory(node.config());
    let Recovered::Live(sandbox) = factory.recover(&spec, Some(&record)).await.unwrap() else { panic!("it is dead") };
    assert_eq!(sandbox.record(), record);
    let mut events = sandbox.pod().events();
    let container = node.run(&*sandbox, "exit 3", &[]).await;
    assert_eq!(exit_of(&mut events, &container).await.code, 3);
    down(node, &*sandbox).await;
}

async fn a_dead_vmm_is_a_dead_sandbox(node: &Bed) {
    let (sandbox, spec) = up(node).await;
    let mut events = sandbox.pod().events();
    node.run(&*sandbox, "sleep 1000", &[]).await;
    let qemu = sandbox.record().vmm.unwrap().pid;
    kill_process(Pid::from_raw(qemu as i32).unwrap(), Signal::KILL).unwrap();
    let reason = gone(&mut events).await;
    assert!(reason.contains("QEMU"), "{reason}");
    let factory = node.factory(node.config());
    match factory.recover(&spec, Some(&sandbox.record())).await.unwrap() {
        Recovered::Dead { exits, .. } => assert!(exits.len() <= 1),
        Recovered::Live(_) => panic!("it lives"),
    }
    down(node, &*sandbox).await;
}

/// Takes everything from the guest by which it could answer.
const MUTE: &str = "cd /sys/bus/virtio/drivers/virtio_console && for port in virtio*; do echo $port > unbind; done";

async fn a_vm_that_does_nothing_more_is_stopped_all_the_same(node: &Bed) {
    let stop = |process: u32| kill_process(Pid::from_raw(process as i32).unwrap(), Signal::STOP).unwrap();
    for hung in ["QEMU", "virtiofsd", "shim", "guest"] {
        let (sandbox, _) = up(node).await;
        let container = node.run(&*sandbox, "sleep 1000", &[]).await;
        let record = sandbox.record();
        match hung {
            "QEMU" => stop(record.vmm.clone().unwrap().pid),
            "virtiofsd" => stop(record.virtiofsd.clone().unwrap().pid),
            "shim" => stop(record.shim.pid),
            _ => {
                let unbind = node.run_with_sysfs(&*sandbox, MUTE).await;
                // Only a guest that answers no more tells that it is done.
                let mute = async || {
                    let answer = tokio::time::timeout(Duration::from_secs(5), sandbox.pod().stats(&unbind)).await;
                    answer.is_err()
                };
                eventually_async("the guest is mute", mute).await.unwrap();
            }
        }
        let mut events = sandbox.pod().events();
        // As StopPodSandbox does; a virtiofsd that does not run does not keep a guest from ending its processes.
        let pod = sandbox.pod();
        let _ = tokio::time::timeout(Duration::from_secs(2), pod.signal(&container, 9, true)).await;
        let start = Instant::now();
        let cause = tokio::time::timeout(PATIENCE, sandbox.stop()).await.expect("it ends").unwrap();
        report(&format!("stop with a hung {hung}"), start);
        let reason = gone(&mut events).await;
        match (hung, &cause) {
            ("virtiofsd", _) => {}
            ("shim", Some(cause)) => assert!(cause.contains("its shim did not end"), "{cause}"),
            (_, Some(cause)) => assert!(cause.contains("the guest did not stop"), "{hung}: {cause}"),
            (_, None) => panic!("{hung}: nothing says that it was killed"),
        }
        assert!(cause.is_none_or(|cause| cause == reason), "{hung}: {reason}");
        for process in [Some(record.shim), record.vmm, record.virtiofsd].into_iter().flatten() {
            assert!(identity::find(&process).is_err(), "{hung}: process {} is left", process.pid);
        }
        down(node, &*sandbox).await;
    }
}

async fn a_vm_that_does_not_boot_is_an_error_that_says_why(node: &Bed) {
    let spec = node.spec();
    let config = VmConfig { image_dir: node.broken_image(), ..node.config() };
    let factory = node.factory(config);
    let sandbox = factory.create(&spec).await.unwrap();
    let start = Instant::now();
    let error = sandbox.start(None).await.unwrap_err().to_string();
    report("a boot that fails", start);
    assert!(error.contains("No working init found"), "{error}");
    factory.remove_leftovers(&spec, Some(&sandbox.record())).await.unwrap();
    node.assert_clean(&spec);
    // Too little time is no less clear.
    let spec = node.spec();
    let factory = node.factory(VmConfig { boot_timeout: Duration::from_millis(300), ..node.config() });
    let sandbox = factory.create(&spec).await.unwrap();
    let error = sandbox.start(None).await.unwrap_err().to_string();
    assert!(error.contains("did not answer"), "{error}");
    factory.remove_leftovers(&spec, None).await.unwrap();
    node.assert_clean(&spec);
}

fn what_is_missing_is_named(node: &Bed) {
    let reason = |config: VmConfig| node.factory(config).unavailable().unwrap();
    assert!(reason(VmConfig { image_dir: "/nowhere".into(), ..node.config() }).contains("cofferdam vm-image build"));
    assert!(reason(VmConfig { virtiofsd: "/nowhere".into(), ..node.config() }).contains("qemu-system-common"));
    let factory = node.factory(VmConfig { accel: Accel::Tcg, ..node.config() });
    assert_eq!((factory.unavailable(), factory.degraded()), (None, None));
    let mut spec = node.spec();
    spec.namespaces.network = cofferdam_sandbox::NamespaceMode::Node;
    let error = factory.check(&spec).unwrap_err();
    assert!(
        matches!(&error, SandboxError::Unsupported { field, .. } if field.ends_with("namespace_options.network")),
        "{error}"
    );
}
