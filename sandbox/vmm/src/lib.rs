//! The VMM behind a VM sandbox, as the shim runs it.
//!
//! [`machine`] gives the supervisor its [`cofferdam_supervisor::Machine`]: a [`Vmm`] and the end of the shim's
//! privileges. The one implementation of [`Vmm`] is QEMU with virtiofsd.
//!
//! Where the processes run:
//!
//! | | UID | namespaces | root directory | capabilities |
//! |---|---|---|---|---|
//! | QEMU | the pod's own | all but user | `/usr` read-only, kernel, initramfs; `/dev/kvm` if used | none |
//! | virtiofsd | 0 of a user namespace | all | the same `/usr`, `/proc`, the share | a file server's, over the pod's files only |
//! | shim, booted | the pod's own | the host's | the host's | none |
//!
//! All have no_new_privs, die with the shim, and get nothing but the descriptors they need.

mod child;
mod error;
mod files;
mod privileges;
mod qemu;
mod root;
mod vm_machine;
mod vmm;

use cofferdam_pod_api::ShimConfig;

pub use error::VmmError;
pub use qemu::Qemu;
pub use vm_machine::VmMachine;
pub use vmm::{Descriptors, Ports, Vmm};

/// The machine of a VM sandbox's shim, not booted yet. The shim must be single-threaded and root, and it is no longer
/// root once the machine is booted: what it needs of the file system later must be open by then.
pub fn machine(config: &ShimConfig) -> VmMachine<Qemu> {
    VmMachine::new(Qemu::new(config.dir.clone()))
}
