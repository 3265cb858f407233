//! The container runner as the engine's pod.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use cofferdam_container::{Container, Launched, LaunchedStreams, PodRunner};
use cofferdam_sandbox::{ContainerSpec, ExecSpec, PodError, Stats};
use oci_spec::runtime::LinuxResources;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::runner;

fn launched(launched: Launched) -> runner::Launched {
    let streams = match launched.streams {
        LaunchedStreams::Pipes { stdin, stdout, stderr } => runner::LaunchedStreams::Pipes { stdin, stdout, stderr },
        LaunchedStreams::Terminal(master) => runner::LaunchedStreams::Terminal(master),
    };
    runner::Launched { pid: launched.pid, pidfd: launched.pidfd, streams }
}

impl runner::Pod for PodRunner {
    fn create(&mut self, spec: &ContainerSpec) -> Result<(Box<dyn runner::Container>, runner::Launched), PodError> {
        let (container, process) = PodRunner::create(self, spec)?;
        Ok((Box::new(container), launched(process)))
    }

    fn socket(&mut self, address: &SocketAddr) -> Result<OwnedFd, PodError> {
        Ok(PodRunner::socket(self, address)?)
    }

    fn stats(&mut self) -> Result<Stats, PodError> {
        Ok(PodRunner::stats(self))
    }

    fn dead(&mut self) -> Option<String> {
        let mut init = [PollFd::new(self.init_pidfd()?, PollFlags::IN)];
        let ended = poll(&mut init, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        ended.then(|| "the init of the pod's PID namespace ended".into())
    }

    fn close(&mut self) -> Result<(), PodError> {
        Ok(PodRunner::close(self)?)
    }
}

impl runner::Container for Container {
    fn start(&mut self) -> Result<(), PodError> {
        Ok(Container::start(self)?)
    }

    fn exec(&mut self, spec: &ExecSpec) -> Result<runner::Launched, PodError> {
        Ok(launched(Container::exec(self, spec)?))
    }

    fn signal_all(&mut self, signal: i32) -> Result<(), PodError> {
        Ok(Container::signal_all(self, signal)?)
    }

    fn update(&mut self, resources: &LinuxResources) -> Result<LinuxResources, PodError> {
        Ok(Container::update(self, resources)?)
    }

    fn stats(&mut self) -> Result<Stats, PodError> {
        Ok(Container::stats(self))
    }

    fn oom_killed(&mut self) -> bool {
        Container::oom_killed(self)
    }

    fn remove(&mut self) -> Result<(), PodError> {
        Ok(Container::remove(self)?)
    }
}
