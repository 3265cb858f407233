//! The seam between the engine and the container runner.
//!
//! [`Pod`] is what `cofferdam_container` gives (see `pod.rs`); tests of the engine bring plain processes.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use cofferdam_sandbox::{ContainerSpec, ExecSpec, PodError, Stats};
use oci_spec::runtime::LinuxResources;

/// Where containers run.
pub trait Pod {
    /// Sets a container up to just before execve.
    fn create(&mut self, spec: &ContainerSpec) -> Result<(Box<dyn Container>, Launched), PodError>;

    /// A new, unconnected TCP socket in the pod's network namespace, of the family of this address.
    fn socket(&mut self, address: &SocketAddr) -> Result<OwnedFd, PodError>;

    /// Resource use of the whole pod.
    fn stats(&mut self) -> Result<Stats, PodError>;

    /// Why the pod is dead, once it is: what holds it together has ended. Asked when a child ends that is no container and no exec.
    fn dead(&mut self) -> Option<String>;

    /// All containers are gone: undoes what was made for the pod. Called once, at a stop.
    fn close(&mut self) -> Result<(), PodError>;
}

/// One container.
pub trait Container {
    /// Lets it run. An error says why the command could not be executed; the process then ends by itself.
    fn start(&mut self) -> Result<(), PodError>;

    /// One more process.
    fn exec(&mut self, spec: &ExecSpec) -> Result<Launched, PodError>;

    /// Kills every process of its cgroup, or signals them.
    fn signal_all(&mut self, signal: i32) -> Result<(), PodError>;

    /// Applies limits, and answers those in force.
    fn update(&mut self, resources: &LinuxResources) -> Result<LinuxResources, PodError>;

    /// Resource use.
    fn stats(&mut self) -> Result<Stats, PodError>;

    /// The kernel's OOM killer was at work in its cgroup.
    fn oom_killed(&mut self) -> bool;

    /// Its processes are gone: removes its cgroup and what else it had.
    fn remove(&mut self) -> Result<(), PodError>;
}

/// A process that was launched, a child of this one.
pub struct Launched {
    /// Its PID here.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// Our ends of its standard streams.
    pub streams: LaunchedStreams,
}

/// Our ends of standard streams.
pub enum LaunchedStreams {
    /// Pipes; `None` where it has /dev/null.
    Pipes {
        /// Written by us.
        stdin: Option<OwnedFd>,
        /// Read by us.
        stdout: Option<OwnedFd>,
        /// Read by us.
        stderr: Option<OwnedFd>,
    },
    /// The master of its terminal.
    Terminal(OwnedFd),
}
