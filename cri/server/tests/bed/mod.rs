//! A whole server in this process, on fakes of everything below it and a real store and image store in a directory of its own.

#![allow(dead_code, clippy::unwrap_used)]

pub mod fake_pod;
pub mod fakes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_cri_api::v1 as cri;
use cofferdam_cri_api::v1::runtime_service_server::RuntimeService;
use cofferdam_cri_server::{Parts, Runtime, RuntimeServer, Settings};
use cofferdam_image::{Helper, ImageConfig, ImageService, Limits};
use cofferdam_seccomp::Seccomp;
use cofferdam_store::Store;
use fake_pod::FakePod;
use fakes::{Fake, World};
use sha2::{Digest, Sha256};
use tonic::{Request, Status};

/// The only image.
pub const IMAGE: &str = "registry.example/app:1";

pub struct Bed {
    pub dir: tempfile::TempDir,
    pub world: Arc<World>,
    pub server: RuntimeServer,
}

impl Bed {
    pub fn new() -> Bed {
        let dir = tempfile::tempdir().unwrap();
        image(&dir.path().join("images"));
        let world = Arc::new(World::default());
        let fake = || Arc::new(Fake(world.clone()));
        let parts = Parts {
            store: Store::open(&dir.path().join("state.redb")).unwrap(),
            factories: vec![fake()],
            network: fake(),
            policy: fake(),
            tenants: fake(),
            images: Arc::new(ImageService::open(images(&dir.path().join("images"))).unwrap()),
            seccomp: Arc::new(Seccomp::default()),
        };
        let settings = Settings {
            state: dir.path().join("run"),
            root: dir.path().join("lib"),
            cgroup_root: "/cofferdam".into(),
            cgroup_driver: cri::CgroupDriver::Cgroupfs,
            kubelet_root_dirs: vec![dir.path().join("kubelet")],
            user_namespace_range: None,
            boot_id: "boot".into(),
        };
        let server = RuntimeServer(Runtime::new(settings, parts));
        Bed { dir, world, server }
    }

    pub async fn run(&self, config: cri::PodSandboxConfig) -> Result<String, Status> {
        let request = cri::RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
        Ok(self.server.run_pod_sandbox(Request::new(request)).await?.into_inner().pod_sandbox_id)
    }

    pub async fn create(&self, pod: &str, config: cri::ContainerConfig) -> Result<String, Status> {
        let request =
            cri::CreateContainerRequest { pod_sandbox_id: pod.into(), config: Some(config), sandbox_config: None };
        Ok(self.server.create_container(Request::new(request)).await?.into_inner().container_id)
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

    /// What containers have left on the disk. What is set aside (`.old-*`) is being removed.
    pub fn container_files(&self) -> Vec<String> {
        let names = |dir: &str| std::fs::read_dir(self.dir.path().join(dir)).into_iter().flatten().flatten();
        let left = names("images/snapshots").chain(names("lib/volumes")).map(|e| e.file_name().display().to_string());
        left.filter(|name| !name.starts_with('.')).collect()
    }

    /// Nothing of any pod is left, in the kernel or on the disk.
    pub async fn assert_empty(&self) {
        assert_eq!(*self.world.leases.lock().unwrap(), [].into(), "leases");
        assert_eq!(*self.world.programmed.lock().unwrap(), [].into(), "rules");
        assert!(self.world.running.lock().unwrap().is_empty(), "sandboxes");
        assert!(self.pods().await.is_empty() && self.containers().await.is_empty());
        assert!(!self.server.0.has_sandboxes(), "the store holds a sandbox");
        let dirs: Vec<_> = std::fs::read_dir(self.dir.path().join("run/pods")).into_iter().flatten().collect();
        assert!(dirs.is_empty(), "{dirs:?}");
        assert_eq!(self.container_files(), [""; 0]);
    }
}

/// Tries until it is so.
pub async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 5 s");
}

/// A pod with nothing special.
pub fn pod(name: &str) -> cri::PodSandboxConfig {
    let metadata =
        cri::PodSandboxMetadata { name: name.into(), namespace: "blue".into(), uid: name.into(), attempt: 0 };
    cri::PodSandboxConfig { metadata: Some(metadata), ..Default::default() }
}

/// A container of the one image.
pub fn container(name: &str) -> cri::ContainerConfig {
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: name.into(), attempt: 0 }),
        image: Some(cri::ImageSpec { image: IMAGE.into(), ..Default::default() }),
        ..Default::default()
    }
}

fn images(root: &Path) -> ImageConfig {
    ImageConfig {
        root: root.to_owned(),
        registry_config_path: root.join("certs.d"),
        helper: Helper { program: "/nowhere".into(), args: Vec::new() },
        limits: Limits::default(),
        stall_timeout: ImageConfig::STALL_TIMEOUT,
        pinned: Vec::new(),
    }
}

/// An image without layers, as an earlier daemon has left it: nothing has to be unpacked.
fn image(root: &Path) {
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Cmd": ["/bin/app"], "Volumes": { "/data": {} } },
    })
    .to_string();
    let hex: String = Sha256::digest(config.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let id = format!("sha256:{hex}");
    let record = serde_json::json!({
        "id": id, "repo_tags": [IMAGE], "repo_digests": [], "size": config.len(), "layers": [],
    });
    let document = serde_json::json!({ "version": 1, "images": { (id.clone()): record }, "layers": {} });
    std::fs::create_dir_all(root.join("blobs")).unwrap();
    std::fs::write(root.join("blobs").join(hex), config).unwrap();
    std::fs::write(root.join("images.json"), document.to_string()).unwrap();
}
