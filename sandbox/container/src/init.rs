//! The init of a shared PID namespace: its PID 1, without capabilities or descriptors.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use cofferdam_sys::process::{CLONE_NEWNS, CLONE_NEWPID, CLONE_PARENT, Spawned};
use cofferdam_sys::{cred, process, seccomp, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::Error;
use crate::cgroup::Cgroup;
use crate::error::Step;
use crate::namespaces::{PodNamespaceFds, pivot_here, reap};
use crate::place::new_fs;
use crate::wire::{Channel, Message};

/// How long the kernel may take to end a killed PID namespace.
const PATIENCE: Duration = Duration::from_secs(5);

impl PodNamespaceFds {
    /// Starts the init of a shared PID namespace, in a cgroup of its own.
    pub fn start_init(&mut self, program: &[u8], cgroup: &Cgroup) -> Result<(), Error> {
        let birth = cgroup.birth()?;
        let (ours, theirs) = Channel::pair()?;
        let stager = process::spawn(0, birth.as_ref().map(AsFd::as_fd), || {
            let staged = cgroup.join().and_then(|()| self.join_user()).and_then(|()| {
                let flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PARENT;
                let init = process::spawn(flags, None, || init(self, program, &theirs)).step("start the pod's init")?;
                theirs.send_child(init.pid, &init.pidfd)
            });
            if let Err(error) = staged {
                theirs.send_error(&error);
            }
            0
        })
        .step("start the pod's init")?;
        drop(theirs);
        let (mut child, mut proc, mut failed) = (None, None, None);
        // The init and who makes it speak in any order.
        while child.is_none() || proc.is_none() {
            match ours.receive()? {
                Message::Child(pid, pidfd) => child = Some(Spawned { pid, pidfd }),
                Message::Ready(fd) => proc = fd,
                Message::Failed(error) => failed = Some(error),
                _ => break,
            }
        }
        let answer = match (&child, &proc) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(failed.unwrap_or_else(|| Error::failed("start the pod's init", "it ended early"))),
        };
        self.proc = proc;
        reap(&stager.pidfd)?;
        self.init = child;
        answer
    }
}

/// PID 1 of a shared PID namespace: sees nothing of the host, holds nothing, waits. The kernel reaps for it.
fn init(pod: &PodNamespaceFds, program: &[u8], parent: &Channel) -> i32 {
    let done = pod.join().and_then(|()| hidden_proc()).and_then(|proc| {
        // Not the shim's: containers see this one.
        rustix::thread::set_name(c"pod-init").step("name the pod's init")?;
        signal::reset();
        signal::reap_automatically();
        cred::limit_bounding(0).step("drop capabilities")?;
        cred::no_new_privileges().step("set no_new_privs")?;
        cred::set_ambient(0).step("drop capabilities")?;
        cred::set_capabilities(cred::CapSets::default()).step("drop capabilities")?;
        process::set_dumpable(false).step("prctl")?;
        if !program.is_empty() {
            seccomp::load(program).step("load the init's seccomp program")?;
        }
        parent.send_ready(Some(&proc))?;
        drop(proc);
        process::close_all(0, u32::MAX).step("close descriptors")
    });
    match done {
        Ok(()) => signal::pause_forever(),
        Err(error) => {
            parent.send_error(&error);
            1
        }
    }
}

/// An empty, read-only root, so that /proc/1/root shows nothing; on it, procfs for the pod's containers to copy; over
/// that, another empty one, so that no path leads there.
fn hidden_proc() -> Result<OwnedFd, Error> {
    let empty = || new_fs("tmpfs", &[("size".to_owned(), Some("4096".to_owned()))], 1);
    // As long as the node's is in sight: in a user namespace the kernel asks for it.
    let proc = new_fs("proc", &[], 0)?;
    let (root, cover) = (empty()?, empty()?);
    let attach = || -> rustix::io::Result<()> {
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
        let to_root = |mount: &OwnedFd| move_mount(mount, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
        to_root(&root)?;
        rustix::process::fchdir(&root)?;
        pivot_here()?;
        to_root(&proc)?;
        to_root(&cover)
    };
    attach().step("give the pod's init an empty root")?;
    Ok(proc)
}

/// Ends the init, and with it all that is left in its PID namespace. The kernel lets it go only when all others there
/// are reaped, and execs in it are children of this process: whatever has ended is reaped while waiting, since nothing
/// is to come after this.
pub(crate) fn end(pidfd: &OwnedFd) -> Result<(), Error> {
    // It may have ended by itself.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        match poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&pause)) {
            Ok(1..) => break,
            Ok(0) | Err(Errno::INTR) if Instant::now() < deadline => {
                while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
            }
            Ok(_) => return Err(Error::failed("end the pod's init", "it does not end")),
            Err(error) => return Err(Error::failed("end the pod's init", error)),
        }
    }
    // Reaped already, here or by who waits for all children.
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    Ok(())
}
