//! A whole server in this process, on fakes of everything below it and a real store in a directory of its own.

#![allow(dead_code, clippy::unwrap_used)]

pub mod fake_pod;
pub mod fakes;
pub mod faults;
pub mod images;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use cofferdam_cri_server::{Parts, Runtime, RuntimeServer, Settings};
use cofferdam_seccomp::Seccomp;
use cofferdam_store::{File, Store};
use fake_pod::FakePod;
use fakes::{Fake, World};
use faults::{FaultyDisk, Gate, Writes};
pub use images::IMAGE;
use tonic::{Request, Status};

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub world: Arc<World>,
    pub gate: Arc<Gate>,
    pub writes: Arc<Writes>,
    pub server: RuntimeServer,
}

impl Bed {
    pub fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        Bed::on(dir, Arc::default())
    }

    /// The next daemon on what this one has left; its tasks have to be gone, as after `kill -9`.
    pub fn restarted(self) -> Bed {
        let Bed { dir, world, server, .. } = self;
        drop(server);
        Bed::on(dir, world)
    }

    fn on(dir: tempfile::TempDir, world: Arc<World>) -> Bed {
        let fake = || Arc::new(Fake(world.clone()));
        let (gate, writes) = (Arc::new(Gate::default()), Arc::new(Writes::default()));
        let disk = FaultyDisk { file: open(&dir.path().join("state.redb")), writes: writes.clone() };
        let parts = Parts {
            store: Store::open_on(Box::new(disk)).unwrap(),
            factories: vec![fake()],
            network: fake(),
            policy: fake(),
            tenants: fake(),
            images: fake(),
            seccomp: Arc::new(Seccomp::default()),
        };
        let settings = Settings {
            state: dir.path().join("run"),
            root: dir.path().join("lib"),
            cgroup_root: "/cofferdam".into(),
            cgroup_driver: cri::CgroupDriver::Cgroupfs,
            kubelet_root_dirs: vec![dir.path().join("kubelet")],
            user_namespace_range: None,
            vm_ids: (2_000_000_000, 65_536),
            boot_id: "boot".into(),
        };
        let server = RuntimeServer(Runtime::with_checkpoint(settings, parts, gate.clone()));
        Bed { dir, world, gate, writes, server }
    }

    pub async fn run(&self, config: cri::PodSandboxConfig) -> Result<String, Status> {
        let request = cri::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        Ok(self.server.run_pod_sandbox(Request::new(request)).await?.into_inner().pod_sandbox_id)
    }

    pub async fn create(&self, pod: &str, config: cri::ContainerConfig) -> Result<String, Status> {
        Ok(self.server.create_container(create_request(pod, config)).await?.into_inner().container_id)
    }

    /// A container that runs.
    pub async fn started(&self, pod: &str) -> String {
        let id = self.create(pod, container("app")).await.unwrap();
        self.start(&id).await.unwrap();
        id
    }

    pub async fn start(&self, id: &str) -> Result<(), Status> {
        let request = cri::StartContainerRequest { container_id: id.into() };
        self.server.start_container(Request::new(request)).await.map(|_| ())
    }

    pub async fn stop(&self, id: &str, timeout: i64) -> Result<(), Status> {
        let request = cri::StopContainerRequest { container_id: id.into(), timeout };
        self.server.stop_container(Request::new(request)).await.map(|_| ())
    }

    pub async fn remove(&self, id: &str) -> Result<(), Status> {
        let request = cri::RemoveContainerRequest { container_id: id.into() };
        self.server.remove_container(Request::new(request)).await.map(|_| ())
    }

    pub async fn status(&self, id: &str) -> Result<cri::ContainerStatus, Status> {
        let request = cri::ContainerStatusRequest { container_id: id.into(), verbose: false };
        Ok(self.server.container_status(Request::new(request)).await?.into_inner().status.unwrap())
    }

    pub async fn stop_pod(&self, id: &str) -> Result<(), Status> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.into() };
        self.server.stop_pod_sandbox(Request::new(request)).await.map(|_| ())
    }

    pub async fn remove_pod(&self, id: &str) -> Result<(), Status> {
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.into() };
        self.server.remove_pod_sandbox(Request::new(request)).await.map(|_| ())
    }

    pub async fn exec(&self, id: &str, timeout: i64) -> Result<cri::ExecSyncResponse, Status> {
        let request = cri::ExecSyncRequest { container_id: id.into(), cmd: vec!["true".into()], timeout };
        Ok(self.server.exec_sync(Request::new(request)).await?.into_inner())
    }

    pub async fn pods(&self) -> Vec<cri::PodSandbox> {
        let request = Request::new(cri::ListPodSandboxRequest::default());
        self.server.list_pod_sandbox(request).await.unwrap().into_inner().items
    }

    pub async fn containers(&self) -> Vec<cri::Container> {
        let request = Request::new(cri::ListContainersRequest::default());
        self.server.list_containers(request).await.unwrap().into_inner().containers
    }

    /// The pod behind a sandbox.
    pub fn pod(&self, sandbox: &str) -> Arc<FakePod> {
        self.world.running.lock().unwrap()[sandbox].clone()
    }

    /// What containers have left: writable layers, volumes, and what is staged.
    pub fn container_leftovers(&self) -> Vec<String> {
        let volumes = std::fs::read_dir(self.dir.path().join("lib/volumes")).into_iter().flatten().flatten();
        let volumes = volumes.map(|e| format!("volumes of {}", e.file_name().display()));
        let names = |what: &str, set: &std::sync::Mutex<std::collections::BTreeSet<String>>| -> Vec<String> {
            set.lock().unwrap().iter().map(|id| format!("{what} of {id}")).collect()
        };
        let (layers, staged) = (names("layer", &self.world.rootfs), names("stage", &self.world.staged));
        volumes.chain(layers).chain(staged).collect()
    }

    /// Whether nothing of any pod is left, in the kernel or on the disk.
    pub async fn is_empty(&self) -> bool {
        self.leftovers().await.is_empty()
    }

    async fn leftovers(&self) -> Vec<String> {
        let mut left = self.container_leftovers();
        let world = &self.world;
        left.extend(world.leases.lock().unwrap().iter().map(|id| format!("lease of {id}")));
        left.extend(world.programmed.lock().unwrap().iter().map(|id| format!("rules of {id}")));
        left.extend(world.running.lock().unwrap().keys().map(|id| format!("sandbox {id}")));
        left.extend(self.pods().await.into_iter().map(|pod| format!("{pod:?}")));
        left.extend(self.containers().await.into_iter().map(|container| format!("{container:?}")));
        if self.server.0.has_sandboxes() {
            left.push("a sandbox in the store".into());
        }
        let dirs = std::fs::read_dir(self.dir.path().join("run/pods")).into_iter().flatten().flatten();
        left.extend(dirs.map(|dir| dir.path().display().to_string()));
        left
    }

    /// See [`Bed::is_empty`].
    pub async fn assert_empty(&self) {
        assert_eq!(self.leftovers().await, [""; 0]);
    }
}

