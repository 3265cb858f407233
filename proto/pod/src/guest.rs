//! What the agent in a VM is told before it serves ([`Setup`](crate::Setup)), and the names that the two sides of a
//! guest agree on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::namespaces::NamespaceMode;

/// Name of the virtio-serial port for requests.
pub const CONTROL_PORT: &str = "cofferdam.control";
/// Name of the virtio-serial port for streams and logs.
pub const DATA_PORT: &str = "cofferdam.data";
/// Tag of the virtiofs share.
pub const SHARE_TAG: &str = "cofferdam";
/// Where the share is in the guest.
pub const SHARE_DIR: &str = "/share";
/// The pod's cgroup in the guest; those of containers are below.
pub const GUEST_CGROUP: &str = "/pod";
/// Fewest bytes of a guest's seed.
pub const MIN_SEED: usize = 32;

/// The whole of a guest's configuration. The guest is its pod's own: its network, host name and IPC are the pod's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSetup {
    /// The pod sandbox id.
    pub id: String,
    /// Host name.
    pub hostname: String,
    /// PID namespace of the containers: `Pod` or `Container`.
    pub pid: NamespaceMode,
    /// Sysctls, dotted names.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`.
    pub shm_size: u64,
    /// The interface; `None` leaves only lo.
    pub link: Option<GuestLink>,
    /// Time of the guest's power-on, nanoseconds since the epoch.
    pub powered_on: u64,
    /// Secret bytes for the random number generator, new for every boot: [`MIN_SEED`] to 512 of them.
    pub seed: Vec<u8>,
    /// Seccomp program of the init of a shared PID namespace; empty: none.
    #[serde(default)]
    pub init_seccomp: Vec<u8>,
}

/// The pod's end of its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestLink {
    /// MAC address that the interface must have.
    pub mac: [u8; 6],
    /// MAC address of the gateways, which are permanent neighbours.
    pub gateway_mac: [u8; 6],
    /// Addresses, each alone on the link (/32 or /128).
    pub addresses: Vec<IpAddr>,
    /// Link-local gateways.
    pub gateways: Vec<IpAddr>,
    /// MTU in bytes.
    pub mtu: u32,
}
