//! A pod's namespaces: made by a child that ends, held as descriptors; and the init of a shared PID namespace.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cofferdam_pod_api::{NamespaceMode, ShimNamespaces, UserNamespace};
use cofferdam_sys::process::{CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUSER, CLONE_NEWUTS, Spawned};
use cofferdam_sys::{cred, mount, process};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::Error;
use crate::error::Step;
use crate::wire::{Channel, Message};

/// The namespaces that a pod has of its own; what is absent is the node's.
#[derive(Debug)]
pub(crate) struct PodNamespaceFds {
    pub net: Option<OwnedFd>,
    pub ipc: Option<OwnedFd>,
    pub uts: Option<OwnedFd>,
    pub user: Option<OwnedFd>,
    /// The init of a shared PID namespace.
    pub init: Option<Spawned>,
    /// procfs of the shared PID namespace, attached in the init's mount namespace.
    pub proc: Option<OwnedFd>,
    pub pid: NamespaceMode,
    pub mapping: Option<UserNamespace>,
}

impl PodNamespaceFds {
    /// Namespaces of a child, which then ends.
    pub fn make(plan: &ShimNamespaces) -> Result<Self, Error> {
        let own = &plan.namespaces;
        sysctls(plan)?;
        let (net, ipc) = (own.network == NamespaceMode::Pod, own.ipc == NamespaceMode::Pod);
        let mut flags = 0;
        let mut add = |wanted: bool, flag| flags |= if wanted { flag } else { 0 };
        add(net, CLONE_NEWNET | CLONE_NEWUTS);
        add(ipc, CLONE_NEWIPC);
        add(own.user.is_some(), CLONE_NEWUSER);
        let (ours, theirs) = Channel::pair()?;
        let child = process::spawn(flags, None, || {
            let done = if theirs.wait_go() {
                settle(plan, own.user.is_some())
            } else {
                Err(Error::failed("make namespaces", "the parent is gone"))
            };
            match done.and_then(|()| theirs.send_ready(None)) {
                // Until the namespaces are held: a byte, or the end of the parent.
                Ok(()) => {
                    let _ = theirs.wait_go();
                }
                Err(error) => theirs.send_error(&error),
            }
            0
        })
        .step("make the pod's namespaces")?;
        drop(theirs);
        let made = Self::hold(&child, plan, &ours);
        drop(ours.send_go());
        drop(ours);
        reap(&child.pidfd)?;
        let mut made = made?;
        if let Some(path) = plan.netns.as_ref().filter(|_| net)
            && let Some(fd) = &made.net
        {
            pin(fd, path)?;
        }
        made.mapping.clone_from(&own.user);
        Ok(made)
    }

    fn hold(child: &Spawned, plan: &ShimNamespaces, ours: &Channel) -> Result<Self, Error> {
        let own = &plan.namespaces;
        if let Some(user) = &own.user {
            map_ids(child.pid, user)?;
        }
        ours.send_go()?;
        match ours.receive()? {
            Message::Ready(_) => {}
            Message::Failed(error) => return Err(error),
            _ => return Err(Error::failed("make the pod's namespaces", "the child ended early")),
        }
        let ns = |wanted: bool, name: &str| wanted.then(|| namespace_of(child.pid, name)).transpose();
        let net = own.network == NamespaceMode::Pod;
        Ok(PodNamespaceFds {
            net: ns(net, "net")?,
            ipc: ns(own.ipc == NamespaceMode::Pod, "ipc")?,
            uts: ns(net, "uts")?,
            user: ns(own.user.is_some(), "user")?,
            init: None,
            proc: None,
            pid: own.pid,
            mapping: None,
        })
    }

    /// Nothing of its own: the guest's are the pod's.
    pub fn node(pid: NamespaceMode) -> Self {
        PodNamespaceFds { net: None, ipc: None, uts: None, user: None, init: None, proc: None, pid, mapping: None }
    }

    /// Joins net, IPC and UTS; the user namespace has to be joined before.
    pub fn join(&self) -> Result<(), Error> {
        let list = [(&self.net, CLONE_NEWNET), (&self.ipc, CLONE_NEWIPC), (&self.uts, CLONE_NEWUTS)];
        for (fd, kind) in list {
            if let Some(fd) = fd {
                process::setns(fd.as_fd(), kind).step("join the pod's namespaces")?;
            }
        }
        Ok(())
    }

    /// Becomes root of the pod's user namespace, if it has one.
    pub fn join_user(&self) -> Result<(), Error> {
        let Some(user) = &self.user else { return Ok(()) };
        process::setns(user.as_fd(), CLONE_NEWUSER).step("join the pod's user namespace")?;
        cred::set_user(0, 0, &[]).step("become root of the pod's user namespace")
    }

