//! Every death of the process model, with the daemon up and with it down: what is left tells the truth, and nothing
//! leaks.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use cofferdam_e2e::{Kind, Running, daemon, run, sleeper};
use cofferdam_test_support::{
    ContainerSpec, Crictl, Daemon, PodSpec, eventually, image, needs, process_exists, signal, wait_gone,
};
use rustix::process::Signal;

/// Writes its number and the time over and over.
const TICK: &str = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done";

fn ticker() -> ContainerSpec {
    ContainerSpec::new("ticker", &image("busybox")).shell(TICK)
}

fn ticks(crictl: &Crictl, pod: &Running) -> Vec<u64> {
    let log = fs::read_to_string(crictl.log_file(&pod.spec, "ticker")).unwrap_or_default();
    log.lines().filter_map(|line| line.rsplit_once("tick ")?.1.parse().ok()).collect()
}

fn exit_code(crictl: &Crictl, container: &str) -> Result<(i64, String)> {
    let status = crictl.inspect(container)?["status"].clone();
    Ok((status["exitCode"].as_i64().unwrap_or(-1), status["reason"].as_str().unwrap_or_default().to_owned()))
}

/// The daemon dies: containers run and log on, what ended meanwhile is known, nothing is doubled.
fn the_daemon_dies(kind: Kind) -> Result<()> {
    let mut daemon = daemon("daemon-dies", kind)?.start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "survivor").handler(kind.handler()), &ticker())?;
    let short = ContainerSpec::new("short", &image("busybox")).shell("sleep 1; exit 7");
    let short = crictl.run_container(&pod.sandbox, &short, &pod.spec)?;
    let (ip, held) = (pod.ip(&daemon)?, daemon.snapshot()?);
    daemon.kill9()?;
    let before = ticks(&crictl, &pod).len();
    // Two seconds of its time, in which the short one ends.
    eventually("logs go on without a daemon", || ticks(&crictl, &pod).len() > before + 20)?;
    daemon.start()?;
    assert_eq!(crictl.container_state(&pod.container)?, "CONTAINER_RUNNING");
    // An emulated guest on a busy machine may be late.
    eventually("exited", || Ok(crictl.container_state(&short)? == "CONTAINER_EXITED"))?;
    assert_eq!(exit_code(&crictl, &short)?, (7, "Error".to_owned()));
    assert_eq!(pod.ip(&daemon)?, ip);
    let now = daemon.snapshot()?;
    for what in ["mount", "link", "route", "nft table"] {
        assert_eq!(now.of(what), held.of(what), "{what}");
    }
    assert_eq!(crictl.exec(&pod.container, &["echo", "still here"])?.trim(), "still here");
    let seen = ticks(&crictl, &pod);
    assert!(seen.iter().zip(1..).all(|(tick, number)| *tick == number), "a line is lost or doubled: {seen:?}");
    crictl.remove_pod(&pod.sandbox)?;
    daemon.wait_clean(&clean)
}

#[needs(root)]
#[test]
fn the_daemon_dies_over_a_namespace_pod() -> Result<()> {
    the_daemon_dies(Kind::Namespace)
}

#[needs(root)]
#[test]
fn the_daemon_dies_over_a_vm_pod() -> Result<()> {
    the_daemon_dies(Kind::Vm)
}

