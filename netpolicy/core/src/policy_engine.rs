//! The seam between the runtime and the policy engine.

use std::sync::Arc;

use async_trait::async_trait;
use cofferdam_tenant_cluster::ContainerPort;
use ipnetwork::IpNetwork;

use crate::backend::BackendError;
use crate::explanation::Explanation;
use crate::local_pod::LocalPod;

/// Why the engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The kernel's side failed; nothing changed.
    #[error("the rules of the pods are not in force: {0}")]
    Backend(#[from] Arc<BackendError>),
    /// Nothing usable was read from the source of policies.
    #[error("no policy is loaded: {0}")]
    Blocked(String),
    /// The engine's task ended before the call was done.
    #[error("the policy engine has stopped")]
    Stopped,
    /// An end of a flow that is asked about is unknown.
    #[error("{0}")]
    Unknown(String),
}

/// Keeps the kernel's rules as the snapshot and the local pods demand. What only asks (`pods`, `not_ready`, `degraded`)
/// is answered from memory and waits for nobody.
#[async_trait]
pub trait PolicyEngine: Send + Sync {
    /// Puts a pod's rules in force; returns after the kernel's commit. A pod of the same sandbox id is replaced.
    async fn program(&self, pod: LocalPod) -> Result<(), PolicyError>;

    /// The ports that a programmed pod's containers declare, once more of them are known. Nothing happens to a pod that
    /// is not (or no longer) programmed: a container that is late must not bind a stopped pod again.
    async fn set_ports(&self, sandbox_id: &str, ports: Vec<ContainerPort>) -> Result<(), PolicyError>;

    /// Forgets a pod: nothing passes from or to its interface. Succeeds for an unknown one.
    async fn unbind(&self, sandbox_id: &str) -> Result<(), PolicyError>;

    /// All pods that run on this node, once at start-up; replaces the kernel's rules in one step, never open in
    /// between.
    async fn restore(&self, pods: Vec<LocalPod>) -> Result<(), PolicyError>;

    /// New pod CIDRs of this node (UpdateRuntimeConfig).
    async fn update_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), PolicyError>;

    /// The pods programmed now.
    fn pods(&self) -> Vec<LocalPod>;

    /// Why a new flow passes or not. Ends are `NAMESPACE/POD` or an address; `port` is `TCP/80`.
    async fn explain(&self, from: &str, to: &str, port: &str) -> Result<Explanation, PolicyError>;

    /// Why pods cannot be programmed now, naming file and line (NetworkReady is false), or `None`.
    fn not_ready(&self) -> Option<String>;

    /// What does not work on this node, for `status`.
    fn degraded(&self) -> Vec<String>;
}
