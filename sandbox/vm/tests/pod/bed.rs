//! A node for VM sandboxes: with the real shim, and the real agent in a guest image.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_pod_client::{Launcher, cgroup};
use cofferdam_sandbox::{
    ContainerExit, ContainerRootfs, ContainerSpec, NamespaceMode, PodEvent, PodNamespaces, Sandbox, SandboxKind,
    SandboxSpec, Stdio, VmSize,
};
use cofferdam_test_support::{Node, PATIENCE, build_binary, guest_kernel_package};
use cofferdam_vm::image::{BuildConfig, KernelSource, build};
use cofferdam_vm::{MINIMUM, VmConfig, VmFactory};
use serde_json::json;
use tokio::sync::broadcast;

pub struct Bed {
    pub node: Node,
    kernel: PathBuf,
    launcher: Arc<Launcher>,
}

impl Bed {
    pub fn new() -> Bed {
        let shim = build_binary("cofferdam-shim", &[], "debug/cofferdam-shim").unwrap();
        let launcher = Arc::new(Launcher::new(&shim).unwrap());
        let bed = Bed { node: Node::new("vm-pod").unwrap(), kernel: guest_kernel_package().unwrap(), launcher };
        let target = "x86_64-unknown-linux-musl";
        let options = ["--profile", "small", "--target", target];
        let agent = build_binary("cofferdam-agent", &options, &format!("{target}/small/cofferdam-agent")).unwrap();
        bed.image("image", &agent);
        bed
    }

    fn image(&self, name: &str, agent: &Path) -> PathBuf {
        let image_dir = self.node.dir().join(name);
        let kernel = KernelSource::Package(self.kernel.clone());
        let cache = self.node.dir().join("cache");
        build(&BuildConfig { image_dir: image_dir.clone(), kernel, agent: agent.into(), cache }).unwrap();
        image_dir
    }

    /// One whose init is no program.
    pub fn broken_image(&self) -> PathBuf {
        self.image("broken", Path::new("/etc/hostname"))
    }

    pub fn config(&self) -> VmConfig {
        VmConfig { image_dir: self.node.dir().join("image"), ..VmConfig::default() }
    }

    /// What a daemon has after its start.
    pub fn factory(&self, config: VmConfig) -> VmFactory {
        VmFactory::new(config, self.launcher.clone())
    }

    pub fn spec(&self) -> SandboxSpec {
        let id = self.node.sandbox_id();
        let own = NamespaceMode::Pod;
        SandboxSpec {
            namespace: "default".into(),
            name: "web".into(),
            uid: "u".into(),
            tenant: "acme".into(),
            kind: SandboxKind::Vm,
            hostname: "web".into(),
            dir: self.node.dir().join("pods").join(&id),
            cgroup: format!("{}/pods/{id}", self.node.cgroup()),
            shim_cgroup: format!("{}/shims", self.node.cgroup()),
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
        let (id, upper, work) = self.node.overlay().unwrap();
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
            rootfs: ContainerRootfs { lower: vec![self.node.layer()], upper, work },
            seccomp: Vec::new(),
            stdio: Stdio::default(),
            pid_target: None,
            extensions: BTreeMap::new(),
        }
    }

    pub fn log(&self, container: &str) -> PathBuf {
        self.node.dir().join(format!("{container}.log"))
    }

    /// Stages, creates and starts a container; its id.
    pub async fn run(&self, sandbox: &dyn Sandbox, script: &str, volumes: &[(&Path, &str, &str)]) -> String {
        self.start(sandbox, self.container(sandbox.spec(), script, volumes)).await
    }

    /// One that may change its guest's devices.
    pub async fn run_with_sysfs(&self, sandbox: &dyn Sandbox, script: &str) -> String {
        let mut spec = self.container(sandbox.spec(), script, &[]);
        let mut mounts = spec.oci.mounts().clone().unwrap_or_default();
        let sysfs = json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "rw"] });
        mounts.push(serde_json::from_value(sysfs).unwrap());
        spec.oci.set_mounts(Some(mounts));
        self.start(sandbox, spec).await
    }

    async fn start(&self, sandbox: &dyn Sandbox, spec: ContainerSpec) -> String {
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
        assert_eq!(self.node.left_of(&spec.dir, &spec.cgroup).unwrap(), Vec::<String>::new());
        assert!(cgroup::processes(&spec.shim_cgroup).is_empty(), "shims are left");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = cgroup::kill(self.node.cgroup());
        let pods = fs::read_dir(self.node.dir().join("pods")).into_iter().flatten().flatten();
        pods.for_each(|pod| drop(cofferdam_vm::share::remove(&pod.path().join("share"))));
    }
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
