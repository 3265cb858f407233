//! The two seams of a sandbox: the factory of a kind, and one live sandbox.
//!
//! ```text
//!  create ──> Created ──start──> Ready ──stop──> Stopped ──remove──> (gone)
//!                 └───────────── died (shim, VMM, agent) ──> Stopped
//! ```
//! `stop` and `remove` are idempotent, and `SandboxFactory::remove_leftovers` undoes a `create` that was cut off
//! anywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_pod_api::{ContainerExit, ContainerSpec};
use cofferdam_tenant::SandboxKind;
use serde::{Deserialize, Serialize};

use crate::error::SandboxError;
use crate::network::{LinkEnd, NetworkAttachment};
use crate::pod::PodClient;
use crate::spec::SandboxSpec;

/// A process that can be found again after a restart: a pid is reused, this triple is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// PID in the host's namespace.
    pub pid: u32,
    /// Start time, field 22 of `/proc/PID/stat` (clock ticks since boot).
    pub start_time: u64,
    /// Boot id it was started under.
    pub boot_id: String,
}

/// What must be kept in the store to find a sandbox again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// The shim.
    pub shim: ProcessIdentity,
    /// QEMU, once it runs.
    pub vmm: Option<ProcessIdentity>,
    /// virtiofsd, once it runs.
    pub virtiofsd: Option<ProcessIdentity>,
    /// The pinned network namespace; `None` with host network and in a VM.
    pub netns: Option<PathBuf>,
}

/// How a sandbox takes part in networking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// It shares the node's network.
    Host,
    /// It takes a link.
    Link(NetworkAttachment),
}

/// What recovery found.
pub enum Recovered {
    /// It lives, and is connected again.
    Live(Arc<dyn Sandbox>),
    /// It is dead; says why. Its exit records, where the shim could still write them, are returned.
    Dead {
        /// Reason for people.
        reason: String,
        /// Exits recorded durably by the shim.
        exits: Vec<ContainerExit>,
    },
}

/// Makes and recovers the sandboxes of one kind.
#[async_trait]
pub trait SandboxFactory: Send + Sync {
    /// The kind of sandbox it makes.
    fn kind(&self) -> SandboxKind;

    /// Why no sandbox of this kind can be made on this node now, or `None`. A kind that cannot is not listed as a
    /// handler.
    fn unavailable(&self) -> Option<String>;

    /// Refuses early, before anything is allocated, what this kind cannot give.
    fn check(&self, spec: &SandboxSpec) -> Result<(), SandboxError>;

    /// Makes `dir`, which lies in the directory of a sandbox to come, a place that holds this many bytes and no more,
    /// for files that its containers may write. Gone with what [`SandboxFactory::remove_leftovers`] removes.
    async fn bound_files(&self, dir: &Path, bytes: u64) -> Result<(), SandboxError>;

    /// Cgroups, namespaces, directories and the shim. Packets cannot flow yet, and containers not run.
    /// On error nothing is left.
    async fn create(&self, spec: &SandboxSpec) -> Result<Arc<dyn Sandbox>, SandboxError>;

    /// Finds a sandbox again after a restart of the daemon.
    async fn recover(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<Recovered, SandboxError>;

    /// Removes whatever a sandbox of this spec may have left: processes, cgroups, mounts, directories. Idempotent.
    async fn remove_leftovers(&self, spec: &SandboxSpec, record: Option<&SandboxRecord>) -> Result<(), SandboxError>;
}

/// One live sandbox.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// The spec that it was made from.
    fn spec(&self) -> &SandboxSpec;

    /// What the store must keep; changes once, in `start`.
    fn record(&self) -> SandboxRecord;

    /// How it takes its network.
    fn attachment(&self) -> Attachment;

    /// Gives it its link (`None` with host network) and makes it ready for containers: a VM boots here.
    async fn start(&self, link: Option<LinkEnd>) -> Result<(), SandboxError>;

    /// Refuses what this kind cannot give to a container, by field.
    fn check_container(&self, spec: &ContainerSpec) -> Result<(), SandboxError>;

    /// Makes the container's files visible where it will run, and rewrites its spec accordingly; undone by `release`.
    /// The identity in a namespace sandbox.
    async fn stage(&self, spec: ContainerSpec) -> Result<ContainerSpec, SandboxError>;

    /// Undoes `stage`. Idempotent.
    async fn release(&self, container: &str) -> Result<(), SandboxError>;

    /// The client of the pod protocol that reaches it.
    fn pod(&self) -> Arc<dyn PodClient>;

    /// Kills all containers, ends shim and VM, unmounts. Exits announced before are recorded. Idempotent. What does not
    /// end when it is asked is killed within seconds; answers for people why that was necessary, if it was.
    async fn stop(&self) -> Result<Option<String>, SandboxError>;

    /// Kills it at once, for a reason for people: shim, VM and containers. Does not wait: its end, and that of its
    /// containers, is told as if it had died by itself. For a sandbox that is hung.
    fn kill(&self, reason: &str);

    /// Applies new pod-level limits (UpdatePodSandboxResources): an error if this sandbox cannot have them.
    async fn resize(&self, cpus: Option<f64>, memory: Option<u64>) -> Result<(), SandboxError>;
}
