//! What all RPCs share: the store, the live sandboxes, the seams to sandboxes, network, policy, tenants and images.
//!
//! Who may change what: entries of the store are changed by the operations of `pods` and `containers` and by the watcher
//! of a sandbox (`watch`); `live` by `pods`, `watch` and recovery.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use cofferdam_cri_api::v1 as cri;
use cofferdam_image::ImageService;
use cofferdam_netpolicy::PolicyEngine;
use cofferdam_sandbox::{PodNetwork, Sandbox, SandboxFactory, SandboxKind};
use cofferdam_seccomp::Seccomp;
use cofferdam_store::{ContainerEntry, SandboxEntry, Store};
use cofferdam_streaming::StreamServer;
use cofferdam_tenant::TenantRegistry;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::ops::Ops;
use crate::{Error, convert, ids};

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
    /// Boot id of the node.
    pub boot_id: String,
}

/// The implementations behind the seams.
pub struct Parts {
    /// Durable state.
    pub store: Store,
    /// One factory a kind.
    pub factories: Vec<Arc<dyn SandboxFactory>>,
    /// Pod network.
    pub network: Arc<dyn PodNetwork>,
    /// Network policy.
    pub policy: Arc<dyn PolicyEngine>,
    /// Tenants.
    pub tenants: Arc<dyn TenantRegistry>,
    /// Images.
    pub images: Arc<ImageService>,
    /// Seccomp profiles.
    pub seccomp: Arc<Seccomp>,
}

/// The runtime behind both CRI services.
pub struct Runtime {
    pub(crate) settings: Settings,
    pub(crate) parts: Parts,
    pub(crate) ops: Ops,
    pub(crate) streams: OnceLock<StreamServer>,
    pub(crate) users: crate::user_files::Cache,
    live: RwLock<HashMap<String, Arc<dyn Sandbox>>>,
    events: broadcast::Sender<cri::ContainerEventResponse>,
    /// One for each container with a stop under way: when it is killed at the latest.
    pub(crate) stops: Mutex<HashMap<String, Instant>>,
    /// Bumped whenever a container or a stop deadline changes; waiters look again.
    changed: watch::Sender<u64>,
    /// Set once, when the daemon is about to end.
    ending: watch::Sender<bool>,
}

impl Runtime {
    /// Puts the parts together. Nothing runs until `recover`.
    pub fn new(settings: Settings, parts: Parts) -> Arc<Runtime> {
        Arc::new(Runtime {
            settings,
            parts,
            ops: Ops::default(),
            streams: OnceLock::new(),
            users: Default::default(),
            live: RwLock::default(),
            events: broadcast::channel(1024).0,
            stops: Mutex::default(),
            changed: watch::channel(0).0,
            ending: watch::channel(false).0,
        })
    }

    /// The factory of a kind.
    pub(crate) fn factory(&self, kind: SandboxKind) -> Result<&Arc<dyn SandboxFactory>, Error> {
        let found = self.parts.factories.iter().find(|f| f.kind() == kind);
        found.ok_or_else(|| Error::Internal(format!("no factory for {kind:?} sandboxes")))
    }

    /// A live sandbox.
    pub(crate) fn live(&self, id: &str) -> Option<Arc<dyn Sandbox>> {
        self.live.read().unwrap_or_else(|p| p.into_inner()).get(id).cloned()
    }

    pub(crate) fn set_live(&self, sandbox: Arc<dyn Sandbox>) {
        let id = sandbox.spec().id.clone();
        self.live.write().unwrap_or_else(|p| p.into_inner()).insert(id, sandbox);
    }

    pub(crate) fn take_live(&self, id: &str) -> Option<Arc<dyn Sandbox>> {
        self.live.write().unwrap_or_else(|p| p.into_inner()).remove(id)
    }

    /// A visible pod sandbox, by id or unambiguous prefix.
    pub(crate) fn pod(&self, id: &str) -> Result<Arc<SandboxEntry>, Error> {
        pick("pod sandbox", id, self.parts.store.sandboxes.with_prefix(id), convert::pod_visible, |e| &e.spec.id)
    }

    /// A visible container, by id or unambiguous prefix.
    pub(crate) fn container(&self, id: &str) -> Result<Arc<ContainerEntry>, Error> {
        pick("container", id, self.parts.store.containers.with_prefix(id), convert::container_visible, |e| &e.id)
    }

    /// All containers of a sandbox, visible or not.
    pub(crate) fn containers_of(&self, sandbox: &str) -> Vec<Arc<ContainerEntry>> {
        let all = self.parts.store.containers.list();
        all.into_iter().filter(|c| c.sandbox == sandbox).collect()
    }

    /// The live sandbox of a container.
    pub(crate) fn sandbox_of(&self, container: &ContainerEntry) -> Result<Arc<dyn Sandbox>, Error> {
        let gone = || {
            Error::Precondition(format!(
                "pod sandbox {} of container {} is not running",
                container.sandbox, container.id
            ))
        };
        self.live(&container.sandbox).ok_or_else(gone)
    }

    /// Events from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<cri::ContainerEventResponse> {
        self.events.subscribe()
    }

    /// Ends the streams that would never end by themselves (GetContainerEvents), so that the daemon can.
    pub fn end_streams(&self) {
        self.ending.send_replace(true);
    }

    /// Resolves when `end_streams` was called.
    pub(crate) fn ending(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            // A runtime that is gone is an end as well.
            let _ = ending.wait_for(|ending| *ending).await;
        }
    }

    /// Tells waiters to look again.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Changes of containers from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Announces a change of a container (or of a sandbox, by its own id) to GetContainerEvents and to waiters.
    pub(crate) fn announce(&self, id: &str, sandbox: &str, kind: cri::ContainerEventType) {
        self.touch();
        // Nobody may be listening.
        let _ = self.events.send(cri::ContainerEventResponse {
            container_id: id.to_owned(),
            container_event_type: kind.into(),
            created_at: now(),
            pod_sandbox_status: self.parts.store.sandboxes.get(sandbox).map(|s| convert::pod_status(&s)),
            containers_statuses: self
                .containers_of(sandbox)
                .iter()
                .filter(|c| convert::container_visible(c))
                .map(|c| convert::container_status(c))
                .collect(),
        });
    }

    /// `STATE/pods/ID`.
    pub(crate) fn pod_dir(&self, id: &str) -> PathBuf {
        self.settings.state.join("pods").join(id)
    }

    /// Anonymous volumes of a container.
    pub(crate) fn volume_dir(&self, container: &str) -> PathBuf {
        self.settings.root.join("volumes").join(container)
    }
}

/// An object by id or unambiguous prefix.
fn pick<T>(
    what: &str,
    id: &str,
    found: Vec<Arc<T>>,
    visible: impl Fn(&T) -> bool,
    id_of: impl Fn(&T) -> &String,
) -> Result<Arc<T>, Error> {
    if !ids::plausible(id) {
        return Err(Error::NotFound(format!("{what} {id:?} not found")));
    }
    let mut found: Vec<Arc<T>> = found.into_iter().filter(|e| visible(e)).collect();
    if let Some(exact) = found.iter().find(|e| id_of(e) == id) {
        return Ok(exact.clone());
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Error::Invalid(format!("{what} {id:?} is ambiguous"))),
        (None, _) => Err(Error::NotFound(format!("{what} {id:?} not found"))),
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    nanos(SystemTime::now())
}

/// Nanoseconds since the epoch; times before it are 0.
pub(crate) fn nanos(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).ok().and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}
