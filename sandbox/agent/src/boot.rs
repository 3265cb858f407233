//! The file systems of the guest.

use std::fs::create_dir_all;
use std::io;

use rustix::mount::{
    MountFlags as F, MountPropagationFlags, mount, mount_bind, mount_change, mount_move, mount_remount,
};
use rustix::process::{chdir, chroot};

use crate::error::BootError;

/// A file system that is always there.
struct Kernel {
    kind: &'static str,
    at: &'static str,
    flags: F,
    data: &'static std::ffi::CStr,
}

const NONE: F = F::NOSUID.union(F::NODEV).union(F::NOEXEC);

const MOUNTS: [Kernel; 8] = [
    Kernel { kind: "proc", at: "/proc", flags: NONE, data: c"" },
    Kernel { kind: "sysfs", at: "/sys", flags: NONE, data: c"" },
    Kernel { kind: "devtmpfs", at: "/dev", flags: F::NOSUID.union(F::NOEXEC), data: c"mode=0755" },
    Kernel {
        kind: "devpts",
        at: "/dev/pts",
        flags: F::NOSUID.union(F::NOEXEC),
        data: c"newinstance,ptmxmode=0666,mode=0620,gid=5",
    },
    Kernel { kind: "tmpfs", at: "/dev/shm", flags: NONE, data: c"mode=1777" },
    Kernel { kind: "tmpfs", at: "/run", flags: F::NOSUID.union(F::NODEV), data: c"mode=0755" },
    Kernel { kind: "tmpfs", at: "/tmp", flags: F::NOSUID.union(F::NODEV), data: c"mode=1777" },
    Kernel { kind: "cgroup2", at: crate::controllers::ROOT, flags: NONE, data: c"" },
];

/// Mounts what every guest has.
pub(crate) fn mounts() -> Result<(), BootError> {
    leave_rootfs().map_err(BootError::at("change the root"))?;
    for Kernel { kind, at, flags, data } in MOUNTS {
        create_dir_all(at).map_err(BootError::at(format!("make {at}")))?;
        mount(kind, at, kind, flags, data).map_err(|e| BootError::at(format!("mount {at}"))(e.into()))?;
    }
    Ok(())
}

/// The root of the initramfs is the one mount that has no parent, and pivot_root works on no such root: containers
/// could not leave it. So it is bound onto itself, and the copy made the root.
fn leave_rootfs() -> io::Result<()> {
    const COPY: &str = "/root";
    create_dir_all(COPY)?;
    mount_bind("/", COPY)?;
    chdir(COPY)?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(())
}

/// Limits `/dev/shm`.
pub(crate) fn size_shm(bytes: u64) -> io::Result<()> {
    let data = std::ffi::CString::new(format!("size={bytes}")).map_err(io::Error::other)?;
    mount_remount("/dev/shm", NONE, &data)?;
    Ok(())
}

/// Mounts the share of the pod, where the machine has one. Plain: what is set-uid in an image shall be so inside its
/// VM; it is the host that mounts the same files nosuid and nodev.
pub(crate) fn share(tag: &str, at: &str) -> io::Result<()> {
    let devices = std::fs::read_dir("/sys/bus/virtio/drivers/virtiofs");
    let has_one =
        devices.is_ok_and(|list| list.flatten().any(|e| e.file_name().as_encoded_bytes().starts_with(b"virtio")));
    if !has_one {
        return Ok(());
    }
    create_dir_all(at)?;
    mount(tag, at, "virtiofs", F::empty(), c"")?;
    Ok(())
}
