//! A node whose sandboxes are started by the real shim.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use cofferdam_namespace::NamespaceFactory;
use cofferdam_pod_client::Launcher;
use cofferdam_sandbox::{
    ContainerExit, ContainerRootfs, ContainerSpec, NamespaceMode, PodEvent, PodNamespaces, Sandbox, SandboxKind,
    SandboxSpec, Stdio,
};
use cofferdam_test_support::{Node, PATIENCE, build_binary};
use serde_json::json;
use tokio::sync::broadcast;

/// Tests another shim than that of this source: the released one.
pub const SHIM: &str = "COFFERDAM_TEST_SHIM";

/// The shim of this very source, built once a process.
fn shim() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os(SHIM) {
        Some(path) => path.into(),
        None => build_binary("cofferdam-shim", &[], "debug/cofferdam-shim").unwrap(),
    })
}

/// A node with a factory of sandboxes.
pub struct Bed {
    pub node: Node,
}

impl Bed {
    pub fn new() -> Bed {
        Bed { node: Node::new("namespace").unwrap() }
    }

    /// What a daemon has after its start.
    pub fn factory(&self) -> NamespaceFactory {
        NamespaceFactory::new(Arc::new(Launcher::new(shim()).unwrap()))
    }

    pub fn spec(&self) -> SandboxSpec {
        let id = self.node.sandbox_id();
        let own = NamespaceMode::Pod;
        SandboxSpec {
            namespace: "default".into(),
            name: "web".into(),
            uid: "u".into(),
            tenant: "blue".into(),
            kind: SandboxKind::Namespace,
            hostname: "web".into(),
            dir: self.node.dir().join("pods").join(&id),
            cgroup: format!("{}/pods/{id}", self.node.cgroup()),
            shim_cgroup: format!("{}/shims", self.node.cgroup()),
            namespaces: PodNamespaces { network: own, pid: NamespaceMode::Container, ipc: own, user: None },
            sysctls: BTreeMap::new(),
            shm_size: 1 << 20,
            resolv_conf: String::new(),
            vm: None,
            init_seccomp: Vec::new(),
            id,
        }
    }

    pub fn container(&self, sandbox: &SandboxSpec, script: &str) -> ContainerSpec {
        let (id, upper, work) = self.node.overlay().unwrap();
        let oci = json!({
            "ociVersion": "1.2.0",
            "process": {
                "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 },
                "noNewPrivileges": true,
                "capabilities": { "bounding": ["CAP_SYS_PTRACE"], "effective": ["CAP_SYS_PTRACE"], "permitted": ["CAP_SYS_PTRACE"] },
            },
            "root": { "path": "rootfs" },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            ],
            "linux": { "cgroupsPath": format!("{}/{id}", sandbox.cgroup) },
        });
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

    pub fn log(&self, container: &str) -> PathBuf {
        self.node.dir().join(format!("{container}.log"))
    }

    fn open_log(&self, container: &str) -> OwnedFd {
        OpenOptions::new().append(true).create(true).open(self.log(container)).unwrap().into()
    }

    /// Creates and starts a container; its id and its first process.
    pub async fn run(&self, sandbox: &dyn Sandbox, script: &str) -> (String, u32) {
        let spec = self.container(sandbox.spec(), script);
        sandbox.check_container(&spec).unwrap();
        let spec = sandbox.stage(spec).await.unwrap();
        sandbox.pod().create(&spec, Some(self.open_log(&spec.id))).await.unwrap();
        let status = sandbox.pod().start(&spec.id).await.unwrap();
        (spec.id, status.pid)
    }

    /// Nothing of a sandbox is left: no process, no mount, no cgroup.
    pub fn assert_clean(&self, spec: &SandboxSpec) {
        let dir = spec.dir.display();
        assert_eq!(self.node.left_of(&spec.dir, &spec.cgroup).unwrap(), Vec::<String>::new());
        for name in ["netns", "shm", "exits", "shim.sock", "cgroups"] {
            assert!(!spec.dir.join(name).exists(), "{name} is left in {dir}");
        }
        assert_eq!(shims(spec), Vec::<u32>::new(), "shims are left");
    }
}

/// Live processes whose log is a pod's shim log.
pub fn shims(spec: &SandboxSpec) -> Vec<u32> {
    let log = spec.dir.join("shim.log");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|target| target == log)).collect()
}

/// A value of a process's memory, KiB.
pub fn memory(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn next(events: &mut broadcast::Receiver<PodEvent>) -> PodEvent {
    tokio::time::timeout(PATIENCE, events.recv()).await.expect("an event").unwrap()
}

pub async fn exit_of(events: &mut broadcast::Receiver<PodEvent>, container: &str) -> ContainerExit {
    loop {
        match next(events).await {
            PodEvent::Exited(exit) if exit.container == container => return exit,
            PodEvent::Exited(_) => {}
            PodEvent::Gone(reason) => panic!("the sandbox is gone: {reason}"),
        }
    }
}

pub async fn gone(events: &mut broadcast::Receiver<PodEvent>) -> String {
    loop {
        if let PodEvent::Gone(reason) = next(events).await {
            return reason;
        }
    }
}