/// A process that the pod cannot live without dies: the pod is gone, and says so.
fn a_part_dies(kind: Kind, part: &str, daemon_up: bool) -> Result<()> {
    let mut daemon = daemon(&format!("{part}-dies"), kind)?.start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "victim").handler(kind.handler()), &sleeper("main"))?;
    let facts = pod.facts(&daemon)?;
    let pids: Vec<u32> = ["shimPid", "vmmPid", "virtiofsdPid"]
        .iter()
        .filter_map(|key| facts[*key].as_u64().and_then(|pid| u32::try_from(pid).ok()))
        .filter(|pid| *pid != 0)
        .collect();
    if !daemon_up {
        daemon.kill9()?;
    }
    let victim = facts[part].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    signal(victim, Signal::KILL)?;
    if !daemon_up {
        wait_gone(victim)?;
        daemon.start()?;
    }
    gone(&daemon, &pod, 137, "Error")?;
    eventually("no process of the pod is left", || Ok(!pids.iter().any(|pid| process_exists(*pid))))?;
    let again = run(&daemon, PodSpec::new("default", "next").handler(kind.handler()), &sleeper("main"))?;
    crictl.remove_pod(&again.sandbox)?;
    crictl.remove_pod(&pod.sandbox)?;
    daemon.wait_clean(&clean)
}

/// NOTREADY, the container exited like this, and an exec is refused.
fn gone(daemon: &Daemon, pod: &Running, code: i64, reason: &str) -> Result<()> {
    let crictl = daemon.crictl();
    eventually("NOTREADY", || Ok(crictl.pod_state(&pod.sandbox)? == "SANDBOX_NOTREADY"))?;
    eventually("exited", || Ok(crictl.container_state(&pod.container)? == "CONTAINER_EXITED"))?;
    assert_eq!(exit_code(&crictl, &pod.container)?, (code, reason.to_owned()));
    crictl.try_exec(&pod.container, &["true"])?.err()?;
    Ok(())
}

#[needs(root)]
#[test]
fn the_shim_of_a_namespace_pod_dies() -> Result<()> {
    a_part_dies(Kind::Namespace, "shimPid", true)
}

#[needs(root)]
#[test]
fn the_shim_of_a_namespace_pod_dies_without_a_daemon() -> Result<()> {
    a_part_dies(Kind::Namespace, "shimPid", false)
}

#[needs(root)]
#[test]
fn the_shim_of_a_vm_dies() -> Result<()> {
    a_part_dies(Kind::Vm, "shimPid", true)
}

#[needs(root)]
#[test]
fn the_shim_of_a_vm_dies_without_a_daemon() -> Result<()> {
    a_part_dies(Kind::Vm, "shimPid", false)
}

#[needs(root)]
#[test]
fn qemu_dies() -> Result<()> {
    a_part_dies(Kind::Vm, "vmmPid", true)
}

#[needs(root)]
#[test]
fn qemu_dies_without_a_daemon() -> Result<()> {
    a_part_dies(Kind::Vm, "vmmPid", false)
}

#[needs(root)]
#[test]
fn virtiofsd_dies() -> Result<()> {
    a_part_dies(Kind::Vm, "virtiofsdPid", true)
}

#[needs(root)]
#[test]
fn virtiofsd_dies_without_a_daemon() -> Result<()> {
    a_part_dies(Kind::Vm, "virtiofsdPid", false)
}

/// The guest's kernel goes down, and the agent with it.
fn the_agent_dies(daemon_up: bool) -> Result<()> {
    let mut daemon = daemon("agent-dies", Kind::Vm)?.config("[tenant.default]\nhostAccess = \"Allowed\"\n").start()?;
    let clean = daemon.snapshot()?;
    let crictl = daemon.crictl();
    let spec = PodSpec::new("default", "victim").handler("vm").with(|config| {
        config["linux"]["security_context"]["privileged"] = true.into();
    });
    // What a tenant's root can do to its own guest: a crash of the kernel, by way of sysrq.
    let crash = ContainerSpec::new("main", &image("busybox"))
        .shell("sleep 2; echo c >/proc/sysrq-trigger; sleep 1000")
        .with(|config| config["linux"]["security_context"]["privileged"] = true.into());
    let pod = run(&daemon, spec, &crash)?;
    if !daemon_up {
        let vmm = pod.pid(&daemon, "vmmPid")?;
        daemon.kill9()?;
        wait_gone(vmm)?;
        daemon.start()?;
    }
    gone(&daemon, &pod, 137, "Error")?;
    crictl.remove_pod(&pod.sandbox)?;
    daemon.wait_clean(&clean)
}

