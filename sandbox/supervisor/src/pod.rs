//! The container runner as the engine's pod.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use cofferdam_container::{Container, Error, Launched, LaunchedStreams, PodRunner};
use cofferdam_sandbox::{ContainerSpec, ExecSpec, PodError, Stats};
use oci_spec::runtime::LinuxResources;

use crate::runner;

fn error(error: Error) -> PodError {
    match error {
        Error::Refused { .. } | Error::Command(_) => PodError::Invalid(error.to_string()),
        Error::Failed { .. } => PodError::Failed(error.to_string()),
    }
}

fn launched(launched: Launched) -> runner::Launched {
    let streams = match launched.streams {
        LaunchedStreams::Pipes { stdin, stdout, stderr } => runner::LaunchedStreams::Pipes { stdin, stdout, stderr },
        LaunchedStreams::Terminal(master) => runner::LaunchedStreams::Terminal(master),
    };
    runner::Launched { pid: launched.pid, pidfd: launched.pidfd, streams }
}

impl runner::Pod for PodRunner {
    fn create(&mut self, spec: &ContainerSpec) -> Result<(Box<dyn runner::Container>, runner::Launched), PodError> {
        let (container, process) = PodRunner::create(self, spec).map_err(error)?;
        Ok((Box::new(container), launched(process)))
    }

    fn socket(&mut self, address: &SocketAddr) -> Result<OwnedFd, PodError> {
        PodRunner::socket(self, address).map_err(error)
    }

    fn stats(&mut self) -> Result<Stats, PodError> {
        Ok(PodRunner::stats(self))
    }

    fn close(&mut self) -> Result<(), PodError> {
        PodRunner::close(self).map_err(error)
    }
}

impl runner::Container for Container {
    fn start(&mut self) -> Result<(), PodError> {
        Container::start(self).map_err(error)
    }

    fn exec(&mut self, spec: &ExecSpec) -> Result<runner::Launched, PodError> {
        Container::exec(self, spec).map(launched).map_err(error)
    }

    fn signal_all(&mut self, signal: i32) -> Result<(), PodError> {
        Container::signal_all(self, signal).map_err(error)
    }

    fn update(&mut self, resources: &LinuxResources) -> Result<LinuxResources, PodError> {
        Container::update(self, resources).map_err(error)
    }

    fn stats(&mut self) -> Result<Stats, PodError> {
        Ok(Container::stats(self))
    }

    fn oom_killed(&mut self) -> bool {
        Container::oom_killed(self)
    }

    fn remove(&mut self) -> Result<(), PodError> {
        Container::remove(self).map_err(error)
    }
}
