//! The seam between the machine and its VMM.
//!
//! ```text
//!  (new) ──boot──> running ──stop──> (stopped)
//!            └─error─> nothing runs
//! ```

use std::os::fd::OwnedFd;

use cofferdam_pod_api::{BootConfig, BootedProcesses};

use crate::VmmError;

/// What comes along with a [`BootConfig`].
pub struct Descriptors {
    /// Takes the guest's console.
    pub console: OwnedFd,
    /// Takes the messages of the processes.
    pub messages: OwnedFd,
    /// The tap, if the VM has an interface.
    pub tap: Option<OwnedFd>,
}

/// Connected stream sockets of the guest's two ports.
pub struct Ports {
    /// Control.
    pub control: OwnedFd,
    /// Data.
    pub data: OwnedFd,
}

/// One VM and all processes that it needs on the host.
pub trait Vmm {
    /// Starts them. Does not wait for the guest. On error nothing runs.
    fn boot(&mut self, config: &BootConfig, descriptors: Descriptors) -> Result<BootedProcesses, VmmError>;

    /// The guest's ports, once after `boot`.
    fn attach(&mut self) -> Result<Ports, VmmError>;

    /// What to wait for: names and pidfds of the processes whose end is the end of the VM, once after `boot`.
    fn wait(&mut self) -> Result<Vec<(String, OwnedFd)>, VmmError>;

    /// Kills all that `boot` started. Idempotent.
    fn stop(&mut self);
}
