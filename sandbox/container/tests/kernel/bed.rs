//! A pod with a root file system of busybox, and what asks it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cofferdam_container::{Container, Error, Launched, LaunchedStreams, PodRunner};
use cofferdam_pod_api::{
    ContainerRootfs, ContainerSpec, ExecSpec, IdMap, NamespaceMode, PodNamespaces, ShimConfig, ShimKind,
    ShimNamespaces, Stdio, UserNamespace,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};

static NUMBER: AtomicU32 = AtomicU32::new(0);

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
    pub dir: tempfile::TempDir,
    pub runner: PodRunner,
    pub cgroup: String,
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
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        rootfs(&dir.path().join("layer"));
        let cgroup =
            format!("/cofferdam-container-test-{}/{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
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
            netns: (!wish.host).then(|| dir.path().join("netns")),
            init_seccomp: Vec::new(),
        };
        let config = ShimConfig {
            id: "p".into(),
            dir: dir.path().into(),
            cgroup: cgroup.clone(),
            shim_cgroup: "/".into(),
            kind: ShimKind::Namespace(plan.clone()),
        };
        Bed { runner: PodRunner::new(&plan, &config).unwrap(), dir, cgroup }
    }

    /// A container that runs a shell script, as CRI asks for one; `change` has the OCI spec as JSON.
    pub fn spec(&self, script: &str, change: impl FnOnce(&mut Value)) -> ContainerSpec {
        let id = format!("c{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (upper, work) = (self.dir.path().join(format!("{id}-upper")), self.dir.path().join(format!("{id}-work")));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        let mut oci = oci(script, &format!("{}/{id}", self.cgroup), &self.dir.path().join("shm"));
        change(&mut oci);
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
            cgroup_dirs(&self.cgroup).iter().for_each(|dir| sweep(dir));
        }
        let closed = self.runner.close();
        let left: Vec<_> = cgroup_dirs(&self.cgroup).into_iter().filter(|dir| fs::remove_dir(dir).is_err()).collect();
        for dir in cgroup_dirs(self.cgroup.rsplit_once('/').unwrap().0) {
            // Others may still be there.
            let _ = fs::remove_dir(dir);
        }
        if !std::thread::panicking() {
            closed.unwrap();
            assert!(left.is_empty(), "cgroups are left: {left:?}");
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let dir = self.dir.path().to_str().unwrap();
            assert!(!mounts.contains(dir), "mounts are left");
        }
    }
}

/// Kills what a failed case left in a cgroup, and removes what is below it.
fn sweep(dir: &Path) {
    let below = fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    for dir in below.map(|entry| entry.path()) {
        sweep(&dir);
        let removed = || fs::remove_dir(&dir).is_ok();
        let pids = || fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        for _ in 0..100 {
            let pids = pids();
            let pids = pids.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?));
            // Ended already, perhaps.
            pids.for_each(|pid| {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            });
            while rustix::process::wait(rustix::process::WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
            if removed() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Its directories in all hierarchies.
pub fn cgroup_dirs(cgroup: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let cgroups = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let dirs = cgroups.map(|line| Path::new(line.split(' ').nth(4).unwrap()).join(cgroup.trim_start_matches('/')));
    dirs.filter(|dir| dir.exists()).collect()
}

fn rootfs(root: &Path) {
    for dir in ["bin", "etc", "tmp", "proc", "sys", "dev", "home", "data"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("/bin/busybox of Debian's busybox-static");
    let applets = [
        "sh", "cat", "id", "ls", "grep", "sleep", "stat", "mount", "umount", "touch", "kill", "ps", "tty", "dd", "env",
        "hostname", "mkdir", "readlink", "seq", "tail", "awk", "wc", "head", "stty", "sort", "chown", "true", "nc",
        "unshare", "pwd", "setsid", "mknod",
    ];
    applets.iter().for_each(|applet| symlink("busybox", root.join("bin").join(applet)).unwrap());
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
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

/// Waits until something is so.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A seccomp program that answers EPERM to one system call.
pub fn deny(number: u32) -> Vec<u8> {
    let insn = |code: u16, jt: u8, jf: u8, k: u32| [&code.to_ne_bytes()[..], &[jt, jf], &k.to_ne_bytes()].concat();
    [insn(0x20, 0, 0, 0), insn(0x15, 0, 1, number), insn(0x06, 0, 0, 0x0005_0001), insn(0x06, 0, 0, 0x7fff_0000)]
        .concat()
}
