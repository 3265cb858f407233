//! Messages that carry JSON of a type, and the shim's configuration. They are made from the type and give it back, so
//! that no other place knows the encoding.
//!
//! JSON, where the rest of the protocol is protobuf: these types hold the OCI runtime specification's own, whose form
//! is JSON already.

use oci_spec::runtime::LinuxResources;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::boot::{BootConfig, BootedProcesses};
use crate::container::{ContainerSpec, ExecSpec};
use crate::error::PodError;
use crate::guest::GuestSetup;
use crate::shim::ShimConfig;
use crate::state::Stats;
use crate::{Boot, Booted, Create, Exec, Resources, Setup, StatsReply, Update};

fn encode_request<T: Serialize>(value: &T) -> Result<Vec<u8>, PodError> {
    serde_json::to_vec(value).map_err(|error| PodError::Invalid(error.to_string()))
}

fn decode_request<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, PodError> {
    serde_json::from_slice(bytes).map_err(|error| PodError::Invalid(format!("{what}: {error}")))
}

fn encode_answer<T: Serialize>(value: &T) -> Result<Vec<u8>, PodError> {
    serde_json::to_vec(value).map_err(|error| PodError::Failed(error.to_string()))
}

fn decode_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PodError> {
    serde_json::from_slice(bytes).map_err(|error| PodError::Protocol(error.to_string()))
}

impl ShimConfig {
    /// The configuration as it is handed to a new shim.
    pub fn encode(&self) -> Result<Vec<u8>, PodError> {
        encode_request(self)
    }

    /// The configuration that a new shim was handed.
    pub fn decode(bytes: &[u8]) -> Result<Self, PodError> {
        decode_request(bytes, "configuration")
    }
}

impl Create {
    /// A request for this container.
    pub fn new(spec: &ContainerSpec, log: bool) -> Result<Self, PodError> {
        Ok(Create { spec: encode_request(spec)?, log })
    }

    /// The container.
    pub fn content(&self) -> Result<ContainerSpec, PodError> {
        decode_request(&self.spec, "container spec")
    }
}

impl Exec {
    /// A request for this process, with its streams under this number.
    pub fn new(spec: &ExecSpec, stream: u32, stdout: bool, stderr: bool) -> Result<Self, PodError> {
        Ok(Exec { spec: encode_request(spec)?, stream, stdout, stderr })
    }

    /// The process.
    pub fn content(&self) -> Result<ExecSpec, PodError> {
        decode_request(&self.spec, "exec spec")
    }
}

impl Update {
    /// A request for these limits.
    pub fn new(container: &str, resources: &LinuxResources) -> Result<Self, PodError> {
        Ok(Update { container: container.to_owned(), resources: encode_request(resources)? })
    }

    /// The limits.
    pub fn content(&self) -> Result<LinuxResources, PodError> {
        decode_request(&self.resources, "resources")
    }
}

impl Boot {
    /// A request for this VM.
    pub fn new(config: &BootConfig) -> Result<Self, PodError> {
        Ok(Boot { config: encode_request(config)? })
    }

    /// The VM.
    pub fn content(&self) -> Result<BootConfig, PodError> {
        decode_request(&self.config, "boot config")
    }
}

impl Setup {
    /// A request to make a guest like this.
    pub fn new(setup: &GuestSetup) -> Result<Self, PodError> {
        Ok(Setup { config: encode_request(setup)? })
    }

    /// The guest.
    pub fn content(&self) -> Result<GuestSetup, PodError> {
        decode_request(&self.config, "guest set-up")
    }
}

impl Resources {
    /// The answer with these limits.
    pub fn new(resources: &LinuxResources) -> Result<Self, PodError> {
        Ok(Resources { resources: encode_answer(resources)? })
    }

    /// The limits.
    pub fn content(&self) -> Result<LinuxResources, PodError> {
        decode_answer(&self.resources)
    }
}

impl StatsReply {
    /// The answer with these figures.
    pub fn new(stats: &Stats) -> Result<Self, PodError> {
        Ok(StatsReply { stats: encode_answer(stats)? })
    }

    /// The figures.
    pub fn content(&self) -> Result<Stats, PodError> {
        decode_answer(&self.stats)
    }
}

impl Booted {
    /// The answer with these processes.
    pub fn new(processes: &BootedProcesses) -> Result<Self, PodError> {
        Ok(Booted { processes: encode_answer(processes)? })
    }

    /// The processes.
    pub fn content(&self) -> Result<BootedProcesses, PodError> {
        decode_answer(&self.processes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out() {
        let stats = Stats { pids: Some(7), ..Stats::default() };
        assert_eq!(StatsReply::new(&stats).unwrap().content().unwrap(), stats);
        let processes = BootedProcesses { vmm: 3, file_server: 4 };
        assert_eq!(Booted::new(&processes).unwrap().content().unwrap(), processes);
    }

    #[test]
    fn a_wrong_request_is_the_requesters_fault_and_a_wrong_answer_the_peers() {
        let request = Create { spec: b"{}".to_vec(), log: false }.content().unwrap_err();
        assert!(matches!(&request, PodError::Invalid(reason) if reason.starts_with("container spec: ")), "{request}");
        let answer = StatsReply { stats: b"[".to_vec() }.content().unwrap_err();
        assert!(matches!(answer, PodError::Protocol(_)), "{answer}");
    }
}
