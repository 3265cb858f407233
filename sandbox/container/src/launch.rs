//! The children that become a container's processes.
//!
//! Without a user namespace one child does all. Where namespaces have to be joined first, a transient child does it,
//! and its own child (a child of this process, by CLONE_PARENT) goes on. What enters a PID namespace in which others
//! live is born there at the very end: root changed, descriptors marked, capabilities given up; before that it could be
//! traced by a container with CAP_SYS_PTRACE.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cofferdam_pod_api::ContainerSpec;
use cofferdam_sys::process::{self, CLONE_NEWCGROUP, CLONE_NEWNS, CLONE_NEWPID, CLONE_PARENT, Spawned};
use cofferdam_sys::signal;
use oci_spec::runtime::Process;
use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::error::Step;
use crate::namespaces::{PodNamespaceFds, reap};
use crate::stdio::{self, ChildStdio, Launched, LaunchedStreams};
use crate::wire::{Channel, Message};
use crate::{Error, finish, inside, proc, stage};

/// The PID namespace of a container.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PidPlace<'a> {
    /// One of its own.
    New,
    /// The node's.
    Node,
    /// That of this process.
    Join(BorrowedFd<'a>),
}

/// A container to be made.
pub(crate) struct Plan<'a> {
    pub spec: &'a ContainerSpec,
    pub pod: &'a PodNamespaceFds,
    pub cgroup: &'a Cgroup,
    pub place: PidPlace<'a>,
    /// The PID namespace is the pod's shared one.
    pub shared: bool,
}

/// Sets a container up to just before execve.
pub(crate) fn container(plan: &Plan<'_>) -> Result<(Launched, Channel), Error> {
    let process = plan.spec.oci.process().as_ref().ok_or_else(|| Error::refused("process", "is missing"))?;
    let owner = plan.pod.host_ids(process.user().uid(), process.user().gid())?;
    let (stdio, ours) = stdio::make(plan.spec.stdio.terminal, plan.spec.stdio.stdin, owner)?;
    let (channel, theirs) = Channel::pair()?;
    let birth = plan.cgroup.birth()?;
    let birth = birth.as_ref().map(AsFd::as_fd);
    let child = Child { plan, process, stdio: &stdio, parent: &theirs };
    let direct = child.alone();
    let flags = if direct && matches!(plan.place, PidPlace::New) { CLONE_NEWPID } else { 0 };
    let first = process::spawn(flags, birth, || child.guard(|| if direct { child.all() } else { child.in_two() }));
    let first = first.step("fork the container")?;
    drop(theirs);
    await_ready(first, direct, channel, ours, plan.cgroup)
}

