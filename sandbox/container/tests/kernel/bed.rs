//! A pod with a root file system of busybox, and what asks it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use cofferdam_container::{Container, Error, Launched, LaunchedStreams, PodRunner};
use cofferdam_pod_api::{
    ContainerRootfs, ContainerSpec, ExecSpec, IdMap, NamespaceMode, PodNamespaces, ShimConfig, ShimKind,
    ShimNamespaces, Stdio, UserNamespace,
};
use cofferdam_test_support::{Node, cgroup_dirs};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};

/// Where the ids of user namespaces begin on the host.
pub const MAPPED: u32 = 1_000_000;

/// How a process ended and what it said.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub struct Bed {
    pub runner: PodRunner,
    pub cgroup: String,
    pub node: Node,
}

/// What a pod is to be.
#[derive(Default)]
pub struct Wish {
    pub shared_pid: bool,
    pub user: bool,
    pub host: bool,
    pub sysctls: BTreeMap<String, String>,
}

pub fn pod() -> Bed {
    Bed::new(&Wish::default())
}

impl Bed {
    pub fn new(wish: &Wish) -> Bed {
        let node = Node::new("container").unwrap();
        let cgroup = format!("{}/pod", node.cgroup());
        let own = if wish.host { NamespaceMode::Node } else { NamespaceMode::Pod };
        let map = || vec![IdMap { container: 0, host: MAPPED, size: 65536 }];
        let pid = match (wish.shared_pid, wish.host) {
            (true, _) => NamespaceMode::Pod,
            (_, true) => NamespaceMode::Node,
            _ => NamespaceMode::Container,
        };
        let user = wish.user.then(|| UserNamespace { uids: map(), gids: map() });
        let plan = ShimNamespaces {
            namespaces: PodNamespaces { network: own, pid, ipc: own, user },
            hostname: if wish.host { String::new() } else { "web-0".into() },
            sysctls: wish.sysctls.clone(),
            shm_size: 1 << 20,
            netns: (!wish.host).then(|| node.dir().join("netns")),
            init_seccomp: Vec::new(),
        };
        let config = ShimConfig {
            id: "p".into(),
            dir: node.dir().into(),
            cgroup: cgroup.clone(),
            shim_cgroup: "/".into(),
            kind: ShimKind::Namespace(plan.clone()),
        };
        Bed { runner: PodRunner::new(&plan, &config).unwrap(), node, cgroup }
    }

    /// A container that runs a shell script, as CRI asks for one; `change` has the OCI spec as JSON.
    pub fn spec(&self, script: &str, change: impl FnOnce(&mut Value)) -> ContainerSpec {
        let (id, upper, work) = self.node.overlay().unwrap();
        let mut oci = oci(script, &format!("{}/{id}", self.cgroup), &self.node.dir().join("shm"));
        change(&mut oci);
        let lower = vec![self.node.layer()];
        ContainerSpec {
            name: id.clone(),
            id,
            oci: serde_json::from_value(oci).unwrap(),
            rootfs: ContainerRootfs { lower, upper, work },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: BTreeMap::new(),
        }
    }

    pub fn start(&mut self, spec: &ContainerSpec) -> (Container, Launched) {
        let (mut container, launched) = self.runner.create(spec).unwrap();
        container.start().unwrap();
        (container, launched)
    }

    /// Runs it to its end.
    pub fn run_spec(&mut self, spec: &ContainerSpec) -> Ended {
        let (mut container, launched) = self.start(spec);
        let ended = end(launched);
        container.signal_all(9).unwrap();
        container.remove().unwrap();
        ended
    }

    pub fn run(&mut self, script: &str) -> Ended {
        self.run_with(script, |_| {})
    }

    pub fn run_with(&mut self, script: &str, change: impl FnOnce(&mut Value)) -> Ended {
        let spec = self.spec(script, change);
        self.run_spec(&spec)
    }

    pub fn refusal(&mut self, script: &str, change: impl FnOnce(&mut Value)) -> Error {
        let spec = self.spec(script, change);
        self.runner.create(&spec).expect_err("it was made")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The node ends what is left; nobody else waits for what is this process's child.
            drop(self.runner.close());
            return;
        }
        self.runner.close().unwrap();
        let left = self.node.left_of(self.node.dir(), &self.cgroup).unwrap();
        let cgroups = cgroup_dirs(&self.cgroup).unwrap();
        let emptied: Vec<_> = cgroups.iter().map(|dir| format!("cgroup {}", dir.display())).collect();
        let full: Vec<_> = cgroups.iter().filter(|dir| fs::remove_dir(dir).is_err()).collect();
        assert!(full.is_empty(), "cgroups are left: {full:?}");
        assert_eq!(left, emptied, "mounts are left");
    }
}

pub const CAPS: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_AUDIT_WRITE",
    "CAP_SETFCAP",
];

fn oci(script: &str, cgroup: &str, shm: &Path) -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
            "noNewPrivileges": false,
            "capabilities": { "bounding": CAPS, "effective": CAPS, "permitted": CAPS },
        },
        "root": { "path": "rootfs", "readonly": false },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
            { "destination": "/dev/shm", "type": "bind", "source": if shm.exists() { shm } else { Path::new("/dev/shm") },
              "options": ["rbind", "rw", "nosuid", "nodev", "noexec"] },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// Adds a bind mount.
pub fn bind(oci: &mut Value, source: &Path, destination: &str, options: &[&str]) {
    let mount = json!({ "destination": destination, "type": "bind", "source": source, "options": options });
    oci["mounts"].as_array_mut().unwrap().push(mount);
}

/// Adds capabilities to all sets but the inheritable and ambient ones.
pub fn add_caps(oci: &mut Value, caps: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        let set = oci["process"]["capabilities"][set].as_array_mut().unwrap();
        set.extend(caps.iter().map(|cap| json!(cap)));
    }
}

/// An exec of a shell script, with what the container's own process has.
pub fn exec_spec(spec: &ContainerSpec, script: &str) -> ExecSpec {
    let mut process = spec.oci.process().clone().unwrap();
    process.set_args(Some(["sh", "-c", script].map(str::to_owned).to_vec()));
    ExecSpec { container: spec.id.clone(), id: "e".into(), process, stdin: false }
}

fn read(fd: Option<std::os::fd::OwnedFd>) -> String {
    let mut text = Vec::new();
    if let Some(fd) = fd {
        // A terminal whose other end is closed answers EIO.
        let _ = File::from(fd).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

pub fn reap(pidfd: &std::os::fd::OwnedFd) -> i32 {
    use std::os::fd::AsFd;
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED).unwrap().unwrap();
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap())
}

/// Reads its output (the little there is) and waits for its end.
pub fn end(launched: Launched) -> Ended {
    let (out, err) = match launched.streams {
        LaunchedStreams::Pipes { stdin, stdout, stderr } => {
            drop(stdin);
            (read(stdout), read(stderr))
        }
        LaunchedStreams::Terminal(master) => (read(Some(master)), String::new()),
    };
    Ended { code: reap(&launched.pidfd), out, err }
}

/// A seccomp program that answers EPERM to one system call.
pub fn deny(number: u32) -> Vec<u8> {
    let insn = |code: u16, jt: u8, jf: u8, k: u32| [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat();
    [insn(0x20, 0, 0, 0), insn(0x15, 0, 1, number), insn(0x06, 0, 0, 0x0005_0001), insn(0x06, 0, 0, 0x7fff_0000)]
        .concat()
}