    /// The id on the host of one inside.
    pub fn host_ids(&self, uid: u32, gid: u32) -> Result<(u32, u32), Error> {
        let Some(user) = &self.mapping else { return Ok((uid, gid)) };
        let map = |ranges: &[cofferdam_pod_api::IdMap], id: u32| {
            let inside = ranges.iter().find(|r| id >= r.container && id - r.container < r.size);
            inside
                .map(|r| r.host + (id - r.container))
                .ok_or_else(|| Error::refused("process.user", format!("{id} is not mapped")))
        };
        Ok((map(&user.uids, uid)?, map(&user.gids, gid)?))
    }
}

/// In the child: becomes root there, names the host, sets sysctls.
fn settle(plan: &ShimNamespaces, user: bool) -> Result<(), Error> {
    if user {
        cred::set_user(0, 0, &[]).step("become root of the pod's user namespace")?;
    }
    let net = plan.namespaces.network == NamespaceMode::Pod;
    if net && !plan.hostname.is_empty() {
        rustix::system::sethostname(plan.hostname.as_bytes()).step("set the host name")?;
    }
    for (name, value) in &plan.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&path, value).step_at("set the sysctl", name)?;
    }
    Ok(())
}

/// Only what belongs to a namespace that the pod has of its own.
fn sysctls(plan: &ShimNamespaces) -> Result<(), Error> {
    for name in plan.sysctls.keys() {
        let net = name.starts_with("net.");
        let ipc =
            ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p)) || name == "kernel.sem";
        let mode = match (net, ipc) {
            (true, _) => plan.namespaces.network,
            (_, true) => plan.namespaces.ipc,
            _ => return Err(Error::refused("sysctls", format!("{name} is not of a namespace"))),
        };
        let bad = name.contains('/') || name.contains("..");
        if bad || mode != NamespaceMode::Pod {
            return Err(Error::refused("sysctls", format!("{name}: the pod has no namespace of its own for it")));
        }
    }
    Ok(())
}

/// Makes the working directory, the root of a mount, the root of this mount namespace, and lets go of all else.
pub(crate) fn pivot_here() -> rustix::io::Result<()> {
    let old = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match rustix::process::pivot_root(".", ".") {
        // The root of an initramfs cannot be exchanged; covered by this mount, it is out of reach as well.
        Err(rustix::io::Errno::INVAL) => {
            rustix::process::chroot(".")?;
            return rustix::process::chdir("/");
        }
        other => other?,
    }
    rustix::process::fchdir(&old)?;
    rustix::mount::mount_change(".", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// A user namespace with a mapping, for idmapped mounts.
pub(crate) fn user_namespace(mapping: &UserNamespace) -> Result<OwnedFd, Error> {
    let (ours, theirs) = Channel::pair()?;
    let child = process::spawn(CLONE_NEWUSER, None, || {
        let _ = theirs.wait_go();
        0
    })
    .step("make a user namespace")?;
    drop(theirs);
    let made = map_ids(child.pid, mapping).and_then(|()| namespace_of(child.pid, "user"));
    drop(ours.send_go());
    reap(&child.pidfd)?;
    made
}

fn map_ids(pid: i32, user: &UserNamespace) -> Result<(), Error> {
    for (file, ranges) in [("uid_map", &user.uids), ("gid_map", &user.gids)] {
        let ends =
            |first: u32, size: u32| size == 0 || u64::from(first) + u64::from(size) > u64::from(cred::LARGEST_ID) + 1;
        if let Some(bad) = ranges.iter().find(|r| ends(r.container, r.size) || ends(r.host, r.size)) {
            return Err(Error::refused(file, format!("{bad:?} leaves the range of ids")));
        }
        let text: String = ranges.iter().map(|r| format!("{} {} {}\n", r.container, r.host, r.size)).collect();
        crate::cgroup::write(Path::new(&format!("/proc/{pid}/{file}")), &text)
            .step_at("map the ids of the pod,", file)?;
    }
    Ok(())
}

fn namespace_of(pid: i32, name: &str) -> Result<OwnedFd, Error> {
    open(format!("/proc/{pid}/ns/{name}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step_at("hold the pod's namespace", name)
}

/// Waits for the end of a child.
pub(crate) fn reap(pidfd: &OwnedFd) -> Result<(), Error> {
    loop {
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map(drop).step("wait for a child"),
        }
    }
}

fn pin(fd: &OwnedFd, path: &Path) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).step_at("make", parent.display())?;
    }
    fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).step_at("make", path.display())?;
    use std::os::fd::AsRawFd;
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", fd.as_raw_fd()), path)
        .step_at("pin the network namespace at", path.display())
}

/// Undoes `pin`.
pub(crate) fn unpin(path: &Path) -> Result<(), Error> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error).step_at("unpin the network namespace at", path.display()),
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).step_at("remove", path.display()),
        _ => Ok(()),
    }
}

/// Attributes for a tree that only this container may write to.
pub(crate) fn read_only() -> mount::Attributes {
    mount::Attributes { set: mount::RDONLY, ..mount::Attributes::default() }
}
