//! `/dev/shm` of a pod: one for all its containers, as it is one IPC namespace.

use std::fs;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount};

use crate::Error;
use crate::error::Step;
use crate::namespaces::PodNamespaceFds;
use crate::place::new_fs;

/// Mounts it, of the pod's root.
pub(crate) fn mount(path: &Path, size: u64, pod: &PodNamespaceFds) -> Result<(), Error> {
    let (uid, gid) = pod.host_ids(0, 0)?;
    let data =
        [("mode", "1777".to_owned()), ("size", size.to_string()), ("uid", uid.to_string()), ("gid", gid.to_string())];
    let data = data.map(|(key, value)| (key.to_owned(), Some(value)));
    let flags = cofferdam_sys::mount::NOSUID | cofferdam_sys::mount::NODEV | cofferdam_sys::mount::NOEXEC;
    fs::create_dir_all(path).step_at("make", path.display())?;
    let tree = new_fs("tmpfs", &data, u32::try_from(flags).unwrap_or_default())?;
    move_mount(&tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step_at("mount the pod's /dev/shm at", path.display())
}

/// Undoes it. Idempotent.
pub(crate) fn unmount(path: &Path) -> Result<(), Error> {
    match rustix::mount::unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(error) => return Err(error).step_at("unmount", path.display()),
    }
    match fs::remove_dir(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).step_at("remove", path.display()),
        _ => Ok(()),
    }
}
