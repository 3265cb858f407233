//! cgroup v2 alone, as a guest has it: in a mount namespace that shows nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use cofferdam_sys::process::{CLONE_NEWNS, spawn};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, mount_change,
    move_mount, open_tree, unmount,
};
use serde_json::json;

use cofferdam_test_support::{cgroup_dirs, eventually};

use crate::bed::{add_caps, end, exec_spec, pod, reap};

pub const CASES: &[cofferdam_test_support::gate::Case] = &[
    ("v2_processes_are_born_in_their_cgroup_and_killed_with_it", || apart(born)),
    ("v2_device_rules", || apart(devices)),
    ("v2_limits", || apart(limits)),
    ("v2_in_a_shared_pid_namespace", || apart(shared)),
];

/// Runs a case in a child whose root is a copy of the node's without its other mounts.
fn apart(case: fn()) {
    let child = spawn(CLONE_NEWNS, None, || {
        let run = || {
            enter().expect("a root with cgroup2 alone");
            case();
        };
        i32::from(catch_unwind(AssertUnwindSafe(run)).is_err())
    });
    assert_eq!(reap(&child.unwrap().pidfd), 0);
}

fn enter() -> rustix::io::Result<()> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    let root = open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    move_mount(&root, "", CWD, "/mnt", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let fresh = |kind: &str, at: &str| mount(kind, at, kind, MountFlags::empty(), None);
    fresh("proc", "/mnt/proc")?;
    fresh("sysfs", "/mnt/sys")?;
    mount_bind("/dev", "/mnt/dev")?;
    fresh("cgroup2", "/mnt/sys/fs/cgroup")?;
    rustix::process::chdir("/mnt")?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

fn born() {
    let mut pod = pod();
    let script = "grep ^0:: /proc/self/cgroup; mkdir /sys/fs/cgroup/x; grep -c '' /sys/fs/cgroup/cgroup.controllers";
    let ended = pod.run(script);
    assert!(ended.out.starts_with("0::/\n") && ended.err.contains("Read-only file system"), "{ended:?}");
    let spec = pod.spec("setsid sleep 100 & setsid sleep 100 & exec sleep 100", |_| {});
    let (mut container, launched) = pod.start(&spec);
    let dir = cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id)).unwrap().remove(0);
    let count = || std::fs::read_to_string(dir.join("cgroup.procs")).unwrap().lines().count();
    eventually("its children", || count() == 3).unwrap();
    let ended = end(container.exec(&exec_spec(&spec, "grep ^0:: /proc/self/cgroup")).unwrap());
    assert_eq!(ended.out, "0::/\n");
    let exec = container.exec(&exec_spec(&spec, "exec sleep 100")).unwrap();
    eventually("the exec", || count() == 4).unwrap();
    container.signal_all(9).unwrap();
    assert_eq!(end(exec).code, 137);
    assert_eq!(end(launched).code, 137);
    container.remove().unwrap();
    assert!(!dir.exists());
}

fn devices() {
    let mut pod = pod();
    let script = "head -c 1 /dev/zero | wc -c; head -c 1 /dev/kmsg >/dev/null && echo read; echo x >/dev/kmsg; \
                  mknod /tmp/disk b 254 0 && cat /tmp/disk >/dev/null";
    let ended = pod.run_with(script, |oci| {
        add_caps(oci, &["CAP_SYSLOG"]);
        oci["linux"]["devices"] = json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 }]);
        oci["linux"]["resources"]["devices"] =
            json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" }]);
    });
    assert_eq!(ended.out, "1\nread\n", "{ended:?}");
    assert_eq!(ended.err.matches("not permitted").count(), 2, "{ended:?}");
    assert!(pod.run("cat /dev/kmsg").err.contains("No such file"));
}

fn limits() {
    let mut pod = pod();
    let size = "2MB";
    if Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        let spec = pod.spec("sleep 100", |oci| {
            oci["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": size, "limit": 4 << 20 }]);
        });
        let (mut container, launched) = pod.start(&spec);
        let dir = cgroup_dirs(&format!("{}/{}", pod.cgroup, spec.id)).unwrap().remove(0);
        assert_eq!(std::fs::read_to_string(dir.join("hugetlb.2MB.max")).unwrap().trim(), (4 << 20).to_string());
        container.signal_all(9).unwrap();
        end(launched);
        container.remove().unwrap();
    }
    let unified = pod.spec("true", |oci| oci["linux"]["resources"]["unified"] = json!({ "nonsense.max": "1" }));
    let error = pod.runner.create(&unified).unwrap_err();
    assert!(error.to_string().contains("nonsense.max"), "{error}");
}

fn shared() {
    let mut pod = crate::bed::Bed::new(&crate::bed::Wish { shared_pid: true, user: true, ..Default::default() });
    let ended = pod.run("id -u; grep ^0:: /proc/self/cgroup; grep -c '' /proc/1/status >/dev/null && echo one");
    assert_eq!(ended.out, "0\n0::/\none\n");
}
