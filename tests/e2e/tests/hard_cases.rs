//! The hard cases of the process model: a shared PID namespace, a user namespace, and what tries to reach the shim.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::Result;
use cofferdam_e2e::{Kind, daemon, run, sleeper};
use cofferdam_test_support::{ContainerSpec, PodSpec, eventually, image, needs};
use serde_json::json;

#[needs(root)]
#[test]
fn a_shared_pid_namespace_has_an_init_that_reaps() -> Result<()> {
    let daemon = daemon("init", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "shared").share_pid(), &sleeper("first").share_pid())?;
    // An orphan that ends becomes a zombie of PID 1, unless that reaps.
    crictl.exec(&pod.container, &["sh", "-c", "(sleep 0.2 & exec true) & sleep 0.5"])?;
    eventually("no zombie is left", || {
        let states = crictl.exec(&pod.container, &["sh", "-c", "cat /proc/[0-9]*/stat"])?;
        Ok(!states.lines().any(|line| line.contains(") Z ")))
    })?;
    let init = crictl.exec(&pod.container, &["cat", "/proc/1/status"])?;
    assert!(init.contains("CapEff:\t0000000000000000"), "{init}");
    assert!(init.contains("NoNewPrivs:\t1"), "{init}");
    Ok(())
}

#[needs(root)]
#[test]
fn the_end_of_a_container_ends_its_children_in_a_shared_pid_namespace() -> Result<()> {
    let daemon = daemon("children", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "shared").share_pid(), &sleeper("stays").share_pid())?;
    let short = ContainerSpec::new("short", &image("busybox")).shell("setsid sleep 4242 & sleep 0.3").share_pid();
    let short = crictl.run_container(&pod.sandbox, &short, &pod.spec)?;
    let sees = || crictl.exec(&pod.container, &["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]);
    eventually("the other container's child is seen", || Ok(sees()?.contains("sleep 4242")))?;
    eventually("exit", || Ok(crictl.container_state(&short)? == "CONTAINER_EXITED"))?;
    assert!(!sees()?.contains("sleep 4242"), "a child outlived its container");
    assert_eq!(crictl.container_state(&pod.container)?, "CONTAINER_RUNNING");
    Ok(())
}

#[needs(root)]
#[test]
fn a_tracer_in_the_pods_pid_namespace_cannot_see_the_shim() -> Result<()> {
    let daemon = daemon("tracer", Kind::Namespace)?.config("[tenant.default]\nhostAccess = \"Allowed\"\n").start()?;
    let tracer = sleeper("tracer").share_pid().with(|config| {
        config["linux"]["security_context"]["capabilities"] = json!({"add_capabilities": ["SYS_PTRACE"]});
    });
    let pod = run(&daemon, PodSpec::new("default", "tracer").share_pid(), &tracer)?;
    let names = daemon.crictl().exec(&pod.container, &["sh", "-c", "cat /proc/[0-9]*/comm"])?;
    assert!(names.contains("sh"), "{names}");
    assert!(!names.contains("cofferdam-shim") && !names.contains("memfd"), "{names}");
    let shim = pod.pid(&daemon, "shimPid")?;
    for kind in ["pid", "mnt", "user"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}"));
        assert_eq!(of(&shim.to_string())?, of("self")?, "the shim left the host's {kind} namespace");
    }
    Ok(())
}

#[needs(root)]
#[test]
fn an_entrypoint_of_proc_self_exe_cannot_overwrite_the_shim() -> Result<()> {
    let daemon = daemon("self-exe", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let pod = run(&daemon, PodSpec::new("default", "self-exe"), &sleeper("main"))?;
    let shim = pod.pid(&daemon, "shimPid")?;
    let before = fs::read(format!("/proc/{shim}/exe"))?;
    // Whatever is executed, it is nothing that can be written to.
    let evil = ContainerSpec::new("evil", &image("busybox")).command(&["/proc/self/exe", "--help"]);
    let evil = crictl.create(&pod.sandbox, &evil, &pod.spec)?;
    let _ = crictl.run(&["start", &evil])?;
    let _ = crictl.try_exec(&pod.container, &["/proc/self/exe", "true"])?;
    let write = "for exe in /proc/[0-9]*/exe; do (printf x >>$exe) 2>/dev/null; done; true";
    crictl.exec(&pod.container, &["sh", "-c", write])?;
    assert_eq!(fs::read(format!("/proc/{shim}/exe"))?, before);
    let links = format!("/proc/{shim}/exe");
    assert!(fs::OpenOptions::new().write(true).open(links).is_err(), "even root of the host cannot write it");
    Ok(())
}

#[needs(root)]
#[test]
fn a_pod_in_a_user_namespace_has_idmapped_rootfs_and_volume() -> Result<()> {
    let daemon = daemon("userns", Kind::Namespace)?.start()?;
    let crictl = daemon.crictl();
    let volume = daemon.kubelet_dir().join("pods/volume");
    fs::create_dir_all(&volume)?;
    fs::write(volume.join("before"), "host")?;
    let mapping = json!([{"container_id": 0, "host_id": 1_000_000, "length": 65536}]);
    let options = json!({"mode": 0, "uids": mapping, "gids": mapping});
    let spec = PodSpec::new("default", "userns").with(|config| {
        config["linux"]["security_context"]["namespace_options"]["userns_options"] = options.clone();
    });
    let uid = spec.uid().to_owned();
    let inside_pod = daemon.kubelet_dir().join(format!("pods/{uid}/volumes/kubernetes.io~empty-dir/data"));
    fs::create_dir_all(&inside_pod)?;
    fs::write(inside_pod.join("before"), "host")?;
    let container = sleeper("main").with(|config| {
        config["mounts"] = json!([{"container_path": "/data", "host_path": inside_pod, "uidMappings": mapping, "gidMappings": mapping}]);
        config["linux"]["security_context"]["namespace_options"]["userns_options"] = options.clone();
    });
    let pod = run(&daemon, spec, &container)?;
    let exec = |command: &[&str]| crictl.exec(&pod.container, command);
    assert!(exec(&["cat", "/proc/self/uid_map"])?.split_whitespace().eq(["0", "1000000", "65536"]));
    assert_eq!(exec(&["stat", "-c", "%u:%g", "/bin/busybox"])?.trim(), "0:0", "the root file system is idmapped");
    assert_eq!(exec(&["stat", "-c", "%u:%g", "/data/before"])?.trim(), "0:0", "the volume is idmapped");
    exec(&["sh", "-c", "echo inside >/data/after && chown 5:6 /data/after"])?;
    let written = fs::metadata(inside_pod.join("after"))?;
    assert_eq!((written.uid(), written.gid()), (5, 6), "the volume keeps the ids that the pod sees");
    let pid = crictl.inspect(&pod.container)?["info"]["pid"].as_u64().unwrap_or_default();
    assert_eq!(fs::metadata(format!("/proc/{pid}"))?.uid(), 1_000_000, "outside it is nobody");
    let owner = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}"));
    assert_ne!(owner("user")?, fs::read_link("/proc/self/ns/user")?);
    crictl.remove_pod(&pod.sandbox)
}