#[needs(root)]
#[test]
fn the_agent_dies_with_its_kernel() -> Result<()> {
    the_agent_dies(true)
}

#[needs(root)]
#[test]
fn the_agent_dies_with_its_kernel_without_a_daemon() -> Result<()> {
    the_agent_dies(false)
}

/// Another boot id, and nothing left but the root directory.
fn the_node_dies(kind: Kind) -> Result<()> {
    let mut daemon = daemon("node-dies", kind)?.shared_mounts().start()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "victim").handler(kind.handler()), &sleeper("main"))?;
    let done = ContainerSpec::new("done", &image("busybox")).shell("exit 3");
    let done = crictl.run_container(&pod.sandbox, &done, &pod.spec)?;
    eventually("exited", || Ok(crictl.container_state(&done)? == "CONTAINER_EXITED"))?;
    daemon.lose_power()?;
    daemon.start_with_boot_id("11111111-2222-4333-8444-555555555555")?;
    let crictl = daemon.crictl();
    gone(&daemon, &pod, 255, "Unknown")?;
    assert_eq!(exit_code(&crictl, &done)?, (3, "Error".to_owned()), "what was known stays");
    crictl.remove_pod(&pod.sandbox)?;
    let next = run(&daemon, PodSpec::new("default", "next").handler(kind.handler()), &sleeper("main"))?;
    crictl.remove_pod(&next.sandbox)
}

#[needs(root)]
#[test]
fn the_node_dies_over_a_namespace_pod() -> Result<()> {
    the_node_dies(Kind::Namespace)
}

#[needs(root)]
#[test]
fn the_node_dies_over_a_vm_pod() -> Result<()> {
    the_node_dies(Kind::Vm)
}

/// The disk is full: exits are announced all the same, containers do not block, and it goes on once there is room.
fn the_disk_is_full(daemon_up: bool) -> Result<()> {
    let mut daemon = daemon("disk-full", Kind::Namespace)?.root_size("96m").start()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "full"), &ticker())?;
    let short = ContainerSpec::new("short", &image("busybox")).shell("sleep 2; exit 9");
    let short = crictl.run_container(&pod.sandbox, &short, &pod.spec)?;
    let filler = daemon.root().join("filler");
    fill(&filler)?;
    if !daemon_up {
        daemon.kill9()?;
        // Long enough for the short one to end on a full disk; nothing tells of it yet.
        std::thread::sleep(Duration::from_secs(3));
        // A daemon needs room to start; what ended without one is in the shim's records.
        fs::remove_file(&filler)?;
        daemon.start()?;
    }
    eventually("the exit is announced", || Ok(crictl.container_state(&short)? == "CONTAINER_EXITED"))?;
    assert_eq!(exit_code(&crictl, &short)?.0, 9);
    assert_eq!(crictl.container_state(&pod.container)?, "CONTAINER_RUNNING");
    if daemon_up {
        let refused = crictl.try_create(&pod.sandbox, &sleeper("late"), &pod.spec)?.err()?;
        assert!(refused.contains("space") || refused.contains("full"), "{refused}");
        fs::remove_file(&filler)?;
    }
    crictl.run_container(&pod.sandbox, &sleeper("later"), &pod.spec)?;
    daemon.kill9_and_restart()?;
    assert_eq!(exit_code(&crictl, &short)?.0, 9, "the exit survives the next restart");
    crictl.remove_pod(&pod.sandbox)
}

fn fill(path: &std::path::Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::create(path)?;
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![0; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[needs(root)]
#[test]
fn the_disk_fills_up() -> Result<()> {
    the_disk_is_full(true)
}

#[needs(root)]
#[test]
fn the_disk_fills_up_without_a_daemon() -> Result<()> {
    the_disk_is_full(false)
}
