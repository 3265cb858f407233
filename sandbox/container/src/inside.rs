//! The container's view of files: built on the new root by descriptors, then made the root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use cofferdam_pod_api::ContainerSpec;
use cofferdam_sys::mount::{Attributes, set_attributes};
use rustix::fs::CWD;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};

use crate::Error;
use crate::cgroup::Hierarchies;
use crate::error::Step;
use crate::namespaces::{PodNamespaceFds, pivot_here, read_only};
use crate::options::root_propagation;
use crate::resolve::Target;
use crate::view::View;
use crate::{devices, overlay, place, terminal};

/// Nothing that is mounted from here on reaches the node.
pub(crate) fn detach() -> Result<(), Error> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
        .step("detach from the node's mounts")
}

/// The new root, staged as root of the host.
pub(crate) fn root(spec: &ContainerSpec, pod: &PodNamespaceFds) -> Result<OwnedFd, Error> {
    detach()?;
    overlay::root(&spec.rootfs, pod.user.as_ref())
}

/// Mounts, devices, hidden paths; then the root is changed. Answers slave and master of a terminal.
pub(crate) fn build(
    spec: &ContainerSpec,
    pod: &PodNamespaceFds,
    root: &OwnedFd,
    sources: &[Option<OwnedFd>],
    hierarchies: &Hierarchies,
) -> Result<Option<(OwnedFd, OwnedFd)>, Error> {
    detach()?;
    move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).step("attach the root file system")?;
    let root_fd = root.as_fd();
    let view = View::new(root_fd, &spec.oci)?;
    for (mount, source) in spec.oci.mounts().iter().flatten().zip(sources) {
        place::mount(&view, mount, source.as_ref(), hierarchies)?;
    }
    let linux = spec.oci.linux().as_ref();
    let asked = linux.and_then(|l| l.devices().as_deref()).unwrap_or_default();
    devices::make(&view, asked, pod.user.is_some())?;
    let terminal = spec.stdio.terminal.then(|| terminal::open(root_fd)).transpose()?;
    if let Some((slave, _)) = &terminal {
        terminal::console(&view, slave)?;
    }
    if let Some(process) = spec.oci.process() {
        // An image may name a working directory that it does not have.
        drop(view.target(process.cwd(), Target::Dir, "process.cwd")?);
    }
    place::verify_proc(root_fd, &spec.oci)?;
    for path in linux.and_then(|l| l.readonly_paths().as_ref()).into_iter().flatten() {
        place::protect(root_fd, Path::new(path))?;
    }
    for path in linux.and_then(|l| l.masked_paths().as_ref()).into_iter().flatten() {
        place::mask(root_fd, Path::new(path))?;
    }
    if spec.oci.root().as_ref().and_then(|r| r.readonly()).unwrap_or(false) {
        set_attributes(root_fd, read_only(), false).step("make the root read-only")?;
    }
    let propagation = root_propagation(linux.and_then(|l| l.rootfs_propagation().as_deref()).unwrap_or_default());
    rustix::process::fchdir(root).step("enter the root file system")?;
    pivot_here().step("change the root")?;
    if propagation != 0 {
        let attributes = Attributes { propagation, ..Attributes::default() };
        set_attributes(root_fd, attributes, false).step("set the propagation of the root")?;
    }
    Ok(terminal)
}
