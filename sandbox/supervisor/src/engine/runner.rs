//! The seam between the engine and what runs containers: `cofferdam_container` in production, plain processes in tests.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use cofferdam_container::{Container, Launched, PodRunner};
use cofferdam_pod_api::{ContainerSpec, ExecSpec, PodError, Stats};
use oci_spec::runtime::LinuxResources;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Where the containers of one pod run.
pub trait Runner {
    /// Sets a container up to just before execve.
    fn create(&mut self, spec: &ContainerSpec) -> Result<(Box<dyn ContainerHandle>, Launched), PodError>;

    /// A new, unconnected TCP socket in the pod's network namespace, of the family of this address.
    fn socket(&mut self, address: &SocketAddr) -> Result<OwnedFd, PodError>;

    /// Resource use of the whole pod.
    fn stats(&mut self) -> Result<Stats, PodError>;

    /// Why the pod is dead, once it is: what holds it together has ended. Asked when a child ends that is no container
    /// and no exec.
    fn dead(&mut self) -> Option<String>;

    /// All containers are gone: undoes what was made for the pod. Called once, at a stop.
    fn close(&mut self) -> Result<(), PodError>;
}

/// What the engine does to one container.
pub trait ContainerHandle {
    /// Lets it run. An error says why the command could not be executed; the process then ends by itself.
    fn start(&mut self) -> Result<(), PodError>;

    /// Runs one more process in it.
    fn exec(&mut self, spec: &ExecSpec) -> Result<Launched, PodError>;

    /// Signals every process of its cgroup; SIGKILL reaches all of them.
    fn signal_all(&mut self, signal: i32) -> Result<(), PodError>;

    /// Applies limits, and answers those in force.
    fn update(&mut self, resources: &LinuxResources) -> Result<LinuxResources, PodError>;

    /// Resource use.
    fn stats(&mut self) -> Result<Stats, PodError>;

    /// Whether the kernel's OOM killer was at work in its cgroup.
    fn oom_killed(&mut self) -> bool;

    /// Its processes are gone: removes its cgroup and what else it had.
    fn remove(&mut self) -> Result<(), PodError>;
}

impl Runner for PodRunner {
    fn create(&mut self, spec: &ContainerSpec) -> Result<(Box<dyn ContainerHandle>, Launched), PodError> {
        let (container, launched) = PodRunner::create(self, spec)?;
        Ok((Box::new(container), launched))
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

impl ContainerHandle for Container {
    fn start(&mut self) -> Result<(), PodError> {
        Ok(Container::start(self)?)
    }

    fn exec(&mut self, spec: &ExecSpec) -> Result<Launched, PodError> {
        Ok(Container::exec(self, spec)?)
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
