//! A node for sandboxes: a state directory, a cgroup root, the shim's binary, and what proves that nothing is left.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cofferdam_namespace::NamespaceFactory;
use cofferdam_pod_client::{Launcher, cgroup};
use cofferdam_sandbox::{
    ContainerExit, ContainerRootfs, ContainerSpec, NamespaceMode, PodEvent, PodNamespaces, Sandbox, SandboxKind,
    SandboxSpec, Stdio,
};
use serde_json::json;
use tokio::sync::broadcast;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Root, or a visible skip; CI has to be root.
pub fn root_or_skip() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "this test needs root, and CI has to run it");
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// Tests another shim than that of this source: the released one.
pub const SHIM: &str = "COFFERDAM_TEST_SHIM";

/// The shim of this very source: cargo builds no other package's binary for a test by itself.
fn shim() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os(SHIM) {
            return path.into();
        }
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "cofferdam-shim"]).status().unwrap();
        assert!(built.success(), "cargo build -p cofferdam-shim");
        let deps = std::env::current_exe().unwrap();
        deps.ancestors().nth(2).unwrap().join("cofferdam-shim")
    })
}

pub struct Node {
    pub dir: tempfile::TempDir,
    pub root: String,
}

impl Node {
    pub fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        rootfs(&dir.path().join("layer"));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Node { dir, root: format!("/cofferdam-namespace-test-{}-{number}", std::process::id()) }
    }

    /// What a daemon has after its start.
    pub fn factory(&self) -> NamespaceFactory {
        NamespaceFactory::new(Arc::new(Launcher::new(shim()).unwrap()))
    }

    pub fn spec(&self) -> SandboxSpec {
        let id = format!("{:064x}", NUMBER.fetch_add(1, Ordering::Relaxed) + 1);
        let own = NamespaceMode::Pod;
        SandboxSpec {
            namespace: "default".into(),
            name: "web".into(),
            uid: "u".into(),
            tenant: "blue".into(),
            kind: SandboxKind::Namespace,
            hostname: "web".into(),
            dir: self.dir.path().join("pods").join(&id),
            cgroup: format!("{}/pods/{id}", self.root),
            shim_cgroup: format!("{}/shims", self.root),
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
        let id = format!("c{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (upper, work) = (self.dir.path().join(format!("{id}-upper")), self.dir.path().join(format!("{id}-work")));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
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
        let lower = vec![self.dir.path().join("layer")];
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
        self.dir.path().join(format!("{container}.log"))
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
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = spec.dir.to_str().unwrap();
        assert!(!mounts.contains(dir), "mounts are left in {dir}");
        for name in ["netns", "shm", "exits", "shim.sock", "cgroups"] {
            assert!(!spec.dir.join(name).exists(), "{name} is left in {dir}");
        }
        assert_eq!(dirs(&spec.cgroup), Vec::<PathBuf>::new(), "cgroups are left");
        assert_eq!(shims(spec), Vec::<u32>::new(), "shims are left");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.root);
        // What a failed test left would be in every other program's way.
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        for point in points.filter(|point| point.starts_with(self.dir.path())) {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
        let left = cgroup::remove(&self.root);
        if !std::thread::panicking() {
            left.unwrap();
        }
    }
}

/// The directories of a cgroup in all hierarchies.
pub fn dirs(path: &str) -> Vec<PathBuf> {
    let all = cgroup::hierarchies().unwrap().into_iter().map(|root| root.join(path.trim_start_matches('/')));
    all.filter(|dir| dir.exists()).collect()
}

/// Live processes whose log is a pod's shim log.
pub fn shims(spec: &SandboxSpec) -> Vec<u32> {
    let log = spec.dir.join("shim.log");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|target| target == log)).collect()
}

pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A value of a process's memory, KiB.
pub fn memory(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

async fn next(events: &mut broadcast::Receiver<PodEvent>) -> PodEvent {
    tokio::time::timeout(Duration::from_secs(20), events.recv()).await.expect("an event").unwrap()
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

fn rootfs(root: &Path) {
    for dir in ["bin", "tmp", "proc", "dev"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let mut from = File::open("/bin/busybox").expect("/bin/busybox of Debian's busybox-static");
    let mut to = File::create(root.join("bin/busybox")).unwrap();
    std::io::copy(&mut from, &mut to).unwrap();
    rustix::fs::chmod(root.join("bin/busybox"), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    for applet in ["sh", "cat", "ls", "sleep", "grep", "hostname", "readlink", "seq", "true"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}
