//! What the shim of a VM sandbox is told when it has to boot ([`Boot`](crate::Boot)), and what it answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::guest::GuestSetup;

/// The whole of a VM. Its descriptors come along: [`BOOT_CONSOLE`], [`BOOT_MESSAGES`], and with `mac` [`BOOT_TAP`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// The VMM's binary.
    pub vmm: PathBuf,
    /// The binary that serves the share.
    pub file_server: PathBuf,
    /// ELF kernel with a PVH entry.
    pub kernel: PathBuf,
    /// initramfs.
    pub initramfs: PathBuf,
    /// Use of the CPU's virtualisation; otherwise it is emulated.
    pub hardware: bool,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Guest RAM in bytes.
    pub memory: u64,
    /// UID and GID of the pod's own: the VMM's, and the shim's after the boot.
    pub uid: u32,
    /// What the guest sees of the host: a mount of its own, shared, so that later mounts in it arrive.
    pub share: PathBuf,
    /// MAC address of the interface; `None` without one.
    pub mac: Option<[u8; 6]>,
    /// Path of the VMM's cgroup below each hierarchy's root; it exists.
    pub vmm_cgroup: String,
    /// Path of the file server's cgroup, likewise.
    pub file_server_cgroup: String,
    /// Passed on to the agent; the shim fills in `powered_on`.
    pub setup: GuestSetup,
}

/// Index of the descriptor that takes the guest's console: a file whose size is sealed.
pub const BOOT_CONSOLE: usize = 0;
/// Index of the descriptor that takes the messages of VMM and file server: such a file as well.
pub const BOOT_MESSAGES: usize = 1;
/// Index of the tap's descriptor.
pub const BOOT_TAP: usize = 2;

/// The processes behind a VM, as PIDs in the shim's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootedProcesses {
    /// The VMM.
    pub vmm: u32,
    /// The server of the share.
    pub file_server: u32,
}
