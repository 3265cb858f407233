//! mount_setattr, which rustix lacks.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// Attributes of a mount, as mount_setattr takes them.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Attributes {
    /// MOUNT_ATTR_* to set.
    pub set: u64,
    /// MOUNT_ATTR_* to clear.
    pub clear: u64,
    /// MS_PRIVATE, MS_SLAVE, MS_SHARED or 0.
    pub propagation: u64,
    /// Descriptor of the user namespace for MOUNT_ATTR_IDMAP: what `set_idmap` fills in.
    pub userns: u64,
}

/// MOUNT_ATTR_RDONLY
pub const RDONLY: u64 = 1;
/// MOUNT_ATTR_NOSUID
pub const NOSUID: u64 = 2;
/// MOUNT_ATTR_NODEV
pub const NODEV: u64 = 4;
/// MOUNT_ATTR_NOEXEC
pub const NOEXEC: u64 = 8;
/// MOUNT_ATTR__ATIME: the field of access times, to be cleared before one is set.
pub const ATIME: u64 = 0x70;
/// MOUNT_ATTR_NOATIME
pub const NOATIME: u64 = 0x10;
/// MOUNT_ATTR_STRICTATIME
pub const STRICTATIME: u64 = 0x20;
/// MOUNT_ATTR_NODIRATIME
pub const NODIRATIME: u64 = 0x80;
/// MOUNT_ATTR_NOSYMFOLLOW
pub const NOSYMFOLLOW: u64 = 0x0020_0000;
const IDMAP: u64 = 0x0010_0000;

/// mount_setattr(2) on the mount of a descriptor, or on all below it as well.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let size = size_of::<Attributes>();
    // SAFETY: the path is an empty C string, the kernel reads `size` bytes of the attributes.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, &raw const attributes, size)
    })
    .map(drop)
}

/// Maps the ids of a detached mount (and those below) through a user namespace.
///
/// # Errors
/// EINVAL where the file system cannot.
pub fn set_idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = Attributes { set: IDMAP, userns: userns.as_raw_fd() as u64, ..Attributes::default() };
    set_attributes(mount, attributes, true)
}
