//! The VM of a VM sandbox, as its shim drives it.

use std::os::fd::OwnedFd;

use cofferdam_pod_api::{BootConfig, BootedProcesses, GuestSetup, PodError};

/// A VM and all that belongs to it on the host: implemented over the VMM.
pub trait Machine {
    /// Starts everything (VMM, file servers) from the daemon's config and descriptors, and drops the shim's privileges
    /// afterwards. Called at most once with success. Does not wait for the guest. On error nothing is left running.
    fn boot(&mut self, config: BootConfig, fds: Vec<OwnedFd>) -> Result<BootedMachine, PodError>;

    /// Kills all that `boot` started. Idempotent.
    fn kill(&mut self);
}

/// A VM that was started.
pub struct BootedMachine {
    /// Connected stream socket of the guest's control port.
    pub control: OwnedFd,
    /// Connected stream socket of the guest's data port.
    pub data: OwnedFd,
    /// Processes whose death is the death of the sandbox: a name for the reason, a pidfd. The VMM is the first.
    pub watched: Vec<(String, OwnedFd)>,
    /// Sent to the agent as `Setup`.
    pub setup: GuestSetup,
    /// Answered to the daemon once the agent is set up.
    pub processes: BootedProcesses,
}
