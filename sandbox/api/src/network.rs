//! The pod's network, seen from the server.
//!
//! Order in RunPodSandbox: [`PodNetwork::allocate`] -> the policy engine programs the pod -> [`PodNetwork::attach`]
//! makes the link, down -> [`PodNetwork::up`]. The interface is named in the lease, so that rules exist before the link
//! does.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::error::NetworkError;

/// The addresses and the interface of one pod; kept in the store from before it is used until after it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The pod sandbox.
    pub sandbox: String,
    /// At most one of each family, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Name of the interface in the host's network namespace, at most 15 bytes.
    pub interface: String,
    /// MAC address at the pod's end.
    pub mac: [u8; 6],
    /// MAC address at the host's end (the gateway's).
    pub gateway_mac: [u8; 6],
}

/// How a sandbox takes its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkAttachment {
    /// The end of a veth pair inside the network namespace pinned at this path.
    Netns(PathBuf),
    /// A tap device whose file descriptor goes to the VMM.
    Tap,
}

/// What the pod's end of a link must be told; enough for an agent to configure a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLink {
    /// Name of the interface inside the pod (`eth0`).
    pub name: String,
    /// The lease it belongs to.
    pub lease: Lease,
    /// /32 and /128 of the pod.
    pub addresses: Vec<IpNetwork>,
    /// Link-local gateways, one for each family in `addresses`, reached on-link with a permanent neighbour
    /// `lease.gateway_mac`.
    pub gateways: Vec<IpAddr>,
    /// MTU in bytes.
    pub mtu: u32,
}

/// A link just made, with what the sandbox needs of it.
#[derive(Debug)]
pub struct LinkEnd {
    /// The pod's side.
    pub link: PodLink,
    /// The tap (`NetworkAttachment::Tap`), else nothing.
    pub tap: Option<OwnedFd>,
}

/// A pod network: the built-in one, CNI later. All calls are idempotent.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Why pods cannot be connected now (NetworkReady=false), or `None`.
    fn not_ready(&self) -> Option<String>;

    /// The pod CIDRs in force.
    fn pod_cidrs(&self) -> Vec<IpNetwork>;

    /// New pod CIDRs (UpdateRuntimeConfig); pods that have addresses keep them.
    async fn set_pod_cidrs(&self, cidrs: Vec<IpNetwork>) -> Result<(), NetworkError>;

    /// Takes addresses and a name; nothing in the kernel changes. The caller stores the lease before it goes on.
    fn allocate(&self, sandbox: &str) -> Result<Lease, NetworkError>;

    /// Makes the link, down, with addresses, routes and neighbours at both ends.
    async fn attach(&self, lease: &Lease, to: NetworkAttachment) -> Result<LinkEnd, NetworkError>;

    /// Sets the link up: from now on packets flow. Only after the pod is programmed.
    async fn up(&self, lease: &Lease) -> Result<(), NetworkError>;

    /// Removes the link, the routes and the conntrack entries of the addresses, then quarantines the addresses.
    async fn detach(&self, lease: &Lease) -> Result<(), NetworkError>;

    /// At start: adopts what these leases own, removes every other link with our prefix.
    async fn recover(&self, leases: &[Lease]) -> Result<(), NetworkError>;

    /// Bytes and packets of a pod's interface, from the pod's point of view: (rx bytes, rx errors, tx bytes, tx
    /// errors).
    async fn counters(&self, lease: &Lease) -> Result<(u64, u64, u64, u64), NetworkError>;
}
