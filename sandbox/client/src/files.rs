//! A file system of limited size for the files that a pod finds in /etc and may write: without it they would be a way
//! to fill the file system of STATE, which is the node's /run.

use std::ffi::CString;
use std::fs::{DirBuilder, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Inodes: the directory and the files, and nobody can make others.
const INODES: u32 = 16;

/// Makes the directory and mounts a tmpfs of this many bytes there, unless one is mounted already.
///
/// # Errors
/// The kernel refuses.
pub fn bound(dir: &Path, bytes: u64) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => release(dir)?,
        made => made?,
    }
    set_permissions(dir, Permissions::from_mode(0o755))?;
    let data = CString::new(format!("size={bytes},nr_inodes={INODES},mode=0755")).map_err(io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("pod-files", dir, "tmpfs", flags, data.as_c_str())?)
}

/// Unmounts it. Idempotent.
///
/// # Errors
/// The kernel refuses.
pub fn release(dir: &Path) -> io::Result<()> {
    loop {
        match unmount(dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
