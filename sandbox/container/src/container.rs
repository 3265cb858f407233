//! One container: what it is told after it was made.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use cofferdam_pod_api::{ContainerSpec, ExecSpec, Stats};
use oci_spec::runtime::{LinuxResources, Process};
use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::check::check_process;
use crate::error::{Error, Step};
use crate::exec;
use crate::namespaces::PodNamespaceFds;
use crate::stdio::Launched;
use crate::wire::{Channel, Message};

/// A container. Its first process is the caller's child: whoever launched it reaps it.
#[derive(Debug)]
pub struct Container {
    name: String,
    cgroup: Cgroup,
    pod: Rc<PodNamespaceFds>,
    first: Rc<OwnedFd>,
    seccomp: Vec<u8>,
    oom_score_adj: Option<i32>,
    /// Until it is started.
    channel: Option<Channel>,
}

impl Container {
    pub(crate) fn new(
        spec: &ContainerSpec,
        cgroup: Cgroup,
        pod: Rc<PodNamespaceFds>,
        first: Rc<OwnedFd>,
        channel: Channel,
    ) -> Self {
        let oom_score_adj = spec.oci.process().as_ref().and_then(Process::oom_score_adj);
        let (name, seccomp) = (spec.name.clone(), spec.seccomp.clone());
        Container { name, cgroup, pod, first, seccomp, oom_score_adj, channel: Some(channel) }
    }

    /// Lets it run, and waits until its command is executed.
    ///
    /// # Errors
    /// [`Error::Command`] says why it cannot be; the process then ends by itself.
    pub fn start(&mut self) -> Result<(), Error> {
        let Some(channel) = self.channel.take() else {
            return Err(Error::failed(format!("start {}", self.name), "it was started before"));
        };
        channel.send_go()?;
        match channel.receive()? {
            Message::Closed => Ok(()),
            Message::Failed(error) => Err(error),
            _ => Err(Error::failed(format!("start {}", self.name), "it answers what was not asked")),
        }
    }

    /// One more process, with the container's namespaces, cgroup and seccomp program.
    ///
    /// # Errors
    /// As `create` and `start`.
    pub fn exec(&self, spec: &ExecSpec) -> Result<Launched, Error> {
        check_process(&spec.process)?;
        let mut process = spec.process.clone();
        if process.oom_score_adj().is_none() {
            process.set_oom_score_adj(self.oom_score_adj);
        }
        let Container { pod, cgroup, first, seccomp, .. } = self;
        exec::exec(&exec::Joined { pod, cgroup, first, seccomp }, &process, spec.stdin)
    }

    /// Signals every process of its cgroup; SIGKILL misses none, not even one that forks.
    ///
    /// # Errors
    /// An unknown signal; steps that fail.
    pub fn signal_all(&self, signal: i32) -> Result<(), Error> {
        if signal == Signal::KILL.as_raw() { self.cgroup.kill() } else { self.cgroup.signal(signal) }
    }

    /// Applies limits, and answers those in force.
    ///
    /// # Errors
    /// [`Error::Refused`] for a limit that this node does not know; the kernel's refusals.
    pub fn update(&self, resources: &LinuxResources) -> Result<LinuxResources, Error> {
        self.cgroup.apply(resources)?;
        if resources.devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
            self.cgroup.apply_devices(resources)?;
        }
        self.cgroup.read_back()
    }

    /// Resource use.
    pub fn stats(&self) -> Stats {
        self.cgroup.stats()
    }

    /// Whether the kernel's OOM killer was at work in its cgroup.
    pub fn oom_killed(&self) -> bool {
        self.cgroup.oom_count() > 0
    }

    /// Kills what is left of it and removes its cgroup. Idempotent.
    ///
    /// # Errors
    /// Steps that fail: to be tried again.
    pub fn remove(&mut self) -> Result<(), Error> {
        self.channel = None;
        self.cgroup.remove().step("remove the container's cgroup")
    }
}
