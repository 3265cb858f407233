//! One more process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use cofferdam_sys::cred;
use cofferdam_sys::process::{
    self, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
};
use oci_spec::runtime::Process;
use rustix::process::Signal;

use crate::cgroup::Cgroup;
use crate::error::{Error, Step};
use crate::launch::{await_ready, guard, run_last};
use crate::namespaces::{PodNamespaceFds, reap};
use crate::stdio::{self, Launched};
use crate::wire::{Channel, Message};
use crate::{finish, stage, terminal};

/// The container that is joined.
pub(crate) struct Joined<'a> {
    pub pod: &'a PodNamespaceFds,
    pub cgroup: &'a Cgroup,
    /// Its first process, whose namespaces it is.
    pub first: &'a OwnedFd,
    pub seccomp: &'a [u8],
}

/// Runs a process in it, and waits until its command is executed.
pub(crate) fn exec(container: &Joined<'_>, process: &Process, stdin: bool) -> Result<Launched, Error> {
    let terminal = process.terminal().unwrap_or(false);
    let owner = container.pod.host_ids(process.user().uid(), process.user().gid())?;
    let (stdio, ours) = stdio::make(terminal, stdin, owner)?;
    let (channel, theirs) = Channel::pair()?;
    let birth = container.cgroup.birth()?;
    let stager = process::spawn(0, birth.as_ref().map(AsFd::as_fd), || {
        guard(&theirs, || {
            container.cgroup.join()?;
            stage::limits(process)?;
            join(container)?;
            let slave = if terminal { Some(open_terminal(&theirs)?) } else { None };
            finish::settle(process, container.seccomp, slave.as_ref())?;
            finish::dress(&stdio, slave, &theirs)?;
            run_last(process, container.seccomp, terminal, &theirs)
        })
    })
    .step("fork an exec")?;
    drop(theirs);
    let (launched, channel) = await_ready(stager, false, channel, ours, container.cgroup)?;
    let started = channel.send_go().and_then(|()| channel.receive());
    match started {
        Ok(Message::Closed) => Ok(launched),
        other => {
            // It ends by itself if it could not be executed.
            let _ = rustix::process::pidfd_send_signal(&launched.pidfd, Signal::KILL);
            reap(&launched.pidfd)?;
            Err(match other {
                Ok(Message::Failed(error)) | Err(error) => error,
                _ => Error::failed("exec", "it answers what was not asked"),
            })
        }
    }
}

fn join(container: &Joined<'_>) -> Result<(), Error> {
    let user = container.pod.user.is_some();
    let flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    let flags = if user { flags | CLONE_NEWUSER } else { flags };
    process::setns(container.first.as_fd(), flags).step("join the container")?;
    if user {
        cred::set_user(0, 0, &[]).step("become root of the pod's user namespace")?;
    }
    Ok(())
}

fn open_terminal(parent: &Channel) -> Result<OwnedFd, Error> {
    let root = terminal::own_root()?;
    let (slave, master) = terminal::open(root.as_fd())?;
    parent.send_terminal(&master)?;
    Ok(slave)
}
