//! What runc and crun were hit by in the last years.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::bed::{Bed, Wish, end, exec_spec, pod};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("no_descriptor_of_the_shim_is_left", descriptors),
    ("a_working_directory_through_a_descriptor_is_refused", cwd),
    ("an_entrypoint_of_proc_self_exe_is_the_sealed_copy", self_exe),
    ("keys_of_the_shim_are_out_of_reach", keyring),
    ("closing_undoes_the_pod", closing),
];

/// CVE-2024-21626, CVE-2016-9962.
fn descriptors() {
    for (shared_pid, user) in [(false, false), (true, false), (false, true)] {
        let mut pod = Bed::new(&Wish { shared_pid, user, ..Wish::default() });
        let leak = fs::File::open("/").unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        // The fourth is of the directory itself.
        let four = "0\n1\n2\n3\n";
        let spec = pod.spec("exec ls /proc/self/fd; sleep 100", |_| {});
        assert_eq!(pod.run_spec(&spec).out, four);
        let spec = pod.spec("sleep 100", |_| {});
        let (mut container, launched) = pod.start(&spec);
        assert_eq!(end(container.exec(&exec_spec(&spec, "exec ls /proc/self/fd")).unwrap()).out, four);
        assert!(leak.as_raw_fd() > 2);
        container.signal_all(9).unwrap();
        end(launched);
        container.remove().unwrap();
    }
}

/// CVE-2024-21626.
fn cwd() {
    let mut pod = pod();
    let leak = fs::File::open("/").unwrap();
    let through = format!("/proc/self/fd/{}", leak.as_raw_fd());
    let spec = pod.spec("pwd", |oci| oci["process"]["cwd"] = json!(through));
    let error = pod.runner.create(&spec).unwrap_err();
    assert!(error.to_string().contains(&through), "{error}");
    symlink(&through, pod.node.dir().join("layer/link")).unwrap();
    let spec = pod.spec("sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    for cwd in [through.as_str(), "/link"] {
        let mut exec = exec_spec(&spec, "pwd");
        exec.process.set_cwd(cwd.into());
        let error = container.exec(&exec).unwrap_err();
        assert!(error.to_string().contains(cwd), "{error}");
    }
    container.signal_all(9).unwrap();
    end(launched);
    container.remove().unwrap();
}

/// CVE-2019-5736: what the set-up runs as cannot be written to, since the shim runs from a sealed file and its children
/// are not dumpable; what the container finds at /proc/self/exe is its own.
fn self_exe() {
    let mut pod = pod();
    let own = std::env::current_exe().unwrap();
    let before = fs::read(&own).unwrap();
    let spec = pod.spec("", |oci| oci["process"]["args"] = json!(["/proc/self/exe"]));
    let (mut container, launched) = pod.runner.create(&spec).unwrap();
    // While it waits it is the shim's program: nobody without privileges over the node may look.
    assert_eq!(
        fs::metadata(format!("/proc/{}/environ", launched.pid))
            .map(|m| std::os::unix::fs::MetadataExt::uid(&m))
            .unwrap(),
        0
    );
    // The test program as a command: dynamically linked, it fails in a root without a loader, or says what it was not
    // asked.
    let started = container.start();
    let ended = end(launched);
    assert!(started.is_err() || ended.code != 0, "{ended:?}");
    container.remove().unwrap();
    assert!(before == fs::read(&own).unwrap());
}

fn keyring() {
    // In a user namespace, keys of the node are seen only by who has them: as the session's it would be.
    let mut pod = Bed::new(&Wish { user: true, ..Wish::default() });
    let spec = pod.spec("cat /proc/keys", |oci| {
        let list = oci["linux"]["maskedPaths"].as_array_mut().unwrap();
        list.retain(|path| path != "/proc/keys");
    });
    let keys = pod.run_spec(&spec).out;
    let sessions: Vec<_> = keys.lines().filter(|line| line.contains("_ses")).collect();
    assert!(sessions.iter().all(|line| line.split_whitespace().nth(5) == Some("0")), "{keys}");
    assert!(!sessions.is_empty(), "{keys}");
}

fn closing() {
    let before = namespaces();
    let mut pod = Bed::new(&Wish { shared_pid: true, ..Wish::default() });
    assert_eq!(pod.run("true").code, 0);
    let netns = pod.node.dir().join("netns");
    assert!(netns.exists() && namespaces() > before);
    pod.runner.close().unwrap();
    pod.runner.close().unwrap();
    assert!(!netns.exists() && !pod.node.dir().join("shm").exists());
    drop(pod);
    assert_eq!(namespaces(), before);
    assert!(rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_err(), "a child is left");
}

/// Processes and descriptors that hold namespaces of ours.
fn namespaces() -> usize {
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    fds.filter(|fd| {
        fs::read_link(fd.path())
            .is_ok_and(|to| to.to_string_lossy().contains(":[") || to.to_string_lossy().contains("pidfd"))
    })
    .count()
}
