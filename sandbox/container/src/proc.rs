//! procfs of a PID namespace that others live in, mounted without entering it: nothing of the host may be seen there
//! while a container is being set up.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cofferdam_sys::mount::{Attributes, set_attributes};
use cofferdam_sys::process::{self, CLONE_NEWNS, CLONE_NEWPID};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::Error;
use crate::error::Step;
use crate::namespaces::reap;
use crate::options::{Options, PRIVATE};
use crate::place::new_fs;
use crate::wire::{Channel, Message};

/// Fills in the sources of the mounts of procfs. `init` is that of the pod's init, in whose mount namespace it is.
pub(crate) fn stage(
    spec: &Spec,
    sources: &mut [Option<OwnedFd>],
    pidfd: BorrowedFd<'_>,
    init: Option<&OwnedFd>,
) -> Result<(), Error> {
    let mounts = spec.mounts().iter().flatten().zip(sources);
    for (mount, source) in mounts.filter(|(mount, source)| source.is_none() && mount.typ().as_deref() == Some("proc")) {
        let options = Options::of(mount)?;
        let tree = match init {
            Some(proc) if options.data.is_empty() => of_init(proc, pidfd)?,
            _ => by_helper(&options, pidfd)?,
        };
        let attributes = Attributes { propagation: PRIVATE, ..options.own };
        set_attributes(tree.as_fd(), attributes, false).step("set the attributes of /proc")?;
        *source = Some(tree);
    }
    Ok(())
}

/// A copy of what the pod's init has mounted. A mount can only be copied in its own mount namespace.
fn of_init(proc: &OwnedFd, pidfd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let own =
        open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step("open the mount namespace")?;
    process::setns(pidfd, CLONE_NEWNS).step("join the init's mount namespace")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(proc, "", flags).step("copy the pod's /proc");
    process::setns(own.as_fd(), CLONE_NEWNS).step("return to the mount namespace")?;
    tree
}

/// A new one, made by a child that is born in the PID namespace and does nothing else.
fn by_helper(options: &Options, pidfd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let (ours, theirs) = Channel::pair()?;
    let stager = process::spawn(0, None, || {
        let made = process::setns(pidfd, CLONE_NEWPID).step("join the PID namespace").and_then(|()| {
            let helper = process::spawn(0, None, || {
                let made = new_fs("proc", &options.data, options.mount_flags());
                match made.and_then(|tree| theirs.send_ready(Some(&tree))) {
                    Ok(()) => 0,
                    Err(error) => {
                        theirs.send_error(&error);
                        1
                    }
                }
            });
            reap(&helper.step("fork")?.pidfd)
        });
        made.map_or_else(
            |error| {
                theirs.send_error(&error);
                1
            },
            |()| 0,
        )
    })
    .step("fork")?;
    drop(theirs);
    let answer = ours.receive();
    reap(&stager.pidfd)?;
    match answer? {
        Message::Ready(Some(tree)) => Ok(tree),
        Message::Failed(error) => Err(error),
        _ => Err(Error::failed("mount /proc", "the child ended early")),
    }
}
