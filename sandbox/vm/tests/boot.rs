//! Real VMs, by the VMM alone: what a guest sees, what QEMU may, what a guest that does not boot leaves behind.
//!
//! Without libtest: the VMM forks, and a process with threads must not.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A test that unwraps fails with the line it is about.

#[path = "boot/bed.rs"]
mod bed;

use std::path::Path;

use bed::{VmBed, is_alive};
use cofferdam_test_support::{eventually, gate};
use cofferdam_vm::share;

fn main() {
    gate::forking_main(&[&[
        (
            "a_guest_sees_its_files_and_no_more_and_what_is_mounted_later",
            a_guest_sees_its_files_and_no_more_and_what_is_mounted_later,
        ),
        (
            "a_guest_without_init_ends_at_once_and_its_console_says_why",
            a_guest_without_init_ends_at_once_and_its_console_says_why,
        ),
        ("the_end_of_either_process_is_the_end_of_both", the_end_of_either_process_is_the_end_of_both),
        ("what_cannot_start_leaves_nothing", what_cannot_start_leaves_nothing),
    ]]);
}

fn a_guest_sees_its_files_and_no_more_and_what_is_mounted_later() {
    let bed = VmBed::new();
    share::make(&bed.share()).unwrap();
    share::stage(&bed.share(), &bed.plan("c1", &["ro"])).unwrap();
    let mut vm = bed.boot(&bed.init(), 128, Path::new("/usr/bin/qemu-system-x86_64")).unwrap();
    vm.wait_for("UP");
    confined(&vm);
    share::stage(&bed.share(), &bed.plan("c2", &["rw"])).unwrap();
    std::fs::write(bed.volume().join("later"), "hello").unwrap();
    vm.wait_for("DONE");
    let console = vm.console();
    for line in [
        "mount the share: ok",
        "write to the share: Read-only file system",
        "replace a container: Read-only file system",
        "write to the root file system: ok",
        "link out of the root file system: ok",
        "make a device: Operation not permitted",
        "write to a read-only volume: Read-only file system",
        "change the owner: ok",
        "it says hello",
    ] {
        assert!(console.contains(line), "{line:?} is not in: {console}");
    }
    // The host does not follow what the guest has put there.
    assert!(std::fs::read_dir(bed.share().join("c1/rootfs/out")).is_err());
    // While the guest has it open.
    share::release(&bed.share(), Path::new("c1")).unwrap();
    assert!(!bed.share().join("c1").exists());
    vm.stop();
    eventually("the end", || vm.pids().into_iter().all(|pid| !is_alive(pid))).unwrap();
    share::remove(&bed.share()).unwrap();
    share::remove(&bed.share()).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&*bed.node.dir().to_string_lossy()), "{mounts}");
    assert!(bed.upper("c1").join("new").exists(), "what a container wrote is in its upper directory");
}

fn confined(vm: &bed::Vm) {
    let status = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let [qemu, files] = vm.pids();
    for line in [
        "Uid:\t2000000000\t2000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status(qemu).contains(line), "{line:?}: {}", status(qemu));
    }
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status(files).contains(line), "{line:?}: {}", status(files));
    }
    let namespace = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    for pid in [qemu, files] {
        for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
            assert_ne!(namespace(&pid.to_string(), kind), namespace("self", kind), "{pid} {kind}");
        }
        let outside = std::fs::read_dir(format!("/proc/{pid}/root/etc"));
        assert!(outside.is_err(), "/etc is visible to {pid}");
    }
    assert_ne!(namespace(&files.to_string(), "user"), namespace("self", "user"));
    let cgroup = std::fs::read_to_string(format!("/proc/{qemu}/cgroup")).unwrap();
    assert!(cgroup.contains("/sandbox-vmm"), "{cgroup}");
}

fn a_guest_without_init_ends_at_once_and_its_console_says_why() {
    let bed = VmBed::new();
    share::make(&bed.share()).unwrap();
    let mut vm = bed.boot(Path::new("/etc/hostname"), 128, Path::new("/usr/bin/qemu-system-x86_64")).unwrap();
    eventually("the end", || vm.ended()).unwrap();
    assert!(vm.console().contains("No working init found"), "{}", vm.console());
    vm.stop();
    share::remove(&bed.share()).unwrap();
}

fn the_end_of_either_process_is_the_end_of_both() {
    let bed = VmBed::new();
    share::make(&bed.share()).unwrap();
    for victim in [0, 1] {
        let mut vm = bed.boot(&bed.init(), 128, Path::new("/usr/bin/qemu-system-x86_64")).unwrap();
        vm.wait_for("mount the share");
        let pid = rustix::process::Pid::from_raw(vm.pids()[victim] as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        eventually("the end is noticed", || vm.ended()).unwrap();
        vm.stop();
        eventually("both are gone", || vm.pids().into_iter().all(|pid| !is_alive(pid))).unwrap();
    }
    share::remove(&bed.share()).unwrap();
}

fn what_cannot_start_leaves_nothing() {
    let bed = VmBed::new();
    share::make(&bed.share()).unwrap();
    let error = bed.boot(&bed.init(), 128, Path::new("/usr/bin/no-such-qemu")).err().expect("started");
    assert!(error.to_string().starts_with("start qemu: "), "{error}");
    assert!(cofferdam_pod_client::cgroup::processes(bed.cgroup()).is_empty());
    share::remove(&bed.share()).unwrap();
}
