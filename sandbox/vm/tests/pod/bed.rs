//! A node for VM sandboxes: guest image, state directory, cgroup root, and what proves that nothing is left.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cofferdam_pod_client::{Launcher, cgroup};
use cofferdam_sandbox::{
    ContainerExit, ContainerRootfs, ContainerSpec, NamespaceMode, PodEvent, PodNamespaces, Sandbox, SandboxKind,
    SandboxSpec, Stdio, VmSize,
};
use cofferdam_vm::image::{BuildConfig, KernelSource, build};
use cofferdam_vm::{MINIMUM, VmConfig, VmFactory};
use serde_json::json;
use tokio::sync::broadcast;

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Node {
    pub dir: tempfile::TempDir,
    root: String,
    kernel: PathBuf,
    launcher: Arc<Launcher>,
}

// Cargo builds no other package's binary for a test by itself.
fn built(args: &[&str]) -> PathBuf {
    let status = Command::new(env!("CARGO")).args(["build", "--quiet"]).args(args).status().unwrap();
    assert!(status.success(), "cargo build {args:?}");
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

impl Node {
    pub fn new() -> Option<Node> {
        let cache = PathBuf::from(std::env::var_os("HOME")?).join(".cache/cofferdam/packages");
        let packages = fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
        let kernel = packages.filter(|path| path.to_string_lossy().contains("-cloud-amd64_")).max();
        let able = rustix::process::geteuid().is_root() && Path::new("/usr/bin/qemu-system-x86_64").exists();
        let Some(kernel) = kernel.filter(|_| able) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "needs root, QEMU and a kernel package (tests/setup/packages.sh guest-kernel)"
            );
            eprintln!("skipped: needs root, QEMU and a kernel package");
            return None;
        };
        let shim = built(&["-p", "cofferdam-shim"]).join("debug/cofferdam-shim");
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        rootfs(&dir.path().join("layer"));
        let root = format!("/cofferdam-vm-pod-test-{}", std::process::id());
        let node = Node { dir, root, kernel, launcher: Arc::new(Launcher::new(&shim).unwrap()) };
        let target = "x86_64-unknown-linux-musl";
        let agent = built(&["--profile", "small", "--target", target, "-p", "cofferdam-agent"])
            .join(target)
            .join("small/cofferdam-agent");
        node.image("image", &agent);
        Some(node)
    }

    fn image(&self, name: &str, agent: &Path) -> PathBuf {
        let image_dir = self.dir.path().join(name);
        let kernel = KernelSource::Package(self.kernel.clone());
        let cache = self.dir.path().join("cache");
        build(&BuildConfig { image_dir: image_dir.clone(), kernel, agent: agent.into(), cache }).unwrap();
        image_dir
    }

    /// One whose init is no program.
    pub fn broken_image(&self) -> PathBuf {
        self.image("broken", Path::new("/etc/hostname"))
    }

    pub fn config(&self) -> VmConfig {
        VmConfig { image_dir: self.dir.path().join("image"), ..VmConfig::default() }
    }

    /// What a daemon has after its start.
    pub fn factory(&self, config: VmConfig) -> VmFactory {
        VmFactory::new(config, self.launcher.clone())
    }

    pub fn spec(&self) -> SandboxSpec {
        let id = format!("{:064x}", NUMBER.fetch_add(1, Ordering::Relaxed) + 1);
        let own = NamespaceMode::Pod;
        SandboxSpec {
            namespace: "default".into(),
            name: "web".into(),
            uid: "u".into(),
            tenant: "acme".into(),
            kind: SandboxKind::Vm,
            hostname: "web".into(),
            dir: self.dir.path().join("pods").join(&id),
            cgroup: format!("{}/pods/{id}", self.root),
            shim_cgroup: format!("{}/shims", self.root),
            namespaces: PodNamespaces { network: own, pid: NamespaceMode::Container, ipc: own, user: None },
            sysctls: BTreeMap::new(),
            shm_size: 1 << 20,
            resolv_conf: String::new(),
            vm: Some(VmSize { cpus: 1, memory: MINIMUM }),
            init_seccomp: Vec::new(),
            id,
        }
    }

    fn container(&self, sandbox: &SandboxSpec, script: &str, volumes: &[(&Path, &str, &str)]) -> ContainerSpec {
        let id = format!("c{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (upper, work) = (self.dir.path().join(format!("{id}-upper")), self.dir.path().join(format!("{id}-work")));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
            json!({ "destination": "/dev/shm", "type": "bind", "source": sandbox.dir.join("shm"), "options": ["rbind", "rw", "nosuid", "nodev", "noexec"] }),
        ];
        mounts.extend(volumes.iter().map(|(host, inside, mode)| {
            json!({ "destination": inside, "type": "bind", "source": host, "options": ["rbind", "rprivate", mode] })
        }));
        let oci = json!({
            "ociVersion": "1.2.0",
            "process": {
                "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": true,
            },
            "root": { "path": "rootfs" },
            "mounts": mounts,
            "linux": { "cgroupsPath": format!("{}/{id}", sandbox.cgroup) },
        });
        ContainerSpec {
            name: id.clone(),
            id,
            oci: serde_json::from_value(oci).unwrap(),
            rootfs: ContainerRootfs { lower: vec![self.dir.path().join("layer")], upper, work },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: BTreeMap::new(),
        }
    }

    pub fn log(&self, container: &str) -> PathBuf {
        self.dir.path().join(format!("{container}.log"))
    }

    /// Stages, creates and starts a container; its id.
    pub async fn run(&self, sandbox: &dyn Sandbox, script: &str, volumes: &[(&Path, &str, &str)]) -> String {
        let spec = self.container(sandbox.spec(), script, volumes);
        sandbox.check_container(&spec).unwrap();
        let spec = sandbox.stage(spec).await.unwrap();
        let log = OpenOptions::new().append(true).create(true).open(self.log(&spec.id)).unwrap();
        sandbox.pod().create(&spec, Some(log.into())).await.unwrap();
        sandbox.pod().start(&spec.id).await.unwrap();
        spec.id
    }

    /// Nothing of a sandbox is left: no process, no mount, no cgroup, no file.
    pub fn assert_clean(&self, spec: &SandboxSpec) {
        assert!(!spec.dir.exists(), "{} is left", spec.dir.display());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(spec.dir.to_str().unwrap()), "mounts are left");
        let dirs =
            cgroup::hierarchies().unwrap().into_iter().map(|root| root.join(spec.cgroup.trim_start_matches('/')));
        assert_eq!(dirs.filter(|dir| dir.exists()).collect::<Vec<_>>(), Vec::<PathBuf>::new(), "cgroups are left");
        assert!(cgroup::processes(&spec.shim_cgroup).is_empty(), "shims are left");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = cgroup::kill(&self.root);
        let _ = cgroup::remove(&self.root);
        let pods = fs::read_dir(self.dir.path().join("pods")).into_iter().flatten().flatten();
        pods.for_each(|pod| drop(cofferdam_vm::share::remove(&pod.path().join("share"))));
    }
}

async fn next(events: &mut broadcast::Receiver<PodEvent>) -> PodEvent {
    tokio::time::timeout(Duration::from_secs(30), events.recv()).await.expect("an event").unwrap()
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
    for dir in ["bin", "dev", "etc", "proc", "tmp"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let mut from = File::open("/bin/busybox").expect("/bin/busybox of Debian's busybox-static");
    std::io::copy(&mut from, &mut File::create(root.join("bin/busybox")).unwrap()).unwrap();
    rustix::fs::chmod(root.join("bin/busybox"), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    for applet in ["cat", "grep", "hostname", "ls", "sh", "sleep", "touch", "uname"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}