/// Tries until it is so.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    cofferdam_test_support::eventually_async(what, is).await.unwrap();
}

/// A pod with nothing special.
pub fn pod(name: &str) -> cri::PodSandboxConfig {
    let metadata =
        cri::PodSandboxMetadata { name: name.into(), namespace: "blue".into(), uid: name.into(), attempt: 0 };
    cri::PodSandboxConfig { metadata: Some(metadata), ..Default::default() }
}

pub fn create_request(pod: &str, config: cri::ContainerConfig) -> Request<cri::CreateContainerRequest> {
    let config = Some(config);
    Request::new(cri::CreateContainerRequest { pod_sandbox_id: pod.into(), config, sandbox_config: None })
}

/// A container that declares a port, as kubelet tells it.
pub fn with_ports(name: &str) -> cri::ContainerConfig {
    let ports = r#"[{"name":"web","containerPort":8080,"protocol":"TCP"}]"#;
    let annotations = [("io.kubernetes.container.ports".to_owned(), ports.to_owned())].into();
    cri::ContainerConfig { annotations, ..container(name) }
}

/// A container of the one image.
pub fn container(name: &str) -> cri::ContainerConfig {
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: name.into(), attempt: 0 }),
        image: Some(cri::ImageSpec { image: IMAGE.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// The writer of an earlier daemon closes the file after its last commit.
fn open(path: &Path) -> File {
    let mut last = None;
    for _ in 0..2000 {
        match File::open(path) {
            Ok(file) => return file,
            Err(error) => last = Some(error),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the store stays in use: {last:?}");
}
