//! What the tests ask for: a set-up, containers of busybox.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use cofferdam_pod_api::{
    ContainerRootfs, ContainerSpec, Create, ExecSpec, GUEST_CGROUP, GuestLink, GuestSetup, NamespaceMode, Op, Outcome,
    SHARE_DIR, Start, Status, Stdio,
};
use serde_json::{Value, json};

use super::client::AgentClient;

/// A file system with busybox as every command, below the share.
pub fn root(share: &Path, container: &str) -> Result<()> {
    let root = share.join(container).join("rootfs");
    for dir in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).context("busybox-static")?;
    for command in [
        "sh", "ip", "cat", "sleep", "tail", "stat", "date", "hostname", "dd", "wc", "mount", "df", "id", "ls", "setsid",
    ] {
        symlink("busybox", root.join("bin").join(command))?;
    }
    Ok(())
}

/// The set-up of a pod with an interface.
pub fn setup(pid: NamespaceMode) -> Result<GuestSetup> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(GuestSetup {
        id: "a".repeat(64),
        hostname: "web-0".into(),
        pid,
        sysctls: BTreeMap::from([("net.ipv4.ip_unprivileged_port_start".into(), "80".into())]),
        shm_size: 8 << 20,
        link: Some(GuestLink {
            mac: [2, 0, 0, 0, 0, 7],
            gateway_mac: [2, 0, 0, 0, 0, 1],
            addresses: vec!["10.88.0.9".parse()?, "fd88::9".parse()?],
            gateways: vec!["169.254.1.1".parse()?, "fe80::1".parse()?],
            mtu: 1400,
        }),
        powered_on: u64::try_from(now.as_nanos())?,
        seed: (0..64).collect(),
        init_seccomp: Vec::new(),
    })
}

fn process(script: &str) -> Value {
    json!({
        "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": false,
        "noNewPrivileges": true,
        "capabilities": {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []},
    })
}

/// A container that runs a script.
pub fn container(id: &str, script: &str, resources: Value) -> Result<ContainerSpec> {
    let oci = json!({
        "ociVersion": "1.2.0",
        "process": process(script),
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/shm", "type": "bind", "source": "/dev/shm", "options": ["rbind", "nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {"cgroupsPath": format!("{GUEST_CGROUP}/{id}"), "resources": resources},
    });
    Ok(ContainerSpec {
        id: id.into(),
        name: id.into(),
        oci: serde_json::from_value(oci)?,
        rootfs: ContainerRootfs {
            lower: vec![format!("{SHARE_DIR}/{id}/rootfs").into()],
            upper: "".into(),
            work: "".into(),
        },
        seccomp: Vec::new(),
        stdio: Stdio::default(),
        pid_target: None,
        extensions: BTreeMap::new(),
    })
}

/// An exec of a script.
pub fn exec(container: &str, script: &str) -> Result<ExecSpec> {
    let process = serde_json::from_value(process(script))?;
    Ok(ExecSpec { container: container.into(), id: "exec".into(), process, stdin: false })
}

/// Creates and starts a container.
pub fn run(link: &mut AgentClient, spec: &ContainerSpec) -> Result<Status> {
    link.done(create(spec)?)?;
    match link.done(Op::Start(Start { container: spec.id.clone() }))? {
        Outcome::Status(status) => Ok(status),
        other => anyhow::bail!("not a status: {other:?}"),
    }
}

/// The request for a container.
pub fn create(spec: &ContainerSpec) -> Result<Op> {
    Ok(Op::Create(Create::new(spec, false)?))
}
