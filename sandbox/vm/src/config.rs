//! What an admin may set for all VMs.

use std::path::PathBuf;
use std::time::Duration;

use crate::Accel;

/// `[vm]` of the daemon's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmConfig {
    /// Where the guest image is.
    pub image_dir: PathBuf,
    /// How guests run.
    pub accel: Accel,
    /// QEMU's binary.
    pub qemu: PathBuf,
    /// virtiofsd's binary.
    pub virtiofsd: PathBuf,
    /// How long a VM may take from its start until its agent is set up.
    pub boot_timeout: Duration,
    /// First UID of the VMs' own. The default lies in a range that neither systemd nor kubelet's user namespaces nor
    /// useradd give to anybody.
    pub first_uid: u32,
}

impl Default for VmConfig {
    fn default() -> Self {
        VmConfig {
            image_dir: "/var/lib/cofferdam/vm".into(),
            accel: Accel::Auto,
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            virtiofsd: "/usr/lib/qemu/virtiofsd".into(),
            // Emulated on a node that is full, a boot was seen to take 42 s; kubelet waits for 240 s.
            boot_timeout: Duration::from_secs(120),
            first_uid: 2_000_000_000,
        }
    }
}
