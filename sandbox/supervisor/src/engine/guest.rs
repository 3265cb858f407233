//! The guest around an agent, as its engine sees it.

use cofferdam_pod_api::{GuestSetup, PodError};

use super::runner::Runner;

/// Makes a guest ready for the containers of its pod.
pub trait Guest {
    /// Makes the guest what its set-up asks (mounts, network, host name) and answers where containers run. Called once
    /// with success; until then requests for containers are refused.
    fn setup(&mut self, setup: &GuestSetup) -> Result<Box<dyn Runner>, PodError>;
}
