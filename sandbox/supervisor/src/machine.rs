//! What others give to the supervisor: the VM behind a shim, and the guest around an agent.

use std::os::fd::OwnedFd;

use cofferdam_sandbox::PodError;

/// The VM of a VM sandbox, as its shim drives it: implemented over the VMM.
pub trait Machine {
    /// Starts everything (VMM, file servers) from the daemon's config and descriptors, and drops the shim's privileges afterwards.
    /// Called at most once with success. Does not wait for the guest. On error nothing is left running.
    fn boot(&mut self, config: &[u8], fds: Vec<OwnedFd>) -> Result<BootedMachine, PodError>;

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
    pub setup: Vec<u8>,
    /// Answered to the daemon once the agent is set up: JSON of the processes behind the VM.
    pub processes: Vec<u8>,
}

/// The guest around an agent.
pub trait Guest {
    /// Makes the guest ready (mounts, network, host name) as `Setup` asks and answers where containers run. Called once with success;
    /// until then requests for containers are refused.
    fn setup(&mut self, config: &[u8]) -> Result<Box<dyn crate::Pod>, PodError>;
}
