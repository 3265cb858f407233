//! The root file system: an overlay of the image's layers, as a mount that is attached nowhere yet.
//!
//! In a user namespace the layers are mapped: each is cloned, mapped and attached over itself, in a mount namespace
//! that only the set-up sees, so that the overlay finds the mapped one at the layer's own path.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use cofferdam_pod_api::ContainerRootfs;
use cofferdam_sys::mount::set_idmap;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount, open_tree,
};

use crate::Error;
use crate::error::Step;

/// fsconfig takes strings below this length.
const STRING_MAX: usize = 255;

/// Mounts the root; the caller is root of the host in a mount namespace of the container's own.
pub(crate) fn root(rootfs: &ContainerRootfs, user: Option<&OwnedFd>) -> Result<OwnedFd, Error> {
    if let Some(user) = user {
        for layer in &rootfs.lower {
            let tree = clone(layer, false)?;
            set_idmap(tree.as_fd(), user.as_fd()).step_at("map the ids of the layer", layer.display())?;
            move_mount(&tree, "", CWD, layer, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .step_at("stage the layer", layer.display())?;
        }
    }
    if rootfs.upper.as_os_str().is_empty() {
        let Some(root) = rootfs.lower.first() else { return Err(Error::refused("rootfs.lower", "names no layer")) };
        return clone(root, true);
    }
    match overlay(rootfs) {
        Err(Errno::INVAL) => old_overlay(rootfs),
        other => other,
    }
    .step_at("mount the root file system from", rootfs.upper.display())
}

/// A copy of a mount, attached nowhere.
pub(crate) fn clone(path: &Path, recursive: bool) -> Result<OwnedFd, Error> {
    let more = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
    open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | more)
        .step_at("open", path.display())
}

fn overlay(rootfs: &ContainerRootfs) -> Result<OwnedFd, Errno> {
    let mut kept = Vec::new();
    let mut short = |path: &Path| -> Result<PathBuf, Errno> {
        if path.as_os_str().len() <= STRING_MAX {
            return Ok(path.to_owned());
        }
        let fd = crate::resolve::open_host(path)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        kept.push(fd);
        Ok(short)
    };
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&fs, "source", "overlay")?;
    for layer in &rootfs.lower {
        fsconfig_set_string(&fs, "lowerdir+", short(layer)?)?;
    }
    fsconfig_set_string(&fs, "upperdir", short(&rootfs.upper)?)?;
    fsconfig_set_string(&fs, "workdir", short(&rootfs.work)?)?;
    fsconfig_create(&fs)?;
    fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Before Linux 6.8: all in one string of at most a page.
fn old_overlay(rootfs: &ContainerRootfs) -> Result<OwnedFd, Errno> {
    let escape = |path: &Path| path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,");
    let lower: Vec<String> = rootfs.lower.iter().map(|l| escape(l)).collect();
    let data =
        format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), escape(&rootfs.upper), escape(&rootfs.work));
    let data = std::ffi::CString::new(data).map_err(|_| Errno::INVAL)?;
    mount("overlay", &rootfs.upper, "overlay", MountFlags::empty(), data.as_c_str())?;
    open_tree(CWD, &rootfs.upper, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}
