//! The seams to the policy engine and to the sources of cluster objects.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::backend::BackendError;
use crate::cluster::ClusterSnapshot;

/// A port that a container declares, in the form of kubelet's annotation `io.kubernetes.container.ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its name; empty when it has none.
    pub name: String,
    /// The port.
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`; empty is TCP.
    pub protocol: String,
}

/// A pod of this node, as policy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// Id of its sandbox.
    pub sandbox_id: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Labels of the CRI request; the cluster's word replaces them once it is known.
    pub labels: BTreeMap<String, String>,
    /// At most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Its interface in the host's network namespace.
    pub interface: String,
    /// Its tenant, as admitted; for its whole life.
    pub tenant: String,
    /// On the node's network: never subject to policy.
    pub host_network: bool,
    /// Ports that its containers declare.
    pub ports: Vec<ContainerPort>,
}

/// Why the engine could not do it.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The kernel's side failed; nothing changed.
    #[error("the rules of the pods are not in force: {0}")]
    Backend(#[from] BackendError),
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

/// `Allow` or `Deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The flow passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// What one direction decides, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Its verdict.
    pub verdict: Verdict,
    /// The deciding rule, or what is missing.
    pub rule: String,
}

/// Why a new flow is allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `Allow` only if both directions allow.
    pub verdict: Verdict,
    /// The source's side.
    pub egress: Decision,
    /// The destination's side.
    pub ingress: Decision,
}

/// Keeps the kernel's rules as the snapshot and the local pods demand.
#[async_trait]
pub trait PolicyEngine: Send + Sync {
    /// Puts a pod's rules in force; returns after the kernel's commit. A pod of the same sandbox id is replaced.
    async fn program(&self, pod: LocalPod) -> Result<(), PolicyError>;

    /// The ports that a programmed pod's containers declare, once more of them are known. Nothing happens to a pod that is not
    /// (or no longer) programmed: a container that is late must not bind a stopped pod again.
    async fn set_ports(&self, sandbox_id: &str, ports: Vec<ContainerPort>) -> Result<(), PolicyError>;

    /// Forgets a pod: nothing passes from or to its interface. Succeeds for an unknown one.
    async fn unbind(&self, sandbox_id: &str) -> Result<(), PolicyError>;

    /// All pods that run on this node, once at start-up; replaces the kernel's rules in one step, never open in between.
    async fn restore(&self, pods: Vec<LocalPod>) -> Result<(), PolicyError>;

    /// New pod CIDRs of this node (UpdateRuntimeConfig).
    async fn update_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), PolicyError>;

    /// The pods programmed now.
    fn pods(&self) -> Vec<LocalPod>;

    /// Why a new flow passes or not. Ends are `NAMESPACE/POD` or an address; `port` is `TCP/80`.
    fn explain(&self, from: &str, to: &str, port: &str) -> Result<Explanation, PolicyError>;

    /// Why pods cannot be programmed now, naming file and line (NetworkReady is false), or `None`.
    fn not_ready(&self) -> Option<String>;

    /// What does not work on this node, for `status`.
    fn degraded(&self) -> Vec<String>;
}

/// A source of cluster objects.
pub trait PolicySource: Send + Sync {
    /// Snapshots, the newest only. The value before the first is blocked.
    fn snapshots(&self) -> watch::Receiver<Arc<ClusterSnapshot>>;
}
