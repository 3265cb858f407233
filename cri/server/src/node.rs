//! What never changes while the server runs: its settings, and the implementations behind its seams.

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam_cri_api::v1 as cri;
use cofferdam_netpolicy::PolicyEngine;
use cofferdam_sandbox::{FILES_DIR, PodNetwork, SandboxFactory, SandboxKind};
use cofferdam_seccomp::Seccomp;
use cofferdam_store::Store;
use cofferdam_tenant::TenantRegistry;
use cofferdam_tree::Trash;

use crate::error::Error;
use crate::images::Images;
use crate::steps::Checkpoint;

/// What the server is told by the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Run state (`/run/cofferdam`).
    pub state: PathBuf,
    /// Durable root (`/var/lib/cofferdam`).
    pub root: PathBuf,
    /// `[cgroup] root`: shims, and pods without cgroup_parent, live below it.
    pub cgroup_root: String,
    /// The cgroup driver in use.
    pub cgroup_driver: cri::CgroupDriver,
    /// `[kubelet] root_dirs`.
    pub kubelet_root_dirs: Vec<PathBuf>,
    /// `[tenant] user_namespace_range`: first host id and number of ids.
    pub user_namespace_range: Option<(u32, u32)>,
    /// Host ids that the node's VMs run as: first and number.
    pub vm_ids: (u32, u32),
    /// Boot id of the node.
    pub boot_id: String,
}

/// The implementations behind the seams.
pub struct Parts {
    /// The records of pods and containers; its tables go to their lifecycles.
    pub store: Store,
    /// One factory a kind.
    pub factories: Vec<Arc<dyn SandboxFactory>>,
    /// Gives pods addresses and links.
    pub network: Arc<dyn PodNetwork>,
    /// Enforces who may talk to whom.
    pub policy: Arc<dyn PolicyEngine>,
    /// Says which tenant a namespace belongs to, and what that tenant may have.
    pub tenants: Arc<dyn TenantRegistry>,
    /// Pulls images and makes root file systems of them.
    pub images: Arc<dyn Images>,
    /// Compiles seccomp profiles.
    pub seccomp: Arc<Seccomp>,
}

/// Settings and seams, without the store: its tables belong to `pods` and `containers`.
pub(crate) struct Node {
    pub settings: Settings,
    pub factories: Vec<Arc<dyn SandboxFactory>>,
    pub network: Arc<dyn PodNetwork>,
    pub policy: Arc<dyn PolicyEngine>,
    pub tenants: Arc<dyn TenantRegistry>,
    pub images: Arc<dyn Images>,
    pub seccomp: Arc<Seccomp>,
    /// `ROOT/trash`: volumes of removed containers.
    pub volume_trash: Arc<Trash>,
    pub checkpoint: Option<Arc<dyn Checkpoint>>,
}

impl Node {
    /// Takes the store apart from the rest.
    pub fn new(settings: Settings, parts: Parts, checkpoint: Option<Arc<dyn Checkpoint>>) -> (Node, Store) {
        let Parts { store, factories, network, policy, tenants, images, seccomp } = parts;
        let volume_trash = Arc::new(Trash::new(settings.root.join("trash")));
        (Node { settings, factories, network, policy, tenants, images, seccomp, volume_trash, checkpoint }, store)
    }

    /// The factory of a kind.
    pub fn factory(&self, kind: SandboxKind) -> Result<&Arc<dyn SandboxFactory>, Error> {
        let found = self.factories.iter().find(|f| f.kind() == kind);
        found.ok_or_else(|| Error::Internal(format!("no factory for {kind:?} sandboxes")))
    }

    /// `STATE/pods/ID`: the files of a pod.
    pub fn pod_dir(&self, id: &str) -> PathBuf {
        self.settings.state.join("pods").join(id)
    }

    /// `STATE/pods/ID/etc`: the files that the pod's containers find in /etc. A pod that an earlier release made has
    /// them in its directory itself.
    pub fn files_dir(&self, id: &str) -> PathBuf {
        let (pod, own) = (self.pod_dir(id), self.pod_dir(id).join(FILES_DIR));
        if own.is_dir() { own } else { pod }
    }

    /// `ROOT/volumes/ID`: the volumes that a container's image declares.
    pub fn volume_dir(&self, container: &str) -> PathBuf {
        self.settings.root.join("volumes").join(container)
    }

    /// Tests pass it at every step of a creation.
    pub fn checkpoint(&self) -> Option<&dyn Checkpoint> {
        self.checkpoint.as_deref()
    }
}