/// The messages of a set-up, up to `Ready`. What was forked is ended and reaped if it fails.
pub(crate) fn await_ready(
    first: Spawned,
    direct: bool,
    channel: Channel,
    mut ours: Option<LaunchedStreams>,
    cgroup: &Cgroup,
) -> Result<(Launched, Channel), Error> {
    let (stager, mut child) = if direct { (None, Some(first)) } else { (Some(first), None) };
    let (mut ready, mut failed) = (false, None);
    // Two processes speak, in any order; after an error both end.
    while !ready || child.is_none() {
        match channel.receive() {
            Ok(Message::Child(pid, pidfd)) => child = Some(Spawned { pid, pidfd }),
            Ok(Message::Terminal(master)) => ours = Some(LaunchedStreams::Terminal(master)),
            Ok(Message::Ready(_)) => ready = true,
            Ok(Message::Failed(error)) => failed = Some(error),
            Ok(Message::Closed) => break,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if let Some(stager) = stager {
        reap(&stager.pidfd)?;
    }
    let answer = match (failed, ready && child.is_some()) {
        (Some(error), _) => Err(error),
        (None, true) => Ok(()),
        (None, false) => Err(ended_early(cgroup)),
    };
    match (answer, child, ours) {
        (Ok(()), Some(Spawned { pid, pidfd }), Some(streams)) => {
            let pid = u32::try_from(pid).step("number of the process")?;
            Ok((Launched { pid, pidfd, streams }, channel))
        }
        (answer, child, _) => {
            if let Some(child) = child {
                // It may have ended by itself.
                let _ = rustix::process::pidfd_send_signal(&child.pidfd, Signal::KILL);
                reap(&child.pidfd)?;
            }
            Err(answer.err().unwrap_or_else(|| Error::failed("set up the container", "it has no terminal")))
        }
    }
}

fn ended_early(cgroup: &Cgroup) -> Error {
    let oom = if cgroup.oom_count() > 0 { ": the OOM killer was at work, its memory limit is too low" } else { "" };
    Error::failed("set up the container", format!("it ended early{oom}"))
}

struct Child<'a> {
    plan: &'a Plan<'a>,
    process: &'a Process,
    stdio: &'a ChildStdio,
    parent: &'a Channel,
}

impl Child<'_> {
    /// No namespace must be joined first, and no helper found by its number on the host.
    fn alone(&self) -> bool {
        let mapped = self.plan.spec.oci.mounts().iter().flatten().any(|m| m.uid_mappings().is_some());
        self.plan.pod.user.is_none() && !mapped && !matches!(self.plan.place, PidPlace::Join(_))
    }

    /// What is made gets the mode that it is made with: no name is looked up once more to set that. The process's own
    /// umask comes with its user.
    fn guard(&self, run: impl FnOnce() -> Result<i32, Error>) -> i32 {
        guard(self.parent, || {
            rustix::process::umask(rustix::fs::Mode::empty());
            run()
        })
    }

    /// As root of the host: limits, sources, the root file system. Answers the root and the sources. Sources are taken
    /// in the node's mount namespace: only there a descriptor of another process of the node can be one.
    fn outside(&self) -> Result<(OwnedFd, Vec<Option<OwnedFd>>), Error> {
        self.plan.cgroup.join()?;
        stage::limits(self.process)?;
        let mut sources = stage::sources(&self.plan.spec.oci, self.plan.pod)?;
        if let PidPlace::Join(pidfd) = self.plan.place {
            let init = self.plan.pod.proc.as_ref().filter(|_| self.plan.shared);
            proc::stage(&self.plan.spec.oci, &mut sources, pidfd, init)?;
        }
        stage::own_upper(self.plan.spec, self.plan.pod)?;
        process::unshare(CLONE_NEWNS).step("make a mount namespace")?;
        Ok((inside::root(self.plan.spec, self.plan.pod)?, sources))
    }

    /// Joins the pod.
    fn enter(&self) -> Result<(), Error> {
        if let PidPlace::Join(pidfd) = self.plan.place {
            // Before the user namespace: the pod's init lets nobody near who is not root of the host.
            process::setns(pidfd, CLONE_NEWPID).step("join the PID namespace")?;
        }
        self.plan.pod.join_user()?;
        let mounts = if self.plan.pod.user.is_some() { CLONE_NEWNS } else { 0 };
        process::unshare(CLONE_NEWCGROUP | mounts).step("make namespaces")?;
        self.plan.pod.join()
    }

    /// The container's view, privileges and descriptors given up.
    fn build(&self, root: OwnedFd, sources: Vec<Option<OwnedFd>>) -> Result<(), Error> {
        let spec = self.plan.spec;
        let terminal = inside::build(spec, self.plan.pod, &root, &sources, &self.plan.cgroup.hierarchies)?;
        drop((root, sources));
        let slave = terminal.map(|(slave, master)| self.parent.send_terminal(&master).map(|()| slave)).transpose()?;
        finish::settle(self.process, &spec.seccomp, slave.as_ref())?;
        finish::dress(self.stdio, slave, self.parent)
    }

    fn run(&self) -> i32 {
        finish::run(self.process, &self.plan.spec.seccomp, self.plan.spec.stdio.terminal, self.parent)
    }

    fn all(&self) -> Result<i32, Error> {
        let (root, sources) = self.outside()?;
        self.enter()?;
        self.build(root, sources)?;
        Ok(self.run())
    }

    fn in_two(&self) -> Result<i32, Error> {
        let (root, sources) = self.outside()?;
        self.enter()?;
        if let PidPlace::Join(_) = self.plan.place {
            self.build(root, sources)?;
            return run_last(self.process, &self.plan.spec.seccomp, self.plan.spec.stdio.terminal, self.parent);
        }
        let flags = if matches!(self.plan.place, PidPlace::New) { CLONE_NEWPID } else { 0 };
        spawn_last(self.parent, flags, || self.build(root, sources).map(|()| self.run()))
    }
}

/// Of the transient child: makes the last one, and tells of it.
fn spawn_last(parent: &Channel, flags: i32, run: impl FnOnce() -> Result<i32, Error>) -> Result<i32, Error> {
    let last = process::spawn(CLONE_PARENT | flags, None, || guard(parent, run)).step("fork the container")?;
    parent.send_child(last.pid, &last.pidfd)?;
    Ok(0)
}

/// The same for one that is born in a PID namespace of others. Without no_new_privs it takes CAP_SYS_ADMIN to load a
/// seccomp program, so that is done here, out of their sight; the program has to allow what follows, as other runtimes
/// ask of it.
pub(crate) fn run_last(of: &Process, program: &[u8], terminal: bool, parent: &Channel) -> Result<i32, Error> {
    if !crate::process::keeps_admin(of, program) {
        return spawn_last(parent, 0, || Ok(finish::run(of, program, terminal, parent)));
    }
    crate::process::confine(of, program)?;
    let last = process::spawn_sibling(|| finish::run(of, &[], terminal, parent));
    let last = last.step("fork the container under its seccomp program")?;
    parent.send_child(last.pid, &last.pidfd)?;
    Ok(0)
}

pub(crate) fn guard(parent: &Channel, run: impl FnOnce() -> Result<i32, Error>) -> i32 {
    let prepared = process::set_dumpable(false).step("prctl").and_then(|()| {
        signal::reset();
        run()
    });
    prepared.unwrap_or_else(|error| {
        parent.send_error(&error);
        127
    })
}
